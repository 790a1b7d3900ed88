"""ZeusSearcher as Ray Tune drives it: the real class, called as Tune calls it, without a cluster."""

import json
import math
import time

import numpy as np
import pytest

pytestmark = pytest.mark.ray
tune = pytest.importorskip("ray.tune")

from ray.tune.search import Searcher  # noqa: E402 — after the marker: importing it takes seconds

import zeus_ray as zeus  # noqa: E402
from zeus_ray.records import (  # noqa: E402
    BASELINE,
    Plan,
    PowerProfile,
    StopReason,
    Target,
    TrialReport,
    to_json,
)
from zeus_ray.store.event_log import EventLog  # noqa: E402
from zeus_ray.store.events import ProfileMeasured, RunEnded  # noqa: E402

SIZES = [16, 32, 64, 128]
TARGET = Target("accuracy", 0.9)


def make(**options):
    options = {"target": TARGET, "default_batch_size": 64, **options}
    searcher = zeus.ZeusSearcher(**options)
    if "batch_sizes" not in options:
        searcher.set_search_properties("accuracy", "max", {"batch_size": tune.choice(SIZES)})
    return searcher


def result(plan, *, reached=True, iteration=1, **fields):
    """What a trial of ``plan`` reports: cheaper per epoch the nearer its batch size is to 32."""
    size = plan.knobs.batch_size
    epochs = 10 + 3 * abs(math.log2(size / 32))
    points = tuple((w, 0.9 * w, 10.0 * (1 + 25 / w)) for w in (250.0, 175.0, 100.0))
    profile = PowerProfile(batch_size=size, gpu="V100", max_power_w=250.0, points=points)
    values = {
        "run_id": plan.knobs.run_id,
        "batch_size": size,
        "epochs": epochs,
        "energy_j": 1000.0 * epochs,
        "time_s": 10.0 * epochs,
        "gpu": "V100",
        "measured_by": "counter",
        "target_reached": reached,
        "stop_reason": "target reached" if reached else "",
        "profile": to_json(profile),
        **fields,
    }
    metric = 0.91 if reached else 0.5
    return {"accuracy": metric, "training_iteration": iteration, **TrialReport(**values).to_result()}


def drive(searcher, runs=40):
    """Ask and tell until the search ends; the batch sizes it asked for."""
    sizes = []
    for number in range(runs):
        trial = f"trial-{number}"
        config = searcher.suggest(trial)
        if config == Searcher.FINISHED:
            return sizes
        plan = Plan.from_config(config["zeus"])
        sizes.append(config["batch_size"])
        searcher.on_trial_result(trial, result(plan))
        searcher.on_trial_complete(trial_id=trial, result=result(plan), error=False)
    raise AssertionError(f"the search did not end in {runs} runs: {sizes}")


def test_a_suggestion_carries_the_plan_and_every_other_parameter():
    searcher = zeus.ZeusSearcher(target=TARGET, default_batch_size=64)
    space = {
        "batch_size": tune.choice(SIZES),
        "lr": tune.loguniform(1e-4, 1e-1),
        "model": {"depth": tune.randint(2, 5), "name": "resnet"},
        "epochs": 7,
    }
    assert searcher.set_search_properties(None, None, space)
    config = searcher.suggest("a")
    assert config["batch_size"] == 64  # the default comes first
    assert 1e-4 <= config["lr"] <= 1e-1
    assert config["model"]["depth"] in (2, 3, 4)
    assert (config["model"]["name"], config["epochs"]) == ("resnet", 7)
    assert Plan.from_config(config["zeus"]).target == TARGET
    json.dumps(config)  # nothing but plain values


def test_the_search_ends_by_itself_with_a_best():
    searcher = make()
    assert drive(searcher)
    best = searcher.best()
    assert best.batch_size == 32
    assert best.cost.low <= best.cost.mean <= best.cost.high


def test_the_same_seed_samples_the_same_other_parameters():
    space = {"batch_size": tune.choice(SIZES), "lr": tune.uniform(0, 1)}

    def first(seed):
        searcher = zeus.ZeusSearcher(target=TARGET, default_batch_size=64, seed=seed)
        searcher.set_search_properties("accuracy", "max", space)
        return searcher.suggest("a")["lr"]

    assert first(1) == first(1) != first(2)


def test_a_repeated_end_or_one_of_an_unknown_trial_changes_nothing():
    searcher = make()
    plan = Plan.from_config(searcher.suggest("a")["zeus"])
    searcher.on_trial_complete(trial_id="a", result=result(plan), error=False)
    state = json.dumps(searcher.search.state())
    searcher.on_trial_complete(trial_id="a", result=result(plan), error=False)
    searcher.on_trial_complete(trial_id="unknown", result=None, error=True)
    assert json.dumps(searcher.search.state()) == state


