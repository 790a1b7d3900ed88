"""One searcher over several experiments, and experiments that are interrupted and restored."""

import json
import math
import re
import threading

import pytest

pytestmark = pytest.mark.ray
tune = pytest.importorskip("ray.tune")

import in_process  # noqa: E402
from conformance_jobs import SIZES, Job, sizes_of  # noqa: E402
from in_process import run  # noqa: E402 — after the marker: importing it takes seconds
from ray.tune.schedulers import FIFOScheduler  # noqa: E402
from test_lengths import search, searcher  # noqa: E402

import zeus_ray as zeus  # noqa: E402
from zeus_ray.records import StopReason, Target  # noqa: E402
from zeus_ray.reporting.stored_answer import stored_answer  # noqa: E402
from zeus_ray.store.event_log import EventLog  # noqa: E402
from zeus_ray.store.events import RunEnded  # noqa: E402


def ends(alg):
    return [e.event for e in EventLog.open(alg._history).read() if isinstance(e.event, RunEnded)]


@pytest.mark.parametrize("same_scheduler", [True, False])
@pytest.mark.parametrize(
    "options", [{}, {"batch_sizes": SIZES}, {"target": Target("accuracy"), "max_epochs": 30}]
)
def test_a_second_experiment_goes_on_with_what_the_first_has_learned(
    tmp_path, same_scheduler, options, caplog
):
    alg = searcher(**options)
    scheduler = zeus.EnergyScheduler(alg)
    first = search(alg, tmp_path / "1", scheduler=scheduler, num_samples=2)
    known = alg.search.exploration().default_cost_j
    second = search(
        alg,
        tmp_path / "2",
        scheduler=scheduler if same_scheduler else zeus.EnergyScheduler(alg),
        num_samples=3,
    )
    assert len(second.trials) >= 1
    assert len(ends(alg)) == len(first.trials) + len(second.trials)
    assert alg.search.exploration().default_cost_j >= known > 0
    assert 64 not in sizes_of(second)[:1]  # the default has had its run
    assert "had ended before the crash" not in caplog.text
    assert not alg.search.pending


def test_an_experiment_after_the_search_has_finished_trains_its_answer_once_more(tmp_path, caplog):
    alg = searcher()
    search(alg, tmp_path / "1", num_samples=60)
    best = alg.best()
    again = search(alg, tmp_path / "2", num_samples=60)
    assert sizes_of(again)[0] == best.batch_size
    assert again.trials[0].last_result["zeus/power_limit_w"] == best.power_limit_w
    assert "this search has finished" in caplog.text
    assert alg.best().batch_size == best.batch_size


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"batch_size": tune.choice([32, 64])}, "batch_size: "),
        ({"batch_size": tune.choice(SIZES), "lr": tune.uniform(0, 2)}, "lr: "),
        (
            {"batch_size": tune.choice(SIZES), "lr": tune.uniform(0, 1), "depth": 3},
            "depth: nothing before, 3 now",
        ),
        ({"batch_size": tune.choice(SIZES)}, "lr: .* nothing now"),
    ],
)
def test_another_space_for_the_same_searcher_is_an_error_that_says_so(tmp_path, config, words):
    alg = searcher()
    space = {"batch_size": tune.choice(SIZES), "lr": tune.uniform(0, 1)}
    search(alg, tmp_path, config=space, num_samples=1)
    with pytest.raises(zeus.BadInput, match=f"searched another space .*{words}.*new ZeusSearcher"):
        alg.set_search_properties("accuracy", "max", config)


def test_trials_that_an_interrupt_left_behind_do_not_block_the_next_experiment(tmp_path):
    class Interrupted(Job):
        def step(self):
            if self.epoch == 3:
                raise KeyboardInterrupt
            return super().step()

    alg = searcher()
    with pytest.raises(KeyboardInterrupt):
        search(alg, tmp_path / "1", train=Interrupted, num_samples=4)
    assert alg.search.pending
    search(alg, tmp_path / "2", num_samples=4)
    assert not alg.search.pending
    assert math.isfinite(alg.best().cost.mean)


class FailsOnce(Job):
    """Fails in its third epoch while the file of the config is not there."""

    def step(self):
        from pathlib import Path

        mark = Path(self.config_given["mark"])
        if self.epoch == 2 and self.size == self.config_given["fails"] and not mark.exists():
            raise RuntimeError("once")
        return super().step()


