"""Real Lightning on the CPU: a linear model, a hundred samples."""

import pytest

pytestmark = [
    pytest.mark.frameworks,
    pytest.mark.filterwarnings("ignore:.*:UserWarning"),  # Lightning's advice on speed
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
pl = pytest.importorskip("lightning.pytorch")
torch = pytest.importorskip("torch")

from lightning.pytorch.callbacks import EarlyStopping  # noqa: E402 — after the check that it is there
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

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


def fit(model, run, *callbacks, micro=32, validates=True, **options):
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[ZeusCallback(run), *callbacks],
        **options,
    )
    trainer.fit(model, loader(micro), *([loader(32)] if validates else []))
    return trainer


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