def test_errors_and_missing_metrics_do_not_stop_the_search():
    searcher = make()
    for number in range(30):
        config = searcher.suggest(f"t{number}")
        if config == Searcher.FINISHED:
            break
        if config is None:
            continue
        plan = Plan.from_config(config["zeus"])
        if number % 3 == 0:
            searcher.on_trial_complete(trial_id=f"t{number}", result=None, error=True)
        elif number % 3 == 1:
            broken = result(plan, reached=False)
            del broken["accuracy"]
            searcher.on_trial_complete(trial_id=f"t{number}", result=broken, error=False)
        else:
            searcher.on_trial_complete(trial_id=f"t{number}", result=result(plan), error=False)
    assert not searcher.search.pending


def test_the_same_result_from_scheduler_and_searcher_counts_once():
    searcher = make()
    plan = Plan.from_config(searcher.suggest("a")["zeus"])
    row = result(plan, reached=False, epochs=1.0)
    assert searcher.observe("a", row) is searcher.observe("a", row)
    assert searcher.observe("a", result(plan, iteration=2)) == StopReason.TARGET_REACHED


def test_a_retried_trial_is_told_by_its_last_attempt():
    searcher = make()
    plan = Plan.from_config(searcher.suggest("a")["zeus"])
    searcher.on_trial_result("a", result(plan, reached=False, iteration=7))
    retried = result(plan, iteration=3, attempt=2, energy_j=12_345.0)
    searcher.on_trial_complete(trial_id="a", result=retried, error=False)
    assert searcher.best().batch_size == plan.knobs.batch_size
    (end,) = [
        logged.event for logged in searcher._runs.recorder.log.read() if isinstance(logged.event, RunEnded)
    ]
    assert end.outcome.reached
    assert end.outcome.measurement.energy_j == 12_345.0


def test_a_part_of_a_profile_is_learned_when_its_trial_ends():
    searcher = make()
    plan = Plan.from_config(searcher.suggest("a")["zeus"])
    whole = result(plan, reached=False)
    part = result(plan, reached=False, profile="", profile_so_far=whole["zeus/profile"])
    searcher.on_trial_result("a", part)
    assert not searcher.search.profiles  # it may still find a better limit
    searcher.on_trial_complete(trial_id="a", result=part, error=False)
    assert [profile.batch_size for profile in searcher.search.profiles] == [64]


@pytest.mark.parametrize("measured", [0, 1])
def test_a_profile_is_said_to_be_not_complete_unless_the_search_stopped_its_trial(caplog, measured):
    searcher = make()
    for trial, stop in (("a", StopReason.NOT_WORTH_IT), ("b", None), ("c", None)):
        plan = Plan.from_config(searcher.suggest(trial)["zeus"])
        assert plan.knobs.probe_limits_w != ()
        whole = result(plan, reached=False)
        so_far = whole["zeus/profile"] if measured else ""
        part = result(plan, reached=False, profile="", profile_so_far=so_far)
        searcher.on_trial_result(trial, part)
        if stop:
            searcher.note_stop(trial, stop)
        searcher.on_trial_complete(trial_id=trial, result=part, error=False)
        assert caplog.text.count("is not complete") == (0 if stop else 1)
    assert f"limits measured: {3 * measured}" in caplog.text


def test_two_kinds_of_measurement_in_one_search_are_an_error():
    searcher = make()
    for trial, kind in (("a", "counter"), ("b", "power integral")):
        plan = Plan.from_config(searcher.suggest(trial)["zeus"])
        searcher.on_trial_complete(trial_id=trial, result=result(plan, measured_by=kind), error=False)
    plan = Plan.from_config(searcher.suggest("c")["zeus"])
    with pytest.raises(zeus.BadInput, match="simulated"):
        searcher.on_trial_result("c", result(plan, measured_by="simulated"))


def test_a_snapshot_and_the_event_log_continue_the_same_search(tmp_path):
    searcher = make(seed=3, policy="nsdi23")  # which asks for two at once
    snapshot = tmp_path / "searcher.json"
    plans = [Plan.from_config(searcher.suggest(t)["zeus"]) for t in ("a", "b")]
    searcher.on_trial_complete(trial_id="a", result=result(plans[0]), error=False)
    searcher.save(str(snapshot))
    searcher.on_trial_complete(trial_id="b", result=result(plans[1]), error=False)  # told after the snapshot
    late = Plan.from_config(searcher.suggest("c")["zeus"])
    searcher.on_trial_complete(trial_id="c", result=result(late), error=False)  # asked after it, too

    again = zeus.ZeusSearcher(target=TARGET, default_batch_size=64, seed=3)  # as Tune restores it: no space
    again.restore(str(snapshot))
    assert again.search.best() == searcher.search.best()
    again.on_trial_complete(trial_id="b", result=result(plans[1]), error=False)  # Tune runs it once more
    assert again.search.best() == searcher.search.best()
    assert not again.search.pending
    assert again.suggest("d") == searcher.suggest("d")


