"""Uses of Ray Tune that are seldom and allowed: each gives the right answer, or says what to do."""

import contextlib
import copy
import logging
import math
import pickle

import numpy as np
import pytest

pytestmark = pytest.mark.ray
tune = pytest.importorskip("ray.tune")

from conformance_jobs import SIZES, TARGET, Job, Unmetered, accuracy, sizes_of  # noqa: E402
from in_process import in_this_process, run  # noqa: E402 — after the marker: importing it takes seconds
from ray.tune.error import TuneError  # noqa: E402
from ray.tune.schedulers import (  # noqa: E402
    ASHAScheduler,
    AsyncHyperBandScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    ResourceChangingScheduler,
)
from ray.tune.stopper import CombinedStopper, MaximumIterationStopper, TrialPlateauStopper  # noqa: E402
from test_lengths import search, searcher  # noqa: E402

import zeus_ray as zeus  # noqa: E402
from zeus_ray.errors import TargetNotReached  # noqa: E402
from zeus_ray.records import Target  # noqa: E402


def fit(tmp_path, alg, *, train=Job, space=None, scheduler=True, run_options=None, **options):
    """``Tuner.fit`` in this process."""
    with in_this_process():
        tuner = tune.Tuner(
            train,
            param_space={"batch_size": tune.choice(SIZES)} if space is None else space,
            tune_config=tune.TuneConfig(
                search_alg=alg,
                scheduler=zeus.EnergyScheduler(alg) if scheduler is True else scheduler,
                **{"num_samples": 5, **options},
            ),
            run_config=tune.RunConfig(storage_path=str(tmp_path), verbose=0, **(run_options or {})),
        )
        return tuner.fit()


STOPS = {
    "iterations": {"training_iteration": 30},
    "metric": {"accuracy": 0.9},
    "energy": {"zeus/energy_j": 10**9},
    "function": lambda _trial_id, result: result["training_iteration"] >= 40,
    "stopper": CombinedStopper(MaximumIterationStopper(40), TrialPlateauStopper("accuracy", std=0.0)),
}


@pytest.mark.parametrize("name", STOPS)
def test_tunes_own_stop_ends_trials_and_the_search_still_has_its_answer(tmp_path, name):
    alg = searcher()
    results = fit(tmp_path, alg, run_options={"stop": STOPS[name]})
    assert not results.errors
    assert math.isfinite(alg.best().cost.mean)
    assert not alg.search.pending


def test_a_stop_before_the_target_is_no_success(tmp_path):
    alg = searcher()
    result = search(alg, tmp_path, num_samples=4, stop={"training_iteration": 2})
    assert not [trial for trial in result.trials if trial.last_result["zeus/target_reached"]]
    with pytest.raises(TargetNotReached, match=r"0\.1800 of 0\.9"):
        alg.best()


def test_the_data_frame_of_a_tuner_has_numbers_and_texts(tmp_path):
    alg = searcher()
    frame = fit(tmp_path, alg).get_dataframe()
    for name in ("energy_j", "time_s", "cost", "power_limit_w", "epochs", "batch_size"):
        assert frame[f"zeus/{name}"].dtype.kind in "fi", name
    assert frame["zeus/target_reached"].dtype.kind == "b"
    assert set(frame["zeus/stop_reason"]) <= {"target reached", "not worth it", "cost cap", "profiled"}
    assert [name for name in frame.columns if name.startswith("config/zeus")] == ["config/zeus"]


def test_the_best_result_by_cost_to_target_is_a_trial_that_reached_it(tmp_path):
    alg = searcher()
    best = fit(tmp_path, alg, num_samples=8).get_best_result("zeus/cost_to_target", "min")
    assert best.metrics["zeus/target_reached"]


