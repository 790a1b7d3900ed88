"""Every Python block of the pages runs: those of a page are one script, in a process of its own.

What a page does not show is in ``preambles/PAGE.py``: above the line ``MARK`` what its code needs, below it
what must hold afterwards.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import PAGES, ROOT, blocks

HERE = Path(__file__).parent
QUICK_START = ROOT / "docs" / "index.md"
"""It runs in tests/test_distribution.py."""
MARK = "# --- here the code of the page runs ---"
USES_RAY = re.compile(r"^\s*(?:import|from) ray\b|start_ray\(\)|ZeusSearcher|Elastic", re.MULTILINE)


def script(page):
    """The page's code, between what it needs and what must hold afterwards."""
    preamble = HERE / "preambles" / f"{page.stem}.py"
    before, _, after = (preamble.read_text() if preamble.exists() else "").partition(MARK)
    return "\n".join([before, *blocks(page, "python"), after])


def cases():
    """Every page with code, but those with a test of their own: under other launchers, or as installed."""
    for page in PAGES:
        own_test = ROOT / "tests" / "train" / f"test_{page.stem}_guide.py"
        if blocks(page, "python") and page != QUICK_START and not own_test.exists():
            mark = pytest.mark.ray if USES_RAY.search(script(page)) else pytest.mark.processes
            yield pytest.param(page, id=page.stem, marks=mark)


def run_python(folder, *arguments):
    """Run Python with an empty home folder, a simulated GPU, and no Ray but its own."""
    own = {
        "HOME": str(folder),
        "XDG_STATE_HOME": str(folder),
        "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path[1:]]),
        "RAY_ADDRESS": "local",
        "RAY_AIR_NEW_OUTPUT": "0",
        "ZEUS_RAY_GPU": "simulated:V100",
    }
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **own},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.parametrize("page", list(cases()))
def test_the_code_of_a_page_runs(page, tmp_path):
    path = tmp_path / "page.py"
    path.write_text(script(page))
    ran = run_python(tmp_path, path)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-4000:]


def test_each_preamble_is_of_a_page_with_code():
    stems = {page.stem for page in PAGES if blocks(page, "python")}
    assert {path.stem for path in (HERE / "preambles").iterdir()} <= stems
    assert len(stems) == len([page for page in PAGES if blocks(page, "python")]) >= 10


@pytest.mark.ray
def test_the_example_of_ray_train_runs(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    ran = run_python(tmp_path, "-m", "zeus_ray.train.example_ddp", "--trials", "1")
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-4000:]
    assert "Best(batch_size=64" in ran.stdout
