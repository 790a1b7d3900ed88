"""Pages and tables of the site that come from elsewhere in the repository.

- ``SECURITY.md`` and the pages of ``benchmarks/`` become pages of the site.
- ``<!-- options of: job run -->`` becomes the table of the command's options, from the command itself.
"""

import re
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from typer.main import get_command

from zeus_ray.cli.main import app

ROOT = Path(__file__).parent.parent
PAGES = {
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "measurements/overview.md",
    "benchmarks/REGRET.md": "measurements/search.md",
    "benchmarks/ONLINE.md": "measurements/one_long_run.md",
    "benchmarks/CARBON.md": "measurements/carbon.md",
}
LINKS = {
    "docs/deploy/": "deploy/",
    "benchmarks/README.md": "measurements/overview.md",
    "REGRET.md": "search.md",
    "ONLINE.md": "one_long_run.md",
    "CARBON.md": "carbon.md",
}
FENCE = re.compile(r' *```(\w+( \w+="[^"]+")*)?')
"""The line before and after a block of code; other words after its language would make it text."""
OPTIONS = re.compile(r"<!-- options of: (.+?) -->")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside ``docs/``."""
    for source, target in PAGES.items():
        files.append(File.generated(config, target, content=with_site_links((ROOT / source).read_text())))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 — MkDocs' own
    """Fill in the tables of options. A block that would be shown as running text ends the build."""
    for line in markdown.splitlines():
        if line.lstrip().startswith("```") and not FENCE.fullmatch(line):
            raise PluginError(
                f"{page.file.src_uri}: a block of code begins with {line!r}; allowed: {FENCE.pattern}"
            )
    return OPTIONS.sub(lambda found: options_table(found[1]), markdown)


def with_site_links(text: str) -> str:
    """Links to files of the repository as links within the site."""
    for path, page in LINKS.items():
        text = text.replace(f"]({path}", f"]({page}")
    return text


def options_table(name: str) -> str:
    """Markdown table of the options of a command, such as "job run"."""
    command = get_command(app)
    for word in name.split():
        command = command.commands[word]
    types = get_type_hints(command.callback)
    rows = ["| option | meaning |", "|---|---|"]
    for option in command.params:
        names = ", ".join(f"`{text}`" for text in option.opts if text.startswith("--"))
        if option.name == "help" or not names:
            continue
        choices = get_args(types[option.name]) if get_origin(types[option.name]) is Literal else ()
        value = option.metavar or " or ".join(choices) or option.name.upper()
        default = "" if option.default in (None, False, "") else f" Default: `{option.default}`."
        meaning = option.help + (" Required." if option.required else "") + default
        cells = (f"{names} {'' if option.is_flag else value}", meaning)
        row = " | ".join(cell.replace("{", "&#123;").replace("|", "&#124;") for cell in cells)
        rows.append(f"| {row} |")
    return "\n".join(rows)
