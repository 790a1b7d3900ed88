"""``zeus-ray report``: what it takes for a search or a history, and what it writes."""

import csv

import pytest

from zeus_ray.cli.main import main
from zeus_ray.cli.read_experiment_folder import experiment_folder
from zeus_ray.records import Knobs, Measurement, Outcome, PowerProfile, StopReason, Target, TrialReport
from zeus_ray.store.event_log import open_job_log
from zeus_ray.store.events import CurvePoint, ProcessInfo, ProfileMeasured, RunAsked, RunEnded

PROFILE = PowerProfile(
    batch_size=64, gpu="simulated V100", max_power_w=250, points=((125.0, 120.0, 12.0), (250.0, 240.0, 10.0))
)


@pytest.fixture
def history(tmp_path):
    """Two nights of a job: one to the target, one stopped."""
    log = open_job_log(tmp_path / "history", "nightly")
    process = ProcessInfo(machine="m", pid=1, started_s=0.0)
    for run_id, size, reached in (("1", 64, True), ("2", 128, False)):
        knobs = Knobs(run_id=run_id, batch_size=size, power_limit_w=125.0)
        log.append(RunAsked(knobs=knobs, process=process, default_batch_size=64))
        curve = tuple(CurvePoint(float(n), 0.1 * n, 1000.0 * n, 10.0 * n) for n in range(1, 10))
        used = Measurement(energy_j=9000.0, time_s=90.0)
        outcome = Outcome(
            knobs=knobs,
            reached=reached,
            epochs=9.0,
            metric=0.9,
            measurement=used,
            stop=StopReason.TARGET_REACHED if reached else StopReason.NOT_WORTH_IT,
            gpu="simulated V100",
        )
        report = TrialReport(
            gpu="simulated V100", energy_j=9000.0, time_s=90.0, power_limit_w=125.0, measured_by="simulated"
        )
        log.append(ProfileMeasured(run_id=run_id, profile=PROFILE))
        log.append(RunEnded(outcome=outcome, target=Target("accuracy", 0.9), curve=curve, report=report))
    return str(tmp_path / "history")


def test_a_history_is_printed(history, capsys):
    assert main(["report", history]) == 0
    printed = capsys.readouterr().out
    assert "nightly: 2 runs, 1 of them to the target" in " ".join(printed.split())
    assert main(["report", history, "--job", "other"]) == 1
    assert main(["report", history + "-none"]) == 1
    assert "has no run, and is no folder of an experiment" in " ".join(capsys.readouterr().out.split())


def test_the_runs_of_a_history_are_rows_of_one_file(history, tmp_path, capsys):
    path = tmp_path / "zeus_emissions.csv"
    for _ in range(2):  # once each, however often it is asked for
        assert main(["report", "--emissions", str(path), history]) == 0
    assert "wrote 0 rows of 2" in capsys.readouterr().err
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["run_id"], row["zeus_target_reached"]) for row in rows] == [("1", "true"), ("2", "false")]
    assert {(row["project_name"], row["zeus_simulated"], row["duration"]) for row in rows} == {
        ("nightly", "true", "90.0")
    }
    assert sum(float(row["gpu_energy"]) for row in rows) == pytest.approx(18_000 / 3.6e6)


@pytest.mark.browser
def test_a_history_is_a_page(history, tmp_path, capsys):
    pytest.importorskip("plotly", reason="Plotly is not installed: pip install zeus-ray[report]")
    path = tmp_path / "new" / "page.html"
    assert main(["report", "--html", str(path), history]) == 0
    assert str(path) in capsys.readouterr().out.replace("\n", "")
    page = path.read_text()
    assert "<h1>Report of nightly</h1>" in page
    assert "2 runs, 1 of them to the target" in page
    assert "SIMULATED" in page
    assert "Energy of nightly" in page
    assert "Learning curves by batch size" in page
    assert page.count("<tr>") == 3


def test_options_that_do_not_belong_are_refused(history, tmp_path, capsys):
    assert main(["report", history, "--power", "trace.parquet"]) == 2
    assert "--power draws a trace beside a search" in capsys.readouterr().err
    experiment = tmp_path / "results" / "train"
    experiment.mkdir(parents=True)
    (experiment / "experiment_state-1.json").write_text("{}")
    assert main(["report", str(experiment), "--job", "nightly"]) == 2
    assert "--job names a job of a history" in capsys.readouterr().err


def test_the_newest_experiment_of_a_folder_counts(tmp_path):
    assert experiment_folder(str(tmp_path)) is None
    assert experiment_folder("s3://bucket/zeus") is None
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "experiment_state-1.json").write_text("{}")
    assert experiment_folder(str(tmp_path / "a")) == tmp_path / "a"
    assert experiment_folder(str(tmp_path)) == tmp_path / "b"
