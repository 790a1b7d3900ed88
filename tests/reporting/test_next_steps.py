"""What a report says to do now: use the answer, check it, show it."""

import dataclasses
import re

import pytest

import zeus_ray as zeus
from zeus_ray.records import Best, Estimate, SearchAnswer
from zeus_ray.reporting.final_metric_comparison import compare_final_metrics
from zeus_ray.reporting.next_steps import next_steps
from zeus_ray.reporting.savings import savings
from zeus_ray.reporting.show import NEXT, SearchReport

WIDE = Estimate(mean=30_000.0, low=15_000.0, high=60_000.0)


def measured(trials):
    return [dataclasses.replace(trial, measured_by="counter", gpu="V100") for trial in trials]


def test_the_answer_is_used_checked_and_shown(search, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "my results" / "train"
    folder.mkdir(parents=True)
    check, use, show = next_steps(savings(measured(search)), folder=str(folder))
    assert "zeus.session(batch_size=64, power_limit_w=125)" in use
    assert "zeus.verify(result)" in check
    assert show.endswith("zeus-ray report --html report.html 'my results/train'")


def test_the_step_runs_as_it_is_written(search, monkeypatch, tmp_path):
    monkeypatch.setenv("ZEUS_RAY_GPU", "simulated:V100")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    _check, use = next_steps(savings(measured(search)))
    (session,) = re.findall(r"with (zeus\.session\(.*\)) as run", use)
    with eval(session, {"zeus": zeus}) as run:  # noqa: S307 — what the report tells a user to write
        assert run.batch_size == 64


def test_a_simulated_gpu_is_not_the_users(search):
    first, *after = next_steps(savings(search))
    assert "without ZEUS_RAY_GPU in the environment or in the code" in first
    assert not any("64" in step for step in after)  # nobody is to use what was not measured
    assert not any("ZEUS_RAY_GPU" in step for step in next_steps(savings(measured(search))))


def test_an_example_says_so_instead_and_a_check_says_what_it_takes(search):
    first, after, *_then = next_steps(savings(search), example="This is an example.")
    assert first == "This is an example."
    assert after.startswith("After a search of your own")
    check, _use = next_steps(savings(measured(search)))
    assert "with the answer (at least 30.0 kJ and 8.00 min)" in check
    assert "with the default (at least 40.0 kJ and 10.0 min)" in check


def test_a_saving_that_may_be_scatter_is_made_sure_of_first(search):
    answer = Best(batch_size=64, power_limit_w=125.0, **dict.fromkeys(("cost", "energy_j", "time_s"), WIDE))
    unsure = savings(measured(search), answer=answer, found=SearchAnswer(best=answer))
    assert unsure.cost_share_interval[0] < 0 < unsure.cost_share_interval[1]
    assert "pass the same ZeusSearcher to Tune again" in next_steps(unsure)[0]


def test_the_default_needs_no_check(trial):
    best = trial(32, 100, 10, is_baseline=True)
    steps = next_steps(savings(measured([best, trial(64, 120, 10)])))
    assert steps == ["Keep batch size 32 and its limit: nothing in your training changes."]


def test_without_an_answer_the_report_has_said_what_to_do(trial):
    assert next_steps(savings([trial(32, 100, 10, reached=False)])) == []


def test_where_no_limit_can_be_set_none_is_asked_for(search):
    limited = [dataclasses.replace(trial, advice="150 W would have taken less") for trial in measured(search)]
    assert "zeus.session(batch_size=64) as run" in next_steps(savings(limited))[-1]


def test_a_verified_answer_is_not_checked_again(search):
    side = ("batch size 64", [0.9] * 3)
    verified = compare_final_metrics("acc", "max", side, side)
    steps = SearchReport(tuple(measured(search)), verified=verified).by_subject[NEXT]
    assert not any("zeus.verify" in step for step in steps)


@pytest.mark.parametrize("kind", ["simulated", "replay", "counter"])
def test_the_table_says_whether_its_numbers_were_measured(search, kind):
    trials = tuple(dataclasses.replace(trial, measured_by=kind) for trial in search)
    title = SearchReport(trials).table_title
    assert ("SIMULATED" in title, "REPLAYED" in title) == (kind == "simulated", kind == "replay")
