"""The tests that SECURITY.md names exist."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_tests_it_names_exist():
    page = (ROOT / "SECURITY.md").read_text()
    sources = {path.name: path.read_text() for path in (ROOT / "tests").rglob("*.py")}
    tests = re.findall(r"def (?:test_)?(\w+)", "\n".join(sources.values()))
    files = re.findall(r"`(\w+\.py)`", page)
    assert len(files) > 20
    assert not set(files) - set(sources)
    table = page[page.index("## Hardware faults") :]
    rows = [row.split("|")[3] for row in table.splitlines() if row.startswith("|")][2:]
    assert len(rows) > 15
    for row in rows:
        named = re.findall(r"\b[a-z]+(?:_\w+)+\b", re.sub(r"`\w+\.py`", "", row))
        assert named or "`" in row
        for name in named:
            assert any(test.startswith(name) for test in tests), name
