"""The same tiny training in every shape of loop, with the known truth of epochs, steps, samples and energy.

``SAMPLES`` of data, batches of ``BATCH``, ``PASSES`` epochs, unless the shape itself says otherwise. For
frameworks and the loaders of torch see tests/train.
"""

import contextlib
import itertools
import json
import math
from dataclasses import dataclass

import pytest
from examples import cases
from lease_helpers import manager_of
from runs import ClockedGpu, Loader, leased, own_plan, plan

from zeus_ray.errors import BadInput
from zeus_ray.gpus.simulated_gpu import SimulatedGpu
from zeus_ray.records import Target, TrialReport
from zeus_ray.training.training_run import TrainingRun

SAMPLES, BATCH, PASSES = 1_010, 100, 3
STEP_S = 0.5


class Rows:
    """A batch as tensors are: its first dimension counts samples."""

    def __init__(self, samples):
        self.shape = (samples, 4)


class Stream(Loader):
    """As a ``DataLoader`` over an ``IterableDataset``: its ``len`` raises, here ``error``."""

    def __init__(self, samples=SAMPLES, batch_size=BATCH, error=TypeError):
        super().__init__(samples, batch_size)
        self._error = error

    def __len__(self):
        raise self._error("has no len()")

    def __iter__(self):
        for batch in super().__iter__():
            yield {"x": [Rows(len(batch))], "y": Rows(len(batch))}


class Sampled(Loader):
    """As a ``DataLoader`` with a sampler of its own, which draws more or fewer samples than there are."""

    def __init__(self, drawn, *, drop_last=False, batch_size=BATCH):
        super().__init__(SAMPLES, batch_size)
        self.sampler = range(drawn)
        self.batches = drawn // batch_size if drop_last else math.ceil(drawn / batch_size)

    def __len__(self):
        return self.batches

    def __iter__(self):
        left = len(self.sampler)
        for _ in range(self.batches):
            yield Rows(min(left, self.batch_size)), "label"
            left -= self.batch_size


class Bucketed:
    """As a ``DataLoader`` with a batch sampler: no batch size of its own, and a sampler that is not used."""

    batch_size = None
    dataset = sampler = range(SAMPLES)

    def __init__(self, sizes):
        self.batch_sampler = sizes

    def __len__(self):
        return len(self.batch_sampler)

    def __iter__(self):
        return (Rows(size) for size in self.batch_sampler)


class Misjudged(Stream):
    """Its length is an estimate, far too high or too low."""

    def __init__(self, said):
        super().__init__()
        self.said = said
        del self.dataset

    def __len__(self):
        return self.said

    def __iter__(self):
        return (Rows(n) for n in [BATCH] * 10 + [10])


@dataclass
class Shape:
    """How a loop looks, and what is true of it."""

    loop: object
    epochs: float = PASSES
    samples: int = PASSES * SAMPLES
    steps: int = PASSES * 11
    accumulate: int = 1


def passes(make, **options):
    def loop(run, work):
        for _ in range(PASSES):
            for _batch in run.steps(make(), **options):
                work(run.step_ends)

    return loop


def left_after(make, batches, **options):
    def loop(run, work):
        for _ in range(PASSES):
            for number, _batch in enumerate(run.steps(make(), **options), 1):
                work(run.step_ends)
                if number == batches:
                    break

    return loop


def evaluates_within(run, work):
    for _ in range(PASSES):
        for number, _batch in enumerate(run.steps(Loader(SAMPLES, BATCH))):
            if number % 3 == 1:
                with run.evaluating():
                    work(steps=False)
            work()
            if number % 3 == 2:
                run.pause()  # the next step goes on by itself
                work(steps=False)


def by_hand(run, work):
    """A loop that is not a loop over batches, such as one with a data pipeline on the GPU."""
    for _ in range(PASSES):
        run.begin_epoch(None)
        for samples in [BATCH] * 10 + [10]:
            run.before_step(samples)
            work()
            run.after_step()
        run.end_epoch()


def without_epochs(run, work):
    """As nanoGPT's: one stream without end, left after some steps, reports in between."""
    for number, _batch in enumerate(run.steps(Rows(BATCH) for _ in itertools.count()), 1):
        work()
        if number % 4 == 0:
            run.report({})
        if number == 12:
            break


