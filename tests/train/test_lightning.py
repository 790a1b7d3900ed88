"""Real Lightning on the CPU: a linear model, a hundred samples."""

import math

import pytest

pytestmark = [
    pytest.mark.frameworks,
    pytest.mark.filterwarnings("ignore:.*:UserWarning"),  # Lightning's advice on speed
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
pl = pytest.importorskip("lightning.pytorch")
torch = pytest.importorskip("torch")

from lightning.pytorch.callbacks import EarlyStopping, GradientAccumulationScheduler  # noqa: E402 — after the check
from lightning.pytorch.utilities import CombinedLoader  # noqa: E402
from torch.utils.data import (  # noqa: E402
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from zeus_ray.errors import BadInput  # noqa: E402
from zeus_ray.records import PowerProfile, StopReason, Target, from_json  # noqa: E402
from zeus_ray.train.lightning import ZeusCallback  # noqa: E402

LIMITS_W = (250.0, 150.0, 100.0)


class Line(pl.LightningModule):
    """Its accuracy is the number of the epoch; it records when it validates."""

    def __init__(self, calls=None, fails=False):
        super().__init__()
        self.layer, self.calls, self.fails = torch.nn.Linear(4, 1), calls if calls is not None else [], fails

    def training_step(self, batch, _index):
        if self.fails:
            raise torch.OutOfMemoryError("tried to allocate 80 GiB")
        return self.layer(batch[0]).square().mean()

    def validation_step(self, _batch, _index):
        self.calls.append("validate")
        self.log("accuracy", self.current_epoch / 10)
        self.log("val_loss", 1.0)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


def loader(batch_size, samples=100):
    return DataLoader(TensorDataset(torch.rand(samples, 4)), batch_size=batch_size)


def fit(
    model, run, *callbacks, micro=32, validates=True, train=None, validation=None, before=None, **options
):
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[ZeusCallback(run), *callbacks],
        **options,
    )
    if before:
        before(trainer)
    train = loader(micro) if train is None else None if train == "module" else train
    trainer.fit(model, train, *([validation or loader(32)] if validates else []))
    return trainer


class Stream(IterableDataset):
    def __iter__(self):
        return iter([(torch.rand(4),)] * 100)


class Both(Line):
    """Trains on one batch of each of its loaders."""

    def training_step(self, batch, index):
        parts = batch.values() if isinstance(batch, dict) else batch
        return sum(super(Both, self).training_step(part, index) for part in parts)


class ByHand(Line):
    """Steps its optimizer itself, with each fourth batch."""

    automatic_optimization = False

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, index):
        self.manual_backward(super().training_step(batch, index))
        if index % 4 == 3 or self.trainer.is_last_batch:
            self.optimizers().step()
            self.optimizers().zero_grad()


def data():
    return TensorDataset(torch.rand(100, 4))


LOADERS = {  # the loader or loaders, the batches of an epoch, the samples
    "sized": (lambda: loader(32), 4, 100),
    "stream": (lambda: DataLoader(Stream(), 32), 4, 100),
    "weighted": (lambda: DataLoader(data(), 32, sampler=WeightedRandomSampler([1.0] * 100, 250)), 8, 250),
    "fewer": (lambda: DataLoader(data(), 32, sampler=RandomSampler(range(100), num_samples=40)), 2, 40),
    "dropped": (lambda: DataLoader(data(), 32, drop_last=True), 3, 96),
    "batch sampler": (
        lambda: DataLoader(data(), batch_sampler=BatchSampler(range(100), 32, drop_last=False)),
        4,
        100,
    ),
    "dictionary": (lambda: {"a": loader(16), "b": loader(16, 60)}, 7, 224),
    "list": (lambda: [loader(16), loader(16)], 7, 224),
    "combined": (lambda: CombinedLoader([loader(16), loader(16, 60)], "min_size"), 4, 128),
    "each of several": (lambda: CombinedLoader({"a": loader(32), "b": loader(32)}, "max_size"), 4, 100),
}


