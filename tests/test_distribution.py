"""The wheel and the sdist: complete, and able to run the demo from a new environment outside the checkout."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from sources import FILES
from test_rooms import imports

ROOT = Path(__file__).parent.parent
EXTRAS = ("torch", "lightning", "transformers", "accelerate", "sklearn", "optuna")
IMPORT_EVERYTHING = """
import importlib, json, pkgutil, sys
sys.modules.update(dict.fromkeys(sys.argv[1:]))  # None: as if it were not installed
import zeus_ray
missing = {}
for module in pkgutil.walk_packages(zeus_ray.__path__, "zeus_ray."):
    try:
        importlib.import_module(module.name)
    except ImportError as error:
        missing[module.name] = error.name.split(".")[0]
print(json.dumps([zeus_ray.__file__, missing]))
"""


def run(*command, folder, checkout=None, codes=(0,)):
    """Run a command in a home directory of its own, and there too unless it needs the checkout."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    home = {"HOME": str(folder), "XDG_STATE_HOME": str(folder), "RAY_AIR_NEW_OUTPUT": "0"}
    done = subprocess.run(
        [str(part) for part in command],
        env={**inherited, **home},
        cwd=checkout or folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode in codes, done.stdout[-2000:] + done.stderr[-4000:]
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that is built from the sdist that is built from the checkout."""
    folder = tmp_path_factory.mktemp("distribution")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, folder=folder, checkout=ROOT)
    (sdist,) = folder.glob("zeus_ray-*.tar.gz")
    pip = (sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-index")
    run(*pip, "-w", folder, sdist, folder=folder)
    (wheel,) = folder.glob("zeus_ray-*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The programs of a new environment that has the wheel, and the dependencies of this environment."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--no-deps",
        "--no-index",
        wheel,
        folder=folder,
    )
    (packages,) = folder.glob("lib/python*/site-packages")
    # A path, not a site folder: the .pth file that makes the checkout importable here is not read there.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin"


@pytest.mark.processes
def test_the_wheel_has_every_file_of_the_package(wheel):
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if not name.startswith("zeus_ray-")}
    files = {path for path in (ROOT / "zeus_ray").rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert inside == {str(path.relative_to(ROOT)) for path in files}
    assert {"zeus_ray/py.typed", "zeus_ray/actors/grafana.json"} <= inside


def normalized(name):
    """The name of a distribution, as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.processes
def test_the_declared_dependencies_are_those_that_are_imported(wheel):
    (name,) = (name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("/METADATA"))
    text = zipfile.ZipFile(wheel).read(name).decode()
    declared = re.findall(r"^Requires-Dist: ([\w.-]+)(.*)$", text, re.MULTILINE)
    required = {normalized(name) for name, more in declared if "extra ==" not in more}
    allowed = {normalized(name) for name, _ in declared}
    distributions = metadata.packages_distributions()
    modules = {name.split(".")[0] for path in FILES for name in imports(path)} - {"zeus_ray"}
    imported = {
        module: {normalized(name) for name in distributions.get(module, [module])}
        for module in modules - sys.stdlib_module_names
    }
    assert [module for module, names in imported.items() if not names & allowed] == []
    assert required - set().union(*imported.values()) == set()


@pytest.mark.processes
def test_every_module_is_imported_without_the_extras_but_those_of_the_frameworks(installed):
    file, missing = json.loads(run(installed / "python", "-c", IMPORT_EVERYTHING, *EXTRAS, folder=installed))
    assert Path(file).is_relative_to(installed.parent)
    assert [name for name in missing if not name.startswith("zeus_ray.train.")] == []
    assert set(missing.values()) <= set(EXTRAS)


@pytest.mark.processes
def test_the_command_line_answers(installed, tmp_path):
    assert "doctor" in run(installed / "zeus-ray", "--help", folder=tmp_path)
    assert "this node" in run(installed / "zeus-ray", "doctor", folder=tmp_path, codes=(0, 1, 2))


@pytest.mark.ray
def test_the_demo_runs(installed, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setenv("ZEUS_RAY_GPU", "simulated:V100")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # the demo joins no cluster, it starts its own
    demo = (installed / "zeus-ray", "demo", "--trials", "1", "--out", tmp_path / "out")
    assert "SIMULATED" in run(*demo, folder=tmp_path)
    assert list((tmp_path / "out").rglob("result.json"))


@pytest.mark.ray
def test_the_quick_start_runs_as_written(installed, tmp_path, monkeypatch):
    monkeypatch.setenv("ZEUS_RAY_GPU", "simulated:V100")
    monkeypatch.setenv("RAY_ADDRESS", "local")
    page = (ROOT / "docs" / "index.md").read_text()
    (block,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    must_hold = "assert report.trials[0].energy_j > 0\nprint(searcher.best().batch_size)\n"
    (tmp_path / "quickstart.py").write_text(block + must_hold)
    printed = run(installed / "python", "quickstart.py", folder=tmp_path)
    assert int(printed.split()[-1]) in (16, 32, 64, 128, 256, 512)
    assert "The answer\n" in printed
    assert "What to do now\n" in printed
    assert (tmp_path / "pareto.png").exists()


def test_the_oldest_versions_that_are_allowed_are_those_that_are_tested():
    constraints = (ROOT / "constraints-oldest.txt").read_text()
    tested = dict(re.findall(r"^([\w.-]+)==([\w.]+)$", constraints, re.MULTILINE))
    del tested["torch"]  # one version for all tests: see constraints.txt
    lowest = {}
    for name, version in re.findall(
        r'"([\w-]+)(?:\[[\w,]+\])?>=([\d.]+)"', (ROOT / "pyproject.toml").read_text()
    ):
        numbers = tuple(map(int, version.split(".")))
        lowest[name] = min(numbers, lowest.get(name, numbers))
    wrong = {
        name: tested[name]
        for name, numbers in lowest.items()
        if name in tested and tuple(map(int, tested[name].split(".")))[: len(numbers)] != numbers
    }
    assert wrong == {}
    assert len(lowest.keys() & tested.keys()) > 15
