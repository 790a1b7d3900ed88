"""Every notebook runs from top to bottom, and is stored without outputs."""

import json
import re
from pathlib import Path

import pytest

MOST_LINES = 40
NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path):
    assert not re.search(r'"output_type"|"execution_count": \d', path.read_text())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_uses_only_what_is_public(path):
    code = [c["source"] for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code"]
    assert not re.search(r"(?:from|import) zeus_ray\.", "".join(line for cell in code for line in cell))


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.stem)
def executed(request, tmp_path_factory):
    """A notebook, run from top to bottom in a kernel of its own."""
    import nbformat
    from nbclient import NotebookClient

    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(request.param, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZEUS_RAY_SMOKE", "1")
        for name in ("HOME", "XDG_STATE_HOME", "IPYTHONDIR"):
            patch.setenv(name, str(folder))
        resources = {"metadata": {"path": str(folder)}}
        NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    return notebook


@pytest.mark.notebook
def test_a_notebook_runs_and_displays_tables_and_plots(executed):
    outputs = [out for cell in executed.cells for out in cell.get("outputs", [])]
    shown = [data for out in outputs for data in out.get("data", {})]
    assert "text/html" in shown
    assert "image/png" in shown
    pictures = [out["metadata"]["image/png"]["alt"] for out in outputs if "image/png" in out.get("data", {})]
    assert all("SIMULATED" in described for described in pictures)  # for those who cannot see it
    lines = "".join(out.get("text", "") for out in outputs).splitlines()
    assert len(lines) <= MOST_LINES, lines
    if "eta" in "".join(cell.source for cell in executed.cells if "searcher.best" in cell.source):
        check_one_answer(executed)


def page_of(notebook, theme):
    """The notebook as one HTML page, as JupyterLab shows it. (Ours need neither MathJax nor require.js.)"""
    nbconvert = pytest.importorskip(
        "nbconvert", reason="nbconvert is not installed: pip install zeus-ray[dev]"
    )
    nothing = "data:text/javascript,"
    exporter = nbconvert.HTMLExporter(theme=theme, mathjax_url=nothing, require_js_url=nothing)
    return exporter.from_notebook_node(notebook)[0]


@pytest.mark.notebook
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_chromium_shows_a_notebook_at_every_width_and_in_both_themes(
    executed, browser, theme, width, tmp_path
):
    page = tmp_path / "notebook.html"
    page.write_text(page_of(executed, theme), encoding="utf-8")
    context = browser.new_context(offline=True, viewport={"width": width, "height": 900})
    tab, said = context.new_page(), []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.goto(page.as_uri())
    tab.wait_for_load_state()
    assert said == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    title = executed.cells[0].source.splitlines()[0].removeprefix("# ")
    assert title in tab.get_by_role("heading", level=1).first.inner_text()
    pictures = tab.evaluate(
        "[...document.images].map(i => [i.naturalWidth, i.getBoundingClientRect().width])"
    )
    assert pictures
    for natural, shown in pictures:
        assert natural > 0
        assert 250 < shown <= width
    assert [text for text, ratio in tab.evaluate(CONTRASTS) if ratio < LEAST_CONTRAST] == []
    context.close()


LEAST_CONTRAST = 4.5
"""Of text, by WCAG 2.2 AA."""
CONTRASTS = """
() => {
  const parts = (colour) => [...colour.match(/[\\d.]+/g).map(Number), 1].slice(0, 4)
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]))
  const backdrop = (at) => {
    if (!at) return [255, 255, 255]
    const own = parts(getComputedStyle(at).backgroundColor)
    return own[3] === 1 ? own.slice(0, 3) : over(own, backdrop(at.parentElement))
  }
  const opacity = (at) => at ? Number(getComputedStyle(at).opacity) * opacity(at.parentElement) : 1
  const luminance = (rgb) => rgb.map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0)
  return [...document.querySelectorAll('.jp-OutputArea-output :is(td, th, li, p, pre)')]
    .filter((at) => at.innerText.trim()).map((at) => {
      const below = backdrop(at), own = parts(getComputedStyle(at).color)
      const light = [luminance(over([own[0], own[1], own[2], own[3] * opacity(at)], below)), luminance(below)]
      return [at.innerText, (Math.max(...light) + 0.05) / (Math.min(...light) + 0.05)]
    })
}
"""


def check_one_answer(notebook):
    """The table, the sentence on it and ``searcher.best()`` name the same batch size and limit."""
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    page = next(
        out["data"]["text/html"]
        for out in outputs
        if "<li>Answer: " in out.get("data", {}).get("text/html", "")
    )
    text = "".join(out.get("text", "") for out in outputs)
    size, limit_w = re.search(r"eta 0.5: batch size +(\d+) at (\d+) W", text).groups()
    sentence = next(said for said in re.findall(r"<li>(.*?)</li>", page) if said.startswith("Answer: "))
    assert re.search(rf"batch size {size} at (a power limit of )?{limit_w} W", sentence)
    rows = [row for row in page.split("<tr") if re.search(rf"answer {size}<", row)]
    # No row is the answer's where no trial had its limit to the end: the sentence says that it is expected.
    assert any(f">{limit_w}<" in row for row in rows) or "No trial had this power limit" in page


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


@pytest.mark.notebook
def test_a_reporter_in_a_notebook_is_one_output_and_few_lines(tmp_path, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    for name in ("HOME", "XDG_STATE_HOME", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("ZEUS_RAY_GPU", "simulated:V100")
    code = SEARCH.replace("num_samples=4,", "num_samples=4, callbacks=[zeus.TrialReporter()], verbose=0,")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    outputs = notebook.cells[0].outputs
    pages = [out["data"]["text/html"] for out in outputs if "text/html" in out.get("data", {})]
    (page,) = [page for page in pages if "energy so far" in page]
    assert "SIMULATED" in page
    assert re.search(r"0 running, [1-4] ended", page)
    lines = "".join(out.get("text", "") for out in outputs).splitlines()
    assert len(lines) <= MOST_LINES, lines