SHAPES = {
    "a loader": Shape(passes(lambda: Loader(SAMPLES, BATCH))),
    "a list of batches": Shape(passes(lambda: [None] * 11), samples=PASSES * 1_100),
    "a generator": Shape(passes(lambda: iter(Stream()))),
    "a loader without a length": Shape(passes(Stream)),
    "a loader whose len() is not implemented": Shape(passes(lambda: Stream(error=NotImplementedError))),
    "a loader whose len() fails": Shape(passes(lambda: Stream(error=RuntimeError))),
    "samples with replacement, more than there are": Shape(
        passes(lambda: Sampled(2_500)), samples=PASSES * 2_500, steps=PASSES * 25
    ),
    "a sampler of fewer samples than there are": Shape(
        passes(lambda: Sampled(340)), samples=PASSES * 340, steps=PASSES * 4
    ),
    "a last batch that is dropped": Shape(
        passes(lambda: Sampled(SAMPLES, drop_last=True)), samples=PASSES * 1_000, steps=PASSES * 10
    ),
    "a batch sampler": Shape(
        passes(lambda: Bucketed([BATCH] * 3 + [40, 60, BATCH])), samples=PASSES * 500, steps=PASSES * 6
    ),
    "a length that is too high": Shape(passes(lambda: Misjudged(40))),
    "a length that is too low": Shape(passes(lambda: Misjudged(4))),
    "two loaders at a time": Shape(passes(lambda: zip(Stream(), Stream(), strict=True))),
    "one loader after the other": Shape(
        passes(lambda: itertools.chain(Stream(), Stream())), samples=2 * PASSES * SAMPLES, steps=PASSES * 22
    ),
    "a part of a loader": Shape(
        passes(lambda: itertools.islice(Stream(), 5)), samples=PASSES * 500, steps=PASSES * 5
    ),
    "left after half an epoch": Shape(
        left_after(lambda: Loader(1_000, BATCH), 5), epochs=PASSES / 2, samples=PASSES * 500, steps=PASSES * 5
    ),
    "left, of a loader without a length": Shape(
        left_after(Stream, 5, samples=500), samples=PASSES * 500, steps=PASSES * 5
    ),
    "left, of an epoch that is not known": Shape(
        left_after(Stream, 5), epochs=math.nan, samples=PASSES * 500, steps=PASSES * 5
    ),
    "accumulation": Shape(passes(lambda: Loader(SAMPLES, BATCH // 4)), accumulate=4),
    "accumulation without a length": Shape(passes(lambda: Stream(SAMPLES, BATCH // 4)), accumulate=4),
    "evaluation within": Shape(evaluates_within),
    "by hand": Shape(by_hand),
    "without epochs": Shape(without_epochs, epochs=math.nan, samples=1_200, steps=12),
}
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
some_shapes = pytest.mark.parametrize("shape", cases(SHAPES.values()), ids=cases(SHAPES))


class Work:
    """What the loop does: counts the optimizer's steps; on fake hardware, time passes at full load."""

    def __init__(self, advance=lambda _s: None):
        self.steps, self._advance = 0, advance

    def __call__(self, steps=True):
        self.steps += steps
        self._advance(STEP_S)


def run_of(shape, group, **knobs):
    return TrainingRun(plan(BATCH, accumulate=shape.accumulate, **knobs), group, window_s=0.5, settle_s=0.1)


def check(run, shape, work):
    report = TrialReport.from_result(run.report({}))
    assert report.epochs == pytest.approx(shape.epochs, nan_ok=True)
    assert work.steps == shape.steps
    assert run._clock.samples == shape.samples
    return report


@every_shape
def test_epochs_steps_samples_and_energy_on_a_simulated_gpu(shape, group):
    run, work = run_of(shape, group), Work()
    shape.loop(run, work)
    report = check(run, shape, work)
    alone = SimulatedGpu.open("V100", 0)
    alone.train(shape.samples, BATCH)
    assert report.energy_j == pytest.approx(alone.energy_j())
    assert report.time_s == pytest.approx(alone.now_s())


@some_shapes
def test_epochs_steps_and_energy_through_nvml(shape, make_node):
    node = make_node("V100", refresh_ms=100)
    node.stop_clock()
    manager = manager_of(node)
    group = leased(manager)
    node.load(1)
    began_s, began_j = node.now_s(), node.true_energy_j()
    run, work = run_of(shape, group), Work(node.advance)
    shape.loop(run, work)
    report = check(run, shape, work)
    assert report.measured_by == "counter"
    assert report.time_s == pytest.approx(node.now_s() - began_s, abs=0.2)
    assert report.energy_j == pytest.approx(node.true_energy_j() - began_j, abs=report.energy_j_err + 1)
    group.release()
    manager.close()


@some_shapes
def test_a_profile_settles_in_every_shape_and_has_the_time_of_the_samples(shape, gpu, group):
    run = run_of(shape, group, probe_limits_w=(250.0, 100.0))
    for _ in range(20):
        shape.loop(run, Work())
    assert run._limit.settled
    truth = {}
    for limit_w in (250.0, 100.0):
        gpu.set_power_limit_w(limit_w)
        truth[limit_w] = gpu.time_per_sample_s(BATCH)
    points = run._limit._windows_so_far()
    for limit_w, expected_s in truth.items():
        assert points[limit_w].time_per_epoch_s == pytest.approx(expected_s, rel=0.06)
    assert (run._limit.profile is None) == math.isnan(shape.epochs)


@pytest.mark.slow
@every_shape
def test_a_run_without_a_search_counts_and_measures_steps_in_every_shape(shape, monkeypatch):
    gpu, work = ClockedGpu(step_s=STEP_S), Work()
    gpu.put_on(monkeypatch)
    run = TrainingRun(own_plan(BATCH, unit="samples", accumulate=shape.accumulate), gpu.group(), window_s=2.0)

    def train(steps=True):
        work(steps)
        gpu.work(1 if shape.accumulate == 1 else 1 / shape.accumulate)

    for _ in range(8):
        shape.loop(run, train)
    report = TrialReport.from_result(run.report({}))
    assert report.units == run._clock.samples == 8 * shape.samples
    assert work.steps == 8 * shape.steps
    points = json.loads(report.unit_profile)
    assert len(points) >= 3
    for point in points:
        expected_s = gpu.time_s(point["power_limit_w"]) / BATCH
        assert point["time_per_unit_s"] == pytest.approx(expected_s, rel=0.01)


@pytest.mark.parametrize(
    ("loader", "words"),
    [
        ({"a": Loader(10, 5), "b": Loader(10, 5)}, r"a dict of 2 loaders.*zip"),
        ([Loader(10, 5), Loader(10, 5)], r"a list of 2 loaders.*CombinedLoader"),
        ((Stream(), Stream(), Stream()), "a tuple of 3 loaders"),
        (7, "a int, which is no loader"),
        (type("DataIterator", (), {"iter_batches": None})(), r"DataIterator.*iter_torch_batches"),
    ],
)
def test_what_gives_no_batches_is_refused_with_what_to_give(group, loader, words):
    with pytest.raises(BadInput, match=words):
        next(TrainingRun(plan(5), group).steps(loader))


@pytest.mark.parametrize("size", [25, 50, 200])
@pytest.mark.parametrize("kind", [Loader, Stream])
def test_batches_of_another_size_are_refused_with_the_remedy(group, size, kind):
    with pytest.raises(
        BadInput, match=rf"gives {size} samples at once, but the run's batch size is 100.*accumulate="
    ):
        next(TrainingRun(plan(BATCH), group).steps(kind(SAMPLES, size)))


@pytest.mark.parametrize(
    "loader", [lambda: iter(Stream(SAMPLES, 25)), lambda: Bucketed([25] * 40), lambda: [[Rows(25)]] * 40]
)
def test_batches_that_seem_to_be_parts_of_one_are_said_once(group, caplog, loader):
    run = TrainingRun(plan(BATCH), group)
    for _ in range(2):
        for _batch in run.steps(loader()):
            pass
    assert caplog.text.count("open the session with accumulate=4") == 1


@pytest.mark.parametrize("shape", [(32, BATCH), (), None, "a text"])
def test_a_first_dimension_that_counts_no_samples_is_ignored(group, shape, caplog):
    batch = type("Batch", (), {"shape": shape})()
    run = TrainingRun(plan(BATCH), group)
    for _batch in run.steps(batch for _ in range(5)):
        pass
    assert run._clock.samples == 5 * BATCH
    assert caplog.text == ""


def test_one_process_that_meters_for_all_counts_the_whole_batch(group, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    run = TrainingRun(plan(BATCH), group)
    for _batch in run.steps(Sampled(250, batch_size=25)):
        pass
    assert (run._clock.samples, run._clock.epochs) == (1_000, 1)


@pytest.mark.parametrize("empty", [iter(()), [], Loader(0, BATCH)])
def test_an_empty_pass_is_said_and_is_no_epoch(group, caplog, empty):
    run = TrainingRun(plan(BATCH), group)
    for loader in (Loader(SAMPLES, BATCH), empty, empty):
        for _batch in run.steps(loader):
            pass
    assert TrialReport.from_result(run.report({})).epochs == 1
    assert caplog.text.count("gave no batch: an iterator can be used once") == 1


def within_each_other(run):
    for _outer in run.steps(Loader(SAMPLES, BATCH)):
        for _inner in run.steps(Loader(SAMPLES, BATCH)):
            pass


def at_a_time(run):
    for _both in zip(run.steps(Stream()), run.steps(Stream()), strict=True):
        pass


def in_turn(run):
    first, second = run.steps(Stream()), run.steps(Stream())
    for _ in range(3):
        next(first)
        next(second)


@pytest.mark.parametrize("loop", [within_each_other, at_a_time, in_turn])
def test_two_loops_over_steps_at_a_time_are_refused_with_what_to_do(group, loop):
    with pytest.raises(BadInput, match=r"another one had begun.*run\.steps\(zip\(a, b\)\)"):
        loop(TrainingRun(plan(BATCH), group))


def test_a_loop_that_is_left_behind_does_not_end_the_next_one(group):
    run = TrainingRun(plan(BATCH), group)
    left = run.steps(Loader(1_000, BATCH))
    next(left)
    following = run.steps(Loader(1_000, BATCH))
    next(following)
    left.close()
    assert sum(1 for _batch in following) == 9
    assert run._clock.epochs == 1


def test_an_iterator_that_is_made_anew_whenever_it_ends(group):
    run = TrainingRun(plan(BATCH), group)
    batches = iter(run.steps(Loader(1_000, BATCH)))
    for _step in range(25):
        try:
            next(batches)
        except StopIteration:
            batches = iter(run.steps(Loader(1_000, BATCH)))
            next(batches)
    batches.close()
    assert run._clock.samples == 25 * BATCH
    assert run._clock.epochs == 2.5


def test_an_error_that_the_script_catches_ends_an_epoch_and_no_more(group):
    run = TrainingRun(plan(BATCH), group)
    for epoch in range(3):
        with contextlib.suppress(ArithmeticError):
            for number, _batch in enumerate(run.steps(Loader(1_000, BATCH)), 1):
                if (epoch, number) == (1, 4):
                    raise ArithmeticError
    assert run._clock.samples == 24 * BATCH
    assert run._clock.epochs == 2.4


def test_epochs_that_cannot_be_counted_are_said_once(group, caplog):
    run = TrainingRun(plan(BATCH), group)
    for _ in range(3):
        for _batch in run.steps(Stream()):
            break
    assert caplog.text.count("run.steps(loader, samples=...)") == 1


def test_the_last_micro_batches_of_a_stream_are_a_step(group):
    run = TrainingRun(plan(BATCH, accumulate=4), group)
    ends = [run.step_ends for _batch in run.steps(Stream(250, 25))]
    assert ends == [False, False, False, True] * 2 + [False, True]
    assert run._clock.samples == 250


def test_a_loop_that_fails_does_not_measure_a_lease_that_has_ended(group):
    run = TrainingRun(plan(BATCH), group)
    steps = run.steps(Stream())
    next(steps)
    group.release()
    steps.close()


@pytest.mark.parametrize(
    ("target", "reported"), [("eval/accuracy", {"eval": {"accuracy": 0.9}}), ("a", {"a": 1})]
)
def test_a_nested_metric_reaches_the_target(group, target, reported):
    run = TrainingRun(plan(target=Target(target, 0.8)), group)
    assert run.report(reported)["zeus/target_reached"]


@pytest.mark.parametrize("reported", [{"a": "0.9"}, {"b": 0.9, "c": {"d": 1}}, {}])
def test_a_report_without_the_metric_is_an_error_that_lists_what_there_is(group, reported):
    run = TrainingRun(plan(target=Target("a", 0.8)), group)
    with pytest.raises(BadInput, match=r"target metric 'a' .*reported: ('a'|'b', 'c/d'|nothing)"):
        run.report(reported)


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_an_epoch_without_evaluation_goes_on(group, value, caplog):
    run = TrainingRun(plan(target=Target("a", 0.8)), group)
    assert not run.report({"a": value})["zeus/target_reached"]
    assert caplog.text == ""


def test_a_metric_that_is_no_number_is_said_once(group, caplog):
    run = TrainingRun(plan(target=Target("a", 0.8)), group)
    assert not any(run.report({"a": True})["zeus/target_reached"] for _ in range(3))
    assert caplog.text.count("no number but bool True") == 1
