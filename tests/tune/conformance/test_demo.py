"""The demo on a real Ray: its table, ``best()``, its plot and its sentence have one answer."""

import csv
import re

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]
pytest.importorskip("ray.tune")
pytest.importorskip("sklearn")
pytest.importorskip("torch")

import zeus_ray as zeus  # noqa: E402 — after the check that everything is there
from zeus_ray.cli.main import main  # noqa: E402
from zeus_ray.cli.read_experiment_folder import power_pictures  # noqa: E402
from zeus_ray.demo import DemoOptions, run_search  # noqa: E402
from zeus_ray.records import from_json  # noqa: E402
from zeus_ray.records.stored_power_trace import StoredPowerTrace  # noqa: E402


def read_trace(path):
    return from_json(StoredPowerTrace, path.read_text())


def test_the_demo_has_one_answer(tmp_path, capsys, monkeypatch):
    searcher, result = run_search(DemoOptions(trials=5, out=tmp_path))
    monkeypatch.chdir(tmp_path)  # from there the folder of the experiment is short
    best, shown = searcher.best(), zeus.show(result)
    assert shown.best == best == zeus.recommended(result)
    size, limit_w = best.batch_size, f"{best.power_limit_w:.0f}"
    first = next(text for text in shown.sentences if text.startswith("Answer: "))
    assert re.search(rf"batch size {size} at (a power limit of )?{limit_w} W", first)
    winner = shown.winner()
    marked = re.findall(r"answer (\d+) +(\d+)", str(shown))
    if winner is None:  # no trial of this batch size had this limit to its end
        assert not marked
    else:
        assert (winner.batch_size, f"{winner.power_limit_w:.0f}") == (size, limit_w)
        assert marked == ([] if winner.is_baseline else [(str(size), limit_w)])
        assert f"answer {size}" in shown._repr_html_()
    assert set(shown.pictures) == {"pareto", "cost", "curves", "history"}
    stored = [read_trace(path) for path in tmp_path.rglob("zeus-power-1.json")]
    assert len(stored) == len(shown.trials)  # however each was stopped
    assert all(trace.measured_by == "simulated" and any(trace.traces.values()) for trace in stored)
    (power,), missing = power_pictures(result, shown)
    assert power.title.startswith("Power over time: batch size")
    assert missing == []
    capsys.readouterr()
    rows = tmp_path / "zeus_emissions.csv"
    assert main(["report", "--emissions", str(rows), str(tmp_path)]) == 0
    with rows.open(newline="") as file:
        energies = {row["run_id"]: float(row["gpu_energy"]) * 3.6e6 for row in csv.DictReader(file)}
    assert energies == pytest.approx({trial.trial_id: trial.energy_j for trial in shown.trials})
    printed = " ".join(capsys.readouterr().out.split())
    assert all(" ".join(sentence.split()) in printed for sentence in shown.sentences)
