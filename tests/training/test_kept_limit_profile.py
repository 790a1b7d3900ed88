"""A requeued run goes on at its limit; what cannot be used is measured anew."""

import pytest
from runs import ClockedGpu, own_plan, step_for

import zeus_ray as zeus
from zeus_ray.errors import BadInput
from zeus_ray.training.training_run import TrainingRun

pytestmark = pytest.mark.slow


@pytest.fixture
def run_job(monkeypatch, tmp_path):
    """Trains a job for ``seconds``; returns the limit of each step and of the last profile's windows."""

    def run(seconds, *, kind="V100", batch_size=32, job="long", history=tmp_path / "history", load=None):
        gpu = ClockedGpu(**(load or {})).put_on(monkeypatch)
        gpu.lease = type(gpu.lease)(**{**vars(gpu.lease), "gpu": kind})
        plan = own_plan(batch_size, job=job, history=str(history))
        run = TrainingRun(plan, gpu.group())
        limits = step_for(run, gpu, seconds)
        run._limit.finish(partial=True)
        return limits

    return run


def test_a_requeued_run_goes_on_at_its_limit(run_job):
    limits, gpu = run_job(120), ClockedGpu()
    again = run_job(120)
    assert limits[0] == 300
    assert {100, 300}.isdisjoint(again)
    assert gpu.cost(again[0]) <= 1.01 * gpu.cost(gpu.best_w())


@pytest.mark.parametrize("other", [{"kind": "A100"}, {"batch_size": 64}, {"job": "another"}])
def test_another_kind_of_gpu_batch_size_or_job_starts_anew(run_job, other):
    run_job(120)
    assert run_job(5, **other)[2] == 300
    assert run_job(5)[2] != 300


def test_another_load_under_the_same_name_is_profiled_anew(run_job):
    run_job(120)
    light = {"step_s": 0.5, "uncapped_w": 150.0}
    assert 300 in run_job(60, load=light)
    gpu = ClockedGpu(**light)
    assert gpu.cost(run_job(120, load=light)[-1]) <= 1.01 * gpu.cost(gpu.best_w())


def test_a_run_that_ends_before_its_profile_is_complete_keeps_nothing(run_job):
    run_job(8)
    assert run_job(5)[2] == 300


def test_what_cannot_be_read_or_written_is_said_and_the_run_goes_on(run_job, tmp_path, caplog):
    run_job(120)
    (file,) = (tmp_path / "history" / "long").iterdir()
    file.write_text("{")
    assert run_job(120)[2] == 300
    assert "is measured anew" in caplog.text
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked" / "long").write_text("a file where the job's folder should be")
    run_job(120, history=tmp_path / "locked")
    assert caplog.text.count("cannot be kept") == 1
    with pytest.raises(BadInput, match="is a file"):
        run_job(5, history=tmp_path / "locked" / "long")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"unit": "epochs"}, "unit is 'epochs'; allowed: 'steps', 'samples', 'tokens'"),
        ({"max_slowdown": 0.9}, "max_slowdown is 0.9"),
        ({"stage": -1}, "stage is -1"),
        ({"objective": "carbon"}, "needs a signal"),
        ({"signal": "constant:300"}, "signal is given"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(options, words):
    with pytest.raises(BadInput, match=words):
        zeus.session(batch_size=8, **options)
