"""Every notebook runs from top to bottom, and is stored without outputs."""

import re
from pathlib import Path

import pytest

MOST_LINES = 40
NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path):
    assert not re.search(r'"output_type"|"execution_count": \d', path.read_text())


@pytest.mark.notebook
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_displays_tables_and_plots(path, tmp_path, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("ZEUS_RAY_SMOKE", "1")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    shown = [
        data for cell in notebook.cells for out in cell.get("outputs", []) for data in out.get("data", {})
    ]
    assert "text/html" in shown
    assert "image/png" in shown
    if "eta" in "".join(cell.source for cell in notebook.cells if "searcher.best" in cell.source):
        check_one_answer(notebook)


def check_one_answer(notebook):
    """The table, the sentence on it and ``searcher.best()`` name the same batch size and limit."""
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    page = next(
        out["data"]["text/html"] for out in outputs if "<table>" in out.get("data", {}).get("text/html", "")
    )
    text = "".join(out.get("text", "") for out in outputs)
    size, limit_w = re.search(r"eta 0.5: batch size +(\d+) at (\d+) W", text).groups()
    sentence = next(
        said for said in re.findall(r"<li>(.*?)</li>", page) if said.startswith(("Best", "The default"))
    )
    assert re.search(rf"batch size {size} at (a power limit of )?{limit_w} W", sentence)
    rows = [row for row in page.split("<tr") if re.search(rf">(best|baseline) {size}<", row)]
    # No row is the answer's where no trial had its limit to the end: the sentence says that it is expected.
    assert any(f">{limit_w}<" in row for row in rows) or "is expected to reach" in sentence


SEARCH = """
import ray
from ray import tune
import zeus_ray as zeus

def train(config):
    with zeus.session(config) as run:
        for epoch in range(1, 31):
            for _batch in run.steps([None] * 100):
                pass
            run.report({"accuracy": 1 - 0.8**epoch})

ray.init("local", include_dashboard=False, num_cpus=2, log_to_driver=False)
searcher = zeus.ZeusSearcher(target=zeus.Target("accuracy", 0.9), default_batch_size=64)
result = tune.run(
    train,
    config={"batch_size": tune.choice([32, 64, 128])},
    search_alg=searcher,
    scheduler=zeus.EnergyScheduler(searcher),
    num_samples=4,
    resources_per_trial=zeus.resources(),
)
ray.shutdown()
zeus.show(result)
"""


@pytest.mark.notebook
def test_a_first_search_in_a_notebook_prints_few_lines(tmp_path, monkeypatch):
    """As Tune is by default: neither verbose= nor a reporter is given."""
    import nbformat
    from nbclient import NotebookClient

    for name in ("HOME", "XDG_STATE_HOME", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("ZEUS_RAY_GPU", "simulated:V100")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SEARCH)])
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    lines = "".join(out.get("text", "") for out in notebook.cells[0].outputs).splitlines()
    assert len(lines) <= MOST_LINES, lines