@pytest.mark.parametrize(("make", "batches", "samples"), LOADERS.values(), ids=LOADERS)
def test_one_pass_over_any_loaders_is_one_epoch(session, watch, make, batches, samples):
    several = isinstance(make(), dict | list | CombinedLoader)
    with session(batch_size=32, power_limits_w=()) as run:
        calls = watch(run)
        fit((Both if several else Line)(), run, max_epochs=3, train=make())
        row = run.measure({})
    assert row["zeus/epochs"] == 3
    assert calls.count("after_step") == 3 * batches
    assert run._clock.samples == 3 * samples
    assert calls.count("report") == 3


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"limit_train_batches": 2}, (3, 6)),
        ({"limit_train_batches": 0.5}, (3, 6)),
        ({"max_steps": 6}, (1.64, 6)),  # two whole batches of the second epoch: 64 of 100 samples
        ({"overfit_batches": 1}, (3, 3)),
        ({"min_epochs": 1}, (3, 12)),
    ],
)
@pytest.mark.parametrize("kind", ["sized", "stream"])
def test_limits_of_the_trainer_are_understood(session, watch, options, expected, kind):
    if kind == "stream" and not {"max_steps", "min_epochs"} & set(options):
        pytest.skip("Lightning wants a length")
    with session(batch_size=32, power_limits_w=()) as run:
        calls = watch(run)
        fit(Line(), run, max_epochs=3, train=LOADERS[kind][0](), **options)
        row = run.measure({})
    assert (row["zeus/epochs"], calls.count("after_step")) == pytest.approx(expected)


@pytest.mark.parametrize(("every", "epochs", "validated"), [(3, 7, [2, 5]), (2, 4, [1, 3]), (5, 3, [])])
def test_an_epoch_without_validation_reports_nan_for_what_was_not_validated(
    session, every, epochs, validated
):
    rows = []
    with session(batch_size=32, power_limits_w=(), target=Target("accuracy", 5.0)) as run:
        run.send = rows.append
        fit(Line(), run, max_epochs=epochs, check_val_every_n_epoch=every, num_sanity_val_steps=0)
    assert [i for i, row in enumerate(rows) if not math.isnan(row["accuracy"])] == validated
    assert [row["accuracy"] for row in rows if not math.isnan(row["accuracy"])] == [
        pytest.approx(epoch / 10) for epoch in validated
    ]
    assert len(rows) == epochs


@pytest.mark.parametrize("metric", ["accuracy/dataloader_idx_1", "accuracy/dataloader_idx_0"])
def test_several_validation_loaders_are_one_report(session, metric):
    class Several(Line):
        def validation_step(self, batch, index, dataloader_idx=0):  # noqa: ARG002 — Lightning goes by the name
            super().validation_step(batch, index)

    rows = []
    with session(batch_size=32, power_limits_w=(), target=Target(metric, 0.2)) as run:
        run.send = rows.append
        fit(Several(), run, max_epochs=9, validation=[loader(32), loader(32)])
    assert run.stop == StopReason.TARGET_REACHED
    assert len(rows) == 3
    assert metric in rows[0]


@pytest.mark.parametrize("schedule", [{0: 1, 4: 2}, {1: 4}, {0: 2, 3: 1}])
def test_accumulation_that_changes_during_training_is_refused(session, schedule):
    with (
        session(batch_size=32, power_limits_w=()) as run,
        pytest.raises(
            BadInput, match=r"GradientAccumulationScheduler accumulates \[1, |accumulates \[\d, \d\]"
        ),
    ):
        fit(Line(), run, GradientAccumulationScheduler(schedule), max_epochs=9)


def test_a_constant_schedule_is_accumulation_as_any(session, watch):
    with session(batch_size=32, power_limits_w=()) as run:
        calls = watch(run)
        fit(Line(), run, GradientAccumulationScheduler({0: 4}), max_epochs=2, micro=8)
        row = run.measure({})
    assert (row["zeus/epochs"], calls.count("after_step"), run._clock.samples) == (2, 8, 200)


def test_a_module_that_steps_by_itself_says_how_many_batches_it_accumulates(session, watch):
    with session(batch_size=32, accumulate=4, power_limits_w=()) as run:
        calls = watch(run)
        fit(ByHand(), run, max_epochs=2, micro=run.micro_batch_size)
        row = run.measure({})
    assert (row["zeus/epochs"], calls.count("after_step"), run._clock.samples) == (2, 8, 200)
    with session(batch_size=32, power_limits_w=()) as run, pytest.raises(BadInput, match="8 samples × 1"):
        fit(ByHand(), run, max_epochs=2, micro=8)


class Grows(Line):
    """Its loader has twice the batch size in the second epoch, as after a search of the largest that fits."""

    def train_dataloader(self):
        return loader(32 * (1 + self.current_epoch))


def test_a_loader_that_changes_during_training_is_refused(session):
    with session(batch_size=32, power_limits_w=()) as run, pytest.raises(BadInput, match="64 samples × 1"):
        fit(Grows(), run, max_epochs=3, train="module", reload_dataloaders_every_n_epochs=1)


