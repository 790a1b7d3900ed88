"""Every notebook runs from top to bottom, and is stored without outputs."""

import re
from pathlib import Path

import pytest

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
    assert f"batch size {size} at {limit_w} W" in re.search(r"<ul><li>(.*?)</li>", page).group(1)
    row = next(row for row in page.split("<tr") if f">best {size}<" in row or f">baseline {size}<" in row)
    assert f">{limit_w}<" in row