@pytest.mark.parametrize("resume", ["AUTO", "AUTO+RESTART_ERRORED"])
def test_an_experiment_that_is_over_is_resumed_without_a_new_trial(tmp_path, resume):
    first = search(searcher(), tmp_path, name="one", num_samples=3)
    again = searcher()
    second = search(again, tmp_path, name="one", num_samples=3, resume=resume)
    assert {t.trial_id for t in second.trials} == {t.trial_id for t in first.trials}
    assert math.isfinite(again.best().cost.mean)


class Fails(Job):
    FAILS = 32

    def step(self):
        if self.size == self.FAILS and self.epoch == 1:
            raise RuntimeError("out of luck")
        return super().step()


def test_a_tuner_is_restored_with_trials_that_failed(tmp_path):
    alg = searcher(points_to_evaluate=[32])
    results = fit(tmp_path, alg, train=Fails, num_samples=3, run_options={"name": "one"})
    assert len(results.errors) == 1
    with in_this_process():
        mended = type("Fails", (Job,), {})
        tuner = tune.Tuner.restore(str(tmp_path / "one"), trainable=mended, resume_errored=True)
        restored = tuner.fit()
    assert not restored.errors
    assert sum(bool(row.metrics["zeus/target_reached"]) for row in restored) >= 1


@pytest.mark.filterwarnings("ignore:fail_fast='raise' detected")
@pytest.mark.parametrize("fail_fast", [True, "raise"])
def test_fail_fast_leaves_a_searcher_that_goes_on(tmp_path, fail_fast):
    alg = searcher(points_to_evaluate=[32])
    raised = pytest.raises(RuntimeError) if fail_fast == "raise" else contextlib.nullcontext()
    with raised:
        search(alg, tmp_path / "1", train=Fails, num_samples=4, fail_fast=fail_fast)
    search(alg, tmp_path / "2", num_samples=4)
    assert math.isfinite(alg.best().cost.mean)
    assert not alg.search.pending


def test_trials_that_fail_more_often_than_allowed_are_failures_of_their_size_only(tmp_path):
    alg = searcher(points_to_evaluate=[32])
    result = search(alg, tmp_path, train=Fails, num_samples=6, max_failures=2)
    assert any(trial.status == "ERROR" for trial in result.trials)
    assert alg.best().batch_size != 32
    assert math.isfinite(alg.best().cost.mean)


@pytest.mark.parametrize("options", [{"num_samples": -1}, {"num_samples": -1, "max_concurrent_trials": 3}])
def test_a_search_without_a_number_of_trials_ends_by_itself(tmp_path, options):
    alg = searcher()
    result = search(alg, tmp_path, **options)
    assert alg.search.finished
    assert 1 <= len(result.trials) < 40


def test_a_time_budget_of_nothing_still_says_what_is_missing(tmp_path):
    alg = searcher()
    result = search(alg, tmp_path, num_samples=50, time_budget_s=0.05)
    assert alg.best().batch_size == 64 or math.isfinite(alg.best().cost.mean)
    assert len(result.trials) < 50
    search(alg, tmp_path / "2", num_samples=20)
    assert math.isfinite(alg.best().cost.mean)


@pytest.mark.parametrize("reuse", [True, False])
def test_reused_actors_train_what_is_booked(tmp_path, reuse):
    alg = searcher()
    result = search(alg, tmp_path, num_samples=8, reuse_actors=reuse)
    for trial in result.trials:
        assert trial.config["batch_size"] == trial.last_result["zeus/batch_size"]
        assert str(trial.config["zeus"]) == trial.last_result["zeus/run_id"]