@pytest.mark.parametrize("target", [None, Target("accuracy", 0.9)])
def test_validation_before_training_is_no_report(session, watch, target):
    with session(batch_size=32, power_limits_w=LIMITS_W, target=target) as run:
        calls = watch(run)
        model = Line(calls)
        fit(
            model,
            run,
            max_epochs=1,
            before=lambda trainer: trainer.validate(model, loader(32), verbose=False),
        )
        row = run.measure({})
    assert calls.count("report") == 1
    assert row["zeus/epochs"] == 1


@pytest.mark.parametrize("options", [{}, {"val_check_interval": 2}, {"validates": False}])
def test_a_metric_that_is_never_logged_is_an_error_that_lists_what_is(session, options):
    words = "reported: ('accuracy', 'val_loss'|nothing)"
    target = Target("acc", 0.9)
    with (
        session(batch_size=32, power_limits_w=(), target=target) as run,
        pytest.raises(BadInput, match=words),
    ):
        fit(Line(), run, max_epochs=9, **options)


def test_a_training_that_ends_before_its_first_validation_says_so(session, caplog):
    with session(batch_size=32, power_limits_w=(), target=Target("accuracy", 0.9)) as run:
        fit(Line(), run, max_epochs=2, check_val_every_n_epoch=5, num_sanity_val_steps=0)
    assert "ended without the target metric 'accuracy'; logged: nothing" in caplog.text


def test_an_epoch_is_one_pass_and_a_step_is_an_optimizer_step(session, watch):
    with session(batch_size=32, power_limits_w=()) as run:
        calls = watch(run)
        fit(Line(calls), run, max_epochs=2, micro=8, accumulate_grad_batches=4)
        row = run.measure({})
    assert row["zeus/epochs"] == 2
    assert calls.count("after_step") == 2 * 4  # 100 samples, 32 a step, the last step smaller
    assert calls.count("before_step") == 2 * 4
    assert calls.count("report") == 2


def test_the_same_batch_size_costs_the_same_accumulated_or_at_once(session):
    rows = []
    for micro in (8, 32):
        with session(batch_size=32, power_limits_w=()) as run:
            fit(Line(), run, max_epochs=3, micro=micro, accumulate_grad_batches=32 // micro)
            rows.append(run.measure({}))
    assert rows[0]["zeus/energy_j"] == pytest.approx(rows[1]["zeus/energy_j"])


def test_neither_validation_nor_the_sanity_check_is_in_the_profile(session, watch):
    with session(batch_size=32, power_limits_w=LIMITS_W, window_s=0.02, settle_s=0.0) as run:
        calls = watch(run)
        fit(Line(calls), run, max_epochs=30, val_check_interval=2)
        row = run.measure({})
    points = from_json(PowerProfile, row["zeus/profile"]).points
    assert [point[0] for point in points] == list(LIMITS_W)
    first = calls.index("begin_epoch")
    assert set(calls[:first]) == {"validate"}  # the sanity check
    training = False
    for what in calls[first:]:
        assert what != "validate" or not training
        training = what in ("begin_epoch", "resume") or (training and what not in ("pause", "end_epoch"))


def test_each_validation_within_an_epoch_is_a_report(session, watch):
    with session(batch_size=25, power_limits_w=()) as run:
        calls = watch(run)
        fit(Line(calls), run, max_epochs=3, micro=25, val_check_interval=2)
    assert calls.count("report") == 3 * 2


def test_without_validation_each_epoch_is_a_report(session, watch):
    with session(batch_size=32, power_limits_w=()) as run:
        calls = watch(run)
        fit(Line(calls), run, max_epochs=3, validates=False)
    assert calls.count("report") == 3


def test_the_target_ends_training(session):
    with session(batch_size=32, power_limits_w=(), target=Target("accuracy", 0.3)) as run:
        trainer = fit(Line(), run, max_epochs=10)
    assert run.stop == StopReason.TARGET_REACHED
    assert trainer.current_epoch == 4


def test_lightnings_own_early_stopping_still_works(session):
    with session(batch_size=32, power_limits_w=(), target=Target("accuracy", 0.9)) as run:
        trainer = fit(Line(), run, EarlyStopping("val_loss", patience=2), max_epochs=10)
    assert run.stop is None
    assert trainer.current_epoch == 3


def test_a_batch_size_that_does_not_fit_is_a_result(session):
    with session(batch_size=32, power_limits_w=(), target=Target("accuracy", 0.9)) as run:
        fit(Line(fails=True), run, max_epochs=10)
    assert run.stop == StopReason.OUT_OF_MEMORY


def test_another_batch_size_than_the_metered_one_is_refused(session):
    with session(batch_size=64, power_limits_w=()) as run, pytest.raises(BadInput, match="8 samples × 4"):
        fit(Line(), run, max_epochs=1, micro=8, accumulate_grad_batches=4)
