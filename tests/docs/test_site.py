"""``make docs`` builds the site, and fails at a dead link or a block of code that would be shown as text."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from pages import ROOT

pytestmark = pytest.mark.processes
pytest.importorskip("mkdocs")

(ARGUMENTS,) = re.findall(r"\$\(BIN\)/mkdocs (build .*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.fixture
def sources(tmp_path):
    """A copy of what the site is made from."""
    for folder in ("docs", "benchmarks"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("mkdocs.yml", "SECURITY.md"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "zeus_ray").symlink_to(ROOT / "zeus_ray")
    return tmp_path


def build(sources):
    """Run the command of ``make docs``."""
    paths = os.pathsep.join([str(ROOT), *sys.path[1:]])
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", *ARGUMENTS.split()],
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": paths},
        cwd=sources,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_site_builds_without_a_warning(sources):
    ran = build(sources)
    assert ran.returncode == 0, ran.stderr[-4000:]
    assert len(list((sources / "site").rglob("index.html"))) > 25


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("[another page](missing.md)", "contains a link 'missing.md', but the target is not found"),
        ("```python torchrun\npass\n```", "index.md: a block of code begins with"),
    ],
)
def test_a_page_that_is_wrong_fails(sources, wrong, message):
    with (sources / "docs" / "index.md").open("a") as page:
        page.write(f"\n{wrong}\n")
    ran = build(sources)
    assert ran.returncode == 1
    assert message in ran.stderr