@pytest.mark.parametrize("fails", [64, 32])
@pytest.mark.parametrize("resume", ["AUTO+ERRORED", "AUTO+RESTART_ERRORED"])
def test_a_trial_that_failed_and_is_resumed_to_success_is_booked(tmp_path, resume, fails):
    mark = tmp_path / "mended"
    config = {"batch_size": tune.choice(SIZES), "mark": str(mark), "fails": fails}
    options = {"train": FailsOnce, "config": config, "name": "one", "num_samples": 3}
    alg = searcher(points_to_evaluate=[fails])
    first = search(alg, tmp_path, **options)
    failed = [trial.trial_id for trial in first.trials if trial.status == "ERROR"]
    assert failed
    mark.touch()
    again = searcher(points_to_evaluate=[fails])
    second = search(again, tmp_path, resume=resume, **options)
    rows = {trial.trial_id: trial for trial in second.trials}
    assert all(trial.status == "TERMINATED" for trial in second.trials)
    booked = [
        end for end in ends(again) if end.outcome.knobs.batch_size == fails and end.outcome.stop != "error"
    ]
    assert len(booked) >= len(failed)
    assert any(end.outcome.reached for end in booked)
    assert set(failed) <= set(rows) or resume == "AUTO+RESTART_ERRORED"
    assert math.isfinite(again.best().cost.mean)
    assert not again.search.pending


class PausesThenEnds(FIFOScheduler):
    """Pauses every trial but the first in its second epoch, and ends it while it is paused."""

    def __init__(self):
        super().__init__()
        self.paused, self.ended = [], set()

    def on_trial_result(self, controller, trial, result):
        if result["training_iteration"] == 2 and len(controller.get_trials()) > 1:
            self.paused.append(trial)
            return self.PAUSE
        return self.CONTINUE

    def choose_trial_to_run(self, controller):
        for trial in list(self.paused):
            if trial.status == "PAUSED":
                self.paused.remove(trial)
                self.ended.add(trial.trial_id)
                controller.stop_trial(trial)
        return super().choose_trial_to_run(controller)


def test_a_paused_trial_that_its_base_ends_counts_with_its_last_report(tmp_path):
    alg = searcher(points_to_evaluate=[64, 16, 16, 32])
    base = PausesThenEnds()
    search(
        alg,
        tmp_path,
        scheduler=zeus.EnergyScheduler(alg, base=base),
        num_samples=5,
        max_concurrent_trials=1,
    )
    assert base.ended
    short = [end for end in ends(alg) if end.outcome.epochs == 2]
    assert len(short) >= len(base.ended)
    for end in short:
        assert end.outcome.stop == StopReason.NOT_WORTH_IT  # no crash, and no failure of the batch size
        assert end.outcome.measurement.energy_j > 0
    assert not [end for end in ends(alg) if end.outcome.stop == StopReason.ERROR]


def test_a_trial_that_is_ended_before_it_began_says_nothing_of_its_batch_size():
    alg = searcher(batch_sizes=SIZES)
    alg.suggest("a")
    alg.on_trial_complete("a", result=None, error=False)
    assert not alg.search.pending
    assert ends(alg) == []


def test_a_restored_experiment_has_its_length_and_its_counts(tmp_path):
    alg = searcher(batch_sizes=SIZES)
    alg.set_search_properties("accuracy", "max", {}, num_samples=7, time_budget_s=3600)
    alg.suggest("a")
    alg.save(str(tmp_path / "snapshot"))
    again = searcher()
    again.restore(str(tmp_path / "snapshot"))
    assert again._remaining == alg._remaining
    assert (again._remaining.trials, again._suggested) == (6, 1)
    assert 3590 < again._remaining.left_s() <= 3600


def test_a_trial_that_was_suggested_after_the_snapshot_is_adopted(tmp_path):
    alg = searcher(batch_sizes=SIZES)
    alg.save(str(tmp_path / "snapshot"))
    config = alg.suggest("a")
    again = searcher()
    again.restore(str(tmp_path / "snapshot"))
    again.adopt("a", json.loads(json.dumps(config)))
    assert len(again.search.pending) == 1
    again.on_trial_complete("a", result={"accuracy": 0.95, "time_total_s": 7.0, "training_iteration": 3})
    assert again.best().time_s.mean == 7.0
    again.adopt("a", config)  # it was told
    assert not again.search.pending


def test_the_answer_can_be_read_from_the_result_without_the_searcher(tmp_path):
    alg = searcher(baseline=True)
    result = search(alg, tmp_path, num_samples=8)
    assert zeus.recommended(result) == alg.best()
    other = searcher()
    with pytest.raises(zeus.BadInput, match="recommended"):
        other.best()
    from pathlib import Path

    from zeus_ray.reporting.stored_answer import ANSWER_FILE

    Path(result.experiment_path, ANSWER_FILE).unlink()
    by_trials = zeus.recommended(result)
    assert by_trials.batch_size in SIZES
    assert math.isnan(by_trials.cost.high)