METRICS = {
    "a slash": ("val/acc", lambda value: {"val": {"acc": value}}),
    "a slash in the name": ("val/acc", lambda value: {"val/acc": value}),
    "dots": ("val.acc@1", lambda value: {"val.acc@1": value}),
    "spaces": ("top 1", lambda value: {"top 1": value}),
    "numpy": ("acc", lambda value: {"acc": np.float32(value)}),
    "an array without dimension": ("acc", lambda value: {"acc": np.array(value)}),
    "beside truth values": ("acc", lambda value: {"acc": value, "done_well": np.bool_(1), "ok": True}),
}


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_of_any_name_and_type_is_read(tmp_path, name):
    metric, reported = METRICS[name]
    train = type("Named", (Job,), {"metric": lambda self: reported(accuracy(self.epoch, self.size) + 1e-6)})
    alg = searcher(target=Target(metric, 0.9))
    result = search(alg, tmp_path, train=train, num_samples=4)
    assert not [trial for trial in result.trials if trial.status == "ERROR"]
    assert any(t.last_result["zeus/stop_reason"] == "target reached" for t in result.trials)
    assert math.isfinite(alg.best().cost.mean)


def test_tensors_without_a_dimension_are_read(tmp_path):
    torch = pytest.importorskip("torch")
    train = type(
        "Tensor",
        (Job,),
        {"metric": lambda self: {"accuracy": torch.tensor(accuracy(self.epoch, self.size) + 1e-6)}},
    )
    alg = searcher()
    search(alg, tmp_path, train=train, num_samples=3)
    assert math.isfinite(alg.best().cost.mean)


@pytest.mark.parametrize("given", [{"mode": "min"}, {"metric": "loss", "mode": "min"}])
def test_a_lower_metric_is_better_where_mode_says_so(tmp_path, given):
    train = type("Loss", (Job,), {"metric": lambda self: {"loss": 1 - accuracy(self.epoch, self.size)}})
    alg = searcher(target=Target("loss", 0.1 + 1e-6, mode="min"))
    result = search(alg, tmp_path, train=train, num_samples=4, metric=given.get("metric", "loss"), mode="min")
    assert any(trial.last_result["zeus/target_reached"] for trial in result.trials)
    assert math.isfinite(alg.best().cost.mean)


SPACES = {
    "grid beside": ({"batch_size": tune.choice(SIZES), "lr": tune.grid_search([1, 2])}, "grid_search at lr"),
    "nested grid": (
        {"batch_size": tune.choice(SIZES), "net": {"depth": tune.grid_search([1, 2])}},
        "grid_search at net/depth",
    ),
    "twice": ({"batch_size": tune.choice([64, 64, 32])}, "more than once|64"),
    "texts": ({"batch_size": tune.choice(["32", "64"])}, "'32'|\"32\""),
    "parts": ({"batch_size": tune.choice([32.0, 64.0])}, "32.0"),
    "truth values": ({"batch_size": tune.choice([True, 64])}, "True"),
    "a range": ({"batch_size": tune.randint(16, 128)}, "tune.choice"),
    "a quantized range": ({"batch_size": tune.qrandint(16, 128, 16)}, "tune.choice"),
    "a function": ({"batch_size": tune.sample_from(lambda _: 64)}, "tune.choice"),
    "a list": ({"batch_size": [32, 64]}, "tune.choice"),
}


@pytest.mark.parametrize("name", SPACES)
def test_a_space_that_cannot_be_searched_is_refused_before_a_trial(tmp_path, name):
    space, words = SPACES[name]
    with pytest.raises(zeus.BadInput, match=words):
        search(searcher(), tmp_path, config=space, num_samples=2)


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda alg: pickle.loads(pickle.dumps(alg)),  # noqa: S301 — our own
}


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_of_a_searcher_before_a_search_is_a_searcher(tmp_path, name):
    alg = COPIES[name](searcher())
    search(alg, tmp_path, num_samples=4)
    assert math.isfinite(alg.best().cost.mean)


@pytest.mark.parametrize("name", ["deepcopy", "pickle"])
def test_a_copy_of_a_searcher_after_a_search_knows_the_answer_and_searches_apart(tmp_path, name):
    alg = searcher()
    search(alg, tmp_path / "1", num_samples=3)
    other = COPIES[name](alg)
    assert other.best() == alg.best()
    before = alg.best()
    search(other, tmp_path / "2", num_samples=4)
    assert alg.best() == before
    search(alg, tmp_path / "3", num_samples=4)
    assert not alg.search.pending
    assert not other.search.pending


