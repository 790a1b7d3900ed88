"""The frame of a report: one HTML file with style, script and plotly.js inside, and landmarks to move by."""

from __future__ import annotations

import datetime as dt
import html
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from zeus_ray.errors import BadInput
from zeus_ray.reporting.pictures.draw_plotly import INSTALL

NUMBER_AND_UNIT = re.compile(r"(\d) (?=%|[kMG]?J\b|W\b|min\b|s\b|h\b)")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"
"""For the browser: nothing is loaded from anywhere."""


@dataclass(frozen=True, kw_only=True)
class PageSection:
    """A part of the page under a heading, which the navigation links to."""

    key: str
    title: str
    body: str


def html_page(title: str, sections: Sequence[PageSection], *, virtual: str = "", version: str) -> str:
    """The page as text.

    Args:
        title: its first heading.
        sections: in their order.
        virtual: says that GPUs were simulated or replayed; "" where they were measured.
        version: of zeus-ray.

    Raises:
        BadInput: Plotly is not installed.
    """
    made = dt.datetime.now(dt.timezone.utc)
    links = "".join(f'<li><a href="#{s.key}">{html.escape(s.title)}</a></li>' for s in sections)
    parts = "".join(
        f'<section id="{s.key}" aria-labelledby="{s.key}-title">'
        f'<h2 id="{s.key}-title">{html.escape(s.title)}</h2>{s.body}</section>'
        for s in sections
    )
    banner = f'<p class="virtual" role="note">{html.escape(virtual)}</p>' if virtual else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<link rel="icon" href="data:,">
<title>{html.escape(title)}</title>
<style>{_own("report_page.css")}</style>
</head>
<body>
<a class="skip" href="#{sections[0].key}">Skip to the content</a>
<header>
<h1>{html.escape(title)}</h1>
<p class="made">Made on {made:%Y-%m-%d %H:%M} UTC by zeus-ray {html.escape(version)}</p>
{banner}
</header>
<nav aria-label="Sections"><ul>{links}</ul></nav>
<main>{parts}</main>
<footer><p>This file is complete: it loads nothing, and can be sent, stored and printed.</p></footer>
<script>{_plotly_js()}</script>
<script>{_own("report_page.js")}</script>
</body>
</html>
"""


def write_page(path: str | os.PathLike[str], page: str) -> Path:
    """Write a page in place of an earlier one; creates the folder. Raises OSError."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def paragraphs(sentences: Iterable[str]) -> str:
    """Each sentence as a paragraph."""
    return "".join(f"<p>{unbroken(html.escape(sentence))}</p>" for sentence in sentences)


def unbroken(text: str) -> str:
    """The text with no line break between a number and its unit."""
    return NUMBER_AND_UNIT.sub("\\1\u00a0", text)


def bullets(sentences: Iterable[str], *, numbered: bool = False) -> str:
    """The sentences as a list; "" without any. What follows a line break is shown as code."""
    items = "".join(f"<li>{_with_code(sentence)}</li>" for sentence in sentences)
    kind = "ol" if numbered else "ul"
    return f"<{kind}>{items}</{kind}>" if items else ""


def _with_code(sentence: str) -> str:
    said, _, code = sentence.partition("\n")
    return html.escape(said) + (f"<br><code>{html.escape(code)}</code>" if code else "")


def rows_table(rows: Mapping[str, str], caption: str) -> str:
    """Names and values."""
    cells = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th><td>{html.escape(value)}</td></tr>'
        for name, value in rows.items()
    )
    return f"<table><caption>{html.escape(caption)}</caption><tbody>{cells}</tbody></table>"


def scrolling(table: str, label: str) -> str:
    """A wide table, which scrolls by itself, with the keyboard, too; a narrow page says so."""
    hint = '<p class="sideways footnote">The table scrolls sideways.</p>'
    region = f'role="region" aria-label="{html.escape(label)}" tabindex="0"'
    return f'{hint}<div class="scroll" {region}>{table}</div>'


def _own(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _plotly_js() -> str:
    try:
        from plotly.offline import get_plotlyjs  # noqa: PLC0415 — an extra
    except ImportError as error:
        raise BadInput(f"a report in HTML needs Plotly: {INSTALL}") from error
    return str(get_plotlyjs())