def test_table_sentence_and_answer_name_the_same_knobs(tmp_path):
    alg = searcher(baseline=True)
    result = search(alg, tmp_path, num_samples=12)
    best = alg.best()
    shown = zeus.show(result)
    assert shown.best == best
    first = next(sentence for sentence in shown.sentences if sentence.startswith("Answer: "))
    assert f"batch size {best.batch_size} at" in first
    assert f"{best.power_limit_w:.0f} W" in first
    winner = shown.winner()
    assert winner.batch_size == best.batch_size
    answer = f"answer {best.batch_size}"
    for text in (str(shown), shown._repr_html_()):
        (row,) = [line for line in re.split(r"\n|<tr", text) if answer in line]
        assert f"{best.power_limit_w:.0f}" in row
    assert "answer, expected" in [getattr(layer, "name", "") for layer in shown.pareto().layers]


@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_where_nothing_is_cheaper_the_default_is_the_answer_everywhere(tmp_path, scale):
    class DefaultIsBest(Job):
        def keys(self, result):
            keys = super().keys(result)
            if str(self.config_given["zeus"]) == "baseline":
                for name in ("energy_j", "time_s", "cost", "cost_to_target"):
                    keys[f"zeus/{name}"] *= 0.3 * scale
            return keys

    alg = searcher(baseline=True)
    result = run(
        DefaultIsBest,
        tmp_path,
        search_alg=alg,
        scheduler=zeus.EnergyScheduler(alg),
        config={"batch_size": tune.choice(SIZES)},
        num_samples=6,
    )
    assert alg.best().batch_size == 64
    shown = zeus.show(result)
    assert any(
        sentence.startswith(
            "Answer: the default, batch size 64 at 175 W. No other that reached the target is"
        )
        for sentence in shown.sentences
    )
    assert shown.winner().is_baseline
    assert not any(sentence.startswith("Against the baseline") for sentence in shown.sentences)


class Interrupts(Job):
    """Ctrl-C while the second trial trains: Tune's handler of SIGINT sets an event."""

    pressed = threading.Event()

    def step(self):
        if self.plan.knobs.run_id != "1" and self.epoch == 1:
            self.pressed.set()
        return super().step()


def test_a_trial_that_ctrl_c_ended_is_called_interrupted(tmp_path, monkeypatch):
    monkeypatch.setattr(in_process, "_never_interrupted", lambda: Interrupts.pressed)
    alg = searcher()
    result = search(alg, tmp_path, train=Interrupts, num_samples=6, raise_on_failed_trial=False)
    shown = zeus.show(result)
    ended = {trial.stop_reason for trial in shown.trials}
    assert "interrupted" in ended
    under_way = sum(trial.stop_reason == "interrupted" for trial in shown.trials)
    assert any(f"INTERRUPTED: {under_way} trial" in sentence for sentence in shown.sentences)
    assert shown.savings.best.batch_size == 64
    assert shown.savings.interrupted == under_way >= 1
    reloaded = zeus.show(tune.ExperimentAnalysis(result.experiment_path))  # in another process
    assert "interrupted" in {trial.stop_reason for trial in reloaded.trials}


def test_a_search_that_reached_nothing_raises_with_the_nearest(tmp_path):
    alg = searcher(target=Target("accuracy", 0.995))
    result = search(alg, tmp_path, num_samples=4)
    with pytest.raises(zeus.ZeusError, match=r"The nearest was 0\.9900 of 0\.995") as raised:
        alg.best()
    assert "What to do" in str(raised.value)
    assert "nothing has reached the target yet" in repr(alg)
    with pytest.raises(zeus.ZeusError, match=r"The nearest was 0\.9900 of 0\.995"):
        zeus.recommended(result)
    assert "The nearest was 0.9900 of 0.995" in " ".join(zeus.show(result).sentences)


def test_the_stored_answer_has_the_objective_and_other_trade_offs(tmp_path):
    alg = searcher(eta=0.3)
    result = search(alg, tmp_path, num_samples=8)
    stored = stored_answer(result)
    assert (stored.goal.eta, stored.goal.max_power_w) == (0.3, 250.0)
    assert [trade.best.batch_size in SIZES for trade in stored.trade_offs] == [True, True]
    assert {cost.known for cost in stored.expected_costs} >= {"trained"}
    assert stored.exploration.runs
    assert "ray" in stored.software
    said = zeus.show(result).sentences
    assert "0.3 × energy + 0.7 × 250 W × time, 250 W being the highest limit (η = 0.3;" in said[0]
    assert any(sentence.startswith("Another trade-off, least energy") for sentence in said)
    assert "0.3 × energy" in repr(alg)
    assert "<table" in alg._repr_html_()
    assert "ZeusSearcher" in repr(zeus.ZeusSearcher(default_batch_size=8))