def test_points_to_evaluate_come_first_and_in_their_order(tmp_path):
    alg = searcher(points_to_evaluate=[128, {"batch_size": 16}, np.int64(32)])
    result = search(alg, tmp_path, num_samples=5, max_concurrent_trials=1)
    assert sizes_of(result)[:3] == [128, 16, 32]


def test_the_same_searcher_given_alone_and_within_a_limiter_is_one(tmp_path):
    from ray.tune.search import ConcurrencyLimiter

    alg = searcher()
    search(alg, tmp_path / "1", num_samples=2)
    limited = ConcurrencyLimiter(alg, max_concurrent=1)
    search(limited, tmp_path / "2", scheduler=zeus.EnergyScheduler(limited), num_samples=3)
    assert math.isfinite(alg.best().cost.mean)


def test_population_based_training_beside_the_searcher_is_refused_with_what_to_do(tmp_path):
    alg = searcher()
    base = PopulationBasedTraining(
        time_attr="training_iteration", perturbation_interval=2, hyperparam_mutations={"lr": [1, 2]}
    )
    with pytest.raises((zeus.BadInput, ValueError), match=r"PopulationBasedTraining|search"):
        search(
            alg,
            tmp_path,
            scheduler=zeus.EnergyScheduler(alg, base=base),
            config={"batch_size": tune.choice(SIZES), "lr": 1},
            num_samples=4,
            metric="accuracy",
            mode="max",
        )


def test_population_based_training_without_the_searcher_is_metered(tmp_path):
    base = PopulationBasedTraining(
        time_attr="training_iteration", perturbation_interval=4, hyperparam_mutations={"lr": [1, 2]}
    )
    result = run(
        Unmetered,
        tmp_path,
        scheduler=zeus.EnergyScheduler(base=base, target=TARGET),
        config={"batch_size": 64, "lr": tune.choice([1, 2])},
        num_samples=4,
        metric="accuracy",
        mode="max",
        stop={"training_iteration": 12},
    )
    assert all(trial.status == "TERMINATED" for trial in result.trials)


def test_nan_in_the_middle_ends_nothing(tmp_path):
    class Gap(Job):
        def metric(self):
            return {"accuracy": math.nan if 2 <= self.epoch <= 4 else accuracy(self.epoch, self.size)}

    alg = searcher()
    result = search(alg, tmp_path, train=Gap, num_samples=4)
    assert not [trial for trial in result.trials if trial.status == "ERROR"]
    assert math.isfinite(alg.best().cost.mean)


def test_a_searcher_used_without_its_scheduler_says_so_or_answers(tmp_path, caplog):
    alg = searcher()
    with caplog.at_level(logging.WARNING):
        search(alg, tmp_path, scheduler=False, num_samples=4)
    assert math.isfinite(alg.best().cost.mean)


class Silent(Job):
    """Ends without a result."""

    def step(self):
        return {"done": True, "accuracy": None}


def test_trials_that_never_evaluate_end_the_search_and_are_no_success(tmp_path):
    alg = searcher()
    result = search(alg, tmp_path, train=Silent, num_samples=30)
    with pytest.raises(TargetNotReached, match="nothing to recommend"):
        alg.best()
    assert len(result.trials) <= 30
    assert not alg.search.pending


def reports_nothing(config):
    config["batch_size"] += 0


def test_a_function_that_reports_nothing_is_an_error_that_names_the_metric(tmp_path):
    with pytest.raises(TuneError, match="did not include the specified metric"):
        search(searcher(), tmp_path, train=reports_nothing, num_samples=12)


def test_no_trial_at_all_is_an_answer_of_the_default(tmp_path):
    alg = searcher()
    search(alg, tmp_path, num_samples=1, time_budget_s=0)
    assert alg.best().batch_size == 64


