"""The pages of the documentation, and the blocks of code in them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def blocks(page, language):
    """The fenced blocks of a page in one language, without the indentation of those in tabs or lists."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", page.read_text(), re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def table_column(page, heading):
    """The codes in the first column of the table whose first heading is this one."""
    table = re.search(rf"^\| {heading} .*?(?=\n\n|\Z)", page.read_text(), re.DOTALL | re.MULTILINE)
    rows = table[0].splitlines()[2:]
    return [code for row in rows for code in re.findall(r"`([^`]+)`", row.split("|")[1])]