def test_after_a_restore_what_ended_does_not_run_again_but_what_failed_may(tmp_path):
    searcher = make(policy="nsdi23")
    ended, failed = (searcher.suggest(trial) for trial in ("a", "b"))
    assert not searcher.was_told(ended)
    searcher.save(str(tmp_path / "snapshot"))
    reached = result(Plan.from_config(ended["zeus"]))
    searcher.on_trial_complete(trial_id="a", result=reached, error=False)  # told after the snapshot
    searcher.on_trial_complete(trial_id="b", result=None, error=True)
    again = make()
    again.restore(str(tmp_path / "snapshot"))
    again.save(str(tmp_path / "later"))
    later = make()
    later.restore(str(tmp_path / "later"))
    for one in (searcher, again, later):
        assert one.was_told(ended)
        assert not one.was_told(failed)
        assert not one.was_told({"batch_size": 64})


def test_what_a_search_was_told_is_in_its_event_log_before_it_moves_on(tmp_path, caplog):
    searcher = make(history=tmp_path / "log", policy="nsdi23")
    plans = [Plan.from_config(searcher.suggest(trial)["zeus"]) for trial in ("a", "b")]
    searcher.save(str(tmp_path / "snapshot"))
    for trial, plan in zip(("a", "b"), plans, strict=True):
        searcher.on_trial_result(trial, result(plan, reached=False, epochs=1.0))
        searcher.on_trial_complete(trial_id=trial, result=result(plan, iteration=2), error=False)
    events = [logged.event for logged in EventLog.open(tmp_path / "log").read()]
    assert [type(event) for event in events] == [ProfileMeasured, RunEnded, RunEnded]  # one profile, once
    assert [point.metric for point in events[1].curve] == [0.5, 0.91]

    (damaged,) = (tmp_path / "log").glob("*-outcome-1.json")
    damaged.write_text(damaged.read_text()[:-40])
    again = make()
    again.restore(str(tmp_path / "snapshot"))
    assert again.search.pending == ("1",)
    assert again.was_told({"zeus": plans[1].to_config()})
    assert caplog.text.count(damaged.name) == 1


def test_a_search_in_the_folder_of_another_begins_with_nothing_of_it(tmp_path):
    first = make(history=tmp_path / "log")
    drive(first)
    second = make(history=tmp_path / "log")
    plan = Plan.from_config(second.suggest("a")["zeus"])
    second.save(str(tmp_path / "snapshot"))
    second.on_trial_complete(trial_id="a", result=result(plan), error=False)
    again = make()
    again.restore(str(tmp_path / "snapshot"))
    assert again.search.best() == second.search.best()
    assert again.suggest("b") == second.suggest("b")


def test_a_warm_start_reads_the_log_of_a_search_for_another_target_too(tmp_path):
    drive(make(history=tmp_path / "log"))
    easier = make(target=Target("accuracy", 0.8), warm_start=[tmp_path / "log"])
    assert easier.best().batch_size == 32
    with pytest.raises(zeus.BadInput, match="metric"):
        make(target=Target("loss", 0.1, mode="min"), warm_start=[tmp_path / "nothing"], batch_sizes=SIZES)


def test_a_storage_that_refuses_ends_no_search(tmp_path, caplog):
    (tmp_path / "log").mkdir()
    searcher = make(history=tmp_path / "log")
    plan = Plan.from_config(searcher.suggest("a")["zeus"])
    (tmp_path / "log").rmdir()
    (tmp_path / "log").write_text("a file where the folder should be")
    searcher.on_trial_complete(trial_id="a", result=result(plan), error=False)
    assert not searcher.search.pending
    assert "Not stored: RunEnded of run 1" in caplog.text


def test_another_searcher_may_choose_the_other_parameters():
    optuna = pytest.importorskip("optuna")
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    searcher = zeus.ZeusSearcher(target=TARGET, default_batch_size=64, other_searcher=OptunaSearch(seed=0))
    space = {"batch_size": tune.choice(SIZES), "lr": tune.loguniform(1e-4, 1e-1), "layers": 3}
    searcher.set_search_properties("accuracy", "max", space)
    config = searcher.suggest("a")
    assert (config["batch_size"], config["layers"]) == (64, 3)
    assert 1e-4 <= config["lr"] <= 1e-1
    plan = Plan.from_config(config["zeus"])
    searcher.on_trial_result("a", result(plan))
    searcher.on_trial_complete(trial_id="a", result=result(plan), error=False)