PAUSING = {
    "median that pauses": lambda: MedianStoppingRule(grace_period=2, min_samples_required=2, hard_stop=False),
    "brackets": lambda: AsyncHyperBandScheduler(max_t=40, grace_period=2, brackets=3),
    "own metric": lambda: ASHAScheduler(metric="accuracy", mode="max", max_t=40),
    "resources": lambda: ResourceChangingScheduler(ASHAScheduler(max_t=40), lambda *_: None),
}


@pytest.mark.parametrize("name", PAUSING)
@pytest.mark.parametrize("width", [1, 3])
def test_more_bases_end_with_an_answer(tmp_path, name, width):
    alg = searcher()
    metric = {} if name == "own metric" else {"metric": "accuracy", "mode": "max"}
    scheduler = zeus.EnergyScheduler(alg, base=PAUSING[name]())
    result = search(alg, tmp_path, scheduler=scheduler, num_samples=6, max_concurrent_trials=width, **metric)
    assert all(trial.status == "TERMINATED" for trial in result.trials)
    assert math.isfinite(alg.best().cost.mean)
    assert not alg.search.pending


class Short(Job):
    """Ends by itself after three epochs, below the target."""

    EPOCHS = 3


def test_trials_that_end_by_themselves_below_the_target_are_failures(tmp_path):
    alg = searcher()
    result = search(alg, tmp_path, train=Short, num_samples=10)
    with pytest.raises(TargetNotReached, match=r"0\.2700 of 0\.9"):
        alg.best()
    assert not any(trial.last_result["zeus/target_reached"] for trial in result.trials)
    assert any("reached the target" in sentence for sentence in zeus.show(result).sentences)


@pytest.mark.parametrize("value", [len, math.inf, {1, 2}, np.arange(3), (1, 2), object])
def test_constants_of_any_type_reach_the_trial(tmp_path, value):
    space = {"batch_size": tune.choice(SIZES), "thing": value}
    result = search(searcher(), tmp_path, config=space, num_samples=2)
    for trial in result.trials:
        given = trial.config["thing"]
        assert given is value or np.all(np.asarray(given == value)), given


def test_another_searcher_of_ray_with_the_scheduler_alone(tmp_path):
    from ray.tune.search.basic_variant import BasicVariantGenerator

    result = run(
        Unmetered,
        tmp_path,
        search_alg=BasicVariantGenerator(max_concurrent=2),
        scheduler=zeus.EnergyScheduler(target=TARGET),
        config={"batch_size": tune.grid_search(SIZES)},
        stop={"training_iteration": 5},
    )
    assert sorted(sizes_of(result)) == SIZES


def test_trial_names_of_the_user_are_kept(tmp_path):
    result = search(
        searcher(),
        tmp_path,
        num_samples=2,
        trial_name_creator=lambda trial: f"mine-{trial.trial_id}",
        trial_dirname_creator=lambda trial: f"folder-{trial.trial_id}",
    )
    for trial in result.trials:
        assert str(trial) == f"mine-{trial.trial_id}"
        assert trial.path.endswith(f"folder-{trial.trial_id}")


def test_a_stored_state_of_a_trial_is_what_tune_reads(tmp_path):
    """The compact form has the same content as Tune's own."""
    result = search(searcher(), tmp_path, num_samples=2)
    for trial in result.trials:
        own = type(trial.run_metadata).__base__
        again = own.from_json_state(trial.run_metadata.get_json_state())
        assert again.metric_analysis["accuracy"] == trial.run_metadata.metric_analysis["accuracy"]
        assert again.metric_n_steps["accuracy"] == trial.run_metadata.metric_n_steps["accuracy"]
        assert again.last_result["zeus/run_id"] == trial.last_result["zeus/run_id"]
        trial.run_metadata.invalidate_cache()
        by_tune = own.from_json_state(own.get_json_state(trial.run_metadata))
        assert by_tune.last_result.keys() == again.last_result.keys()
        assert by_tune.metric_n_steps.keys() == again.metric_n_steps.keys()