def test_the_baseline_runs_first_at_the_limit_set_and_its_epochs_alone_count_in_the_search():
    searcher = make(baseline=True)
    plan = Plan.from_config(searcher.suggest("a")["zeus"])
    assert (plan.knobs.run_id, plan.knobs.batch_size) == (BASELINE, 64)
    assert (plan.knobs.power_limit_w, plan.knobs.probe_limits_w) == (None, ())
    before = searcher.search.state()
    searcher.on_trial_complete(trial_id="a", result=result(plan, profile=""), error=False)
    after = searcher.search.state()
    assert after["search"].pop("baseline") is not None
    assert before["search"].pop("baseline") is None
    assert after == before
    assert Plan.from_config(searcher.suggest("b")["zeus"]).knobs.run_id != BASELINE


@pytest.mark.parametrize(
    ("options", "space", "words"),
    [
        ({}, {}, "no batch sizes"),
        ({}, {"batch_size": tune.grid_search([1, 2])}, "grid_search at batch_size"),
        (
            {},
            {"batch_size": tune.choice(SIZES), "a": {"lr": tune.grid_search([1, 2])}},
            "grid_search at a/lr",
        ),
        ({}, {"batch_size": tune.uniform(1, 9)}, "tune.choice"),
        ({}, {"batch_size": tune.choice(SIZES), "zeus": 1}, "reserved"),
        ({}, {"batch_size": tune.choice([16, 32])}, "64"),
        ({}, {"batch_size": tune.choice([])}, "batch sizes"),
        ({}, {"batch_size": tune.choice([64, 64])}, "64"),
        ({}, {"batch_size": tune.choice([64, -1])}, "-1"),
        ({}, {"batch_size": tune.choice([64, 0.5])}, "0.5"),
        ({"eta": 1.5}, {"batch_size": tune.choice(SIZES)}, "eta"),
        ({"beta": 1.0}, {"batch_size": tune.choice(SIZES)}, "beta"),
        ({"policy": "magic"}, {"batch_size": tune.choice(SIZES)}, "magic"),
    ],
)
def test_bad_input_is_an_error_before_any_trial(options, space, words):
    with pytest.raises(zeus.BadInput, match=words):
        zeus.ZeusSearcher(**{"target": TARGET, "default_batch_size": 64, **options}).set_search_properties(
            "accuracy", "max", space
        )


@pytest.mark.parametrize(
    ("target", "metric", "mode", "words"),
    [
        (TARGET, "loss", None, "loss"),
        (TARGET, None, "min", "min"),
        (None, None, None, "no metric"),
    ],
)
def test_metric_and_mode_must_agree(target, metric, mode, words):
    searcher = zeus.ZeusSearcher(target=target, default_batch_size=64)
    with pytest.raises(zeus.BadInput, match=words):
        searcher.set_search_properties(metric, mode, {"batch_size": tune.choice(SIZES)})


def test_an_unknown_mode_names_the_modes():
    with pytest.raises(zeus.BadInput, match="max"):
        Target("accuracy", 0.9, mode="maximum")


def test_the_price_of_energy_moves_no_batch_size_and_no_cap():
    """A signal with four weeks of 100 g/kWh up to now, then another value."""
    from zeus_ray.carbon.constant_and_recorded_signal import RecordedSignal
    from zeus_ray.carbon.series import Series

    def asked(grams):
        now_s = time.time()
        values = np.append(np.full(24 * 28, 100.0), np.full(24, grams))
        signal = RecordedSignal(Series(now_s - 24 * 28 * 3600.0 - 60.0, 3600.0, values))
        searcher, plans = make(objective="carbon", signal=signal), []
        while (config := searcher.suggest(f"t{len(plans)}")) != Searcher.FINISHED:
            plan, number = Plan.from_config(config["zeus"]), len(plans)
            plans.append(plan)
            searcher.on_trial_complete(trial_id=f"t{number}", result=result(plan), error=False)
        return plans

    clean, dirty = asked(20.0), asked(500.0)
    assert {round(plan.energy_price, 2) for plan in clean} == {0.2}
    assert {round(plan.energy_price, 1) for plan in dirty} == {5.0}
    assert [plan.knobs.batch_size for plan in clean] == [plan.knobs.batch_size for plan in dirty]
    assert [plan.knobs.cost_cap for plan in clean] == [plan.knobs.cost_cap for plan in dirty]
    assert {plan.eta for plan in (*clean, *dirty)} == {0.5}


def test_an_objective_prices_the_energy_of_runs_and_is_checked_at_construction():
    with pytest.raises(zeus.BadInput, match="needs a signal"):
        make(objective="carbon")
    config = make(objective="carbon", signal="constant:400").suggest("a")
    assert Plan.from_config(config["zeus"]).emissions == zeus.EmissionsConfig(signal="constant:400")
    assert make(objective=zeus.Prices(energy=0.36, time=0.09), max_power_w=250.0).search.eta == pytest.approx(
        0.5
    )
