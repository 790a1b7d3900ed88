"""Real Transformers on the CPU: a small BERT made from its config, nothing downloaded."""

import math

import pytest

pytestmark = [
    pytest.mark.frameworks,
    pytest.mark.filterwarnings("ignore:.*:UserWarning"),  # pinned memory without a GPU
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

from zeus_ray.errors import BadInput  # noqa: E402 — after the check that it is there
from zeus_ray.records import PowerProfile, StopReason, Target, from_json  # noqa: E402
from zeus_ray.train.transformers import ZeusCallback  # noqa: E402

LIMITS_W = (250.0, 150.0, 100.0)
SAMPLES = 100


class Words(torch.utils.data.Dataset):
    def __init__(self, calls):
        self.calls = calls

    def __len__(self):
        return SAMPLES

    def __getitem__(self, index):
        ids = torch.full((4,), index % 16)
        return {"input_ids": ids, "labels": torch.tensor(index % 2)}


class Questions(Words):
    """Records that it is read: an evaluation."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        self.calls.append("evaluate")
        return super().__getitem__(index)


class Outgrows(transformers.TrainerCallback):
    def on_substep_end(self, *_given, **_more):
        raise RuntimeError("CUDA out of memory. Tried to allocate 80 GiB")  # the message of older wrappers


def small_bert():
    config = transformers.BertConfig(
        vocab_size=16,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=8,
    )
    return transformers.BertForSequenceClassification(config)


class Stream(torch.utils.data.IterableDataset):
    """The same without a length."""

    def __iter__(self):
        return (Words([])[i] for i in range(SAMPLES))


def fit(
    run,
    tmp_path,
    *callbacks,
    calls=None,
    micro=20,
    accumulate=1,
    epochs=2,
    train=None,
    evaluation=None,
    before=None,
    after=None,
    **options,
):
    calls = calls if calls is not None else []
    scores = []

    def metrics(_prediction):
        scores.append(len(scores) / 10)
        return {"accuracy": scores[-1]}

    trainer = transformers.Trainer(
        model=small_bert(),
        args=transformers.TrainingArguments(
            output_dir=str(tmp_path),
            use_cpu=True,
            disable_tqdm=True,
            report_to=[],
            num_train_epochs=epochs,
            per_device_train_batch_size=micro,
            gradient_accumulation_steps=accumulate,
            **{"eval_strategy": "epoch", "save_strategy": "no", **options},
        ),
        train_dataset=train or Words(calls),
        eval_dataset=evaluation or Questions(calls),
        compute_metrics=metrics,
        callbacks=[ZeusCallback(run), *callbacks],
    )
    for step in (before, lambda trainer: trainer.train(), after):
        if step:
            step(trainer)
    return trainer


def test_an_epoch_is_one_pass_and_a_step_is_an_optimizer_step(session, watch, tmp_path):
    with session(batch_size=32, power_limits_w=()) as run:
        calls = watch(run)
        trainer = fit(run, tmp_path, micro=8, accumulate=4)
        row = run.measure({})
    assert row["zeus/epochs"] == 2
    assert calls.count("after_step") == calls.count("before_step") == trainer.state.global_step == 2 * 4
    assert calls.count("report") == 2


def test_evaluation_is_not_in_the_profile(session, watch, tmp_path):
    with session(batch_size=20, power_limits_w=LIMITS_W, window_s=0.002, settle_s=0.0) as run:
        calls = watch(run)
        fit(run, tmp_path, calls=calls, epochs=10, eval_strategy="steps", eval_steps=2)
        row = run.measure({})
    points = from_json(PowerProfile, row["zeus/profile"]).points
    assert points[0].power_limit_w == LIMITS_W[0]
    assert "evaluate" in calls
    training = False
    for what in calls:
        assert what != "evaluate" or not training
        training = what in ("begin_epoch", "resume") or (training and what not in ("pause", "end_epoch"))


def test_without_evaluation_each_epoch_reports_what_was_logged(session, tmp_path):
    rows = []
    with session(batch_size=20, power_limits_w=()) as run:
        run.send = rows.append
        fit(run, tmp_path, eval_strategy="no", logging_steps=1)
    assert len(rows) == 2
    assert all(row["loss"] > 0 for row in rows)


def test_the_target_ends_training(session, tmp_path):
    with session(batch_size=20, power_limits_w=(), target=Target("eval_accuracy", 0.3)) as run:
        trainer = fit(run, tmp_path, epochs=10)
    assert run.stop == StopReason.TARGET_REACHED
    assert trainer.state.epoch == 4


def test_a_run_stopped_at_its_cap_reports_it(session, watch, tmp_path):
    from zeus_ray.records import Knobs, Plan

    free = Plan(knobs=Knobs(run_id="1", batch_size=20, cost_cap=1e-9)).to_config()
    with session({"zeus": free}) as run:
        calls = watch(run)
        fit(run, tmp_path, epochs=10, eval_strategy="steps", eval_steps=100)
    assert run.stop == StopReason.COST_CAP
    assert calls.count("after_step") == 1
    assert calls[-1] == "report"


def test_the_trainers_own_early_stopping_still_works(session, tmp_path):
    with session(batch_size=20, power_limits_w=(), target=Target("eval_accuracy", 5.0)) as run:
        trainer = fit(
            run,
            tmp_path,
            transformers.EarlyStoppingCallback(early_stopping_patience=2),
            epochs=10,
            metric_for_best_model="accuracy",
            greater_is_better=False,
            load_best_model_at_end=True,
            save_strategy="epoch",
        )
    assert run.stop is None
    assert trainer.state.epoch == 3


def test_a_batch_size_that_does_not_fit_is_a_result(session, tmp_path):
    with session(batch_size=32, power_limits_w=(), target=Target("eval_accuracy", 0.9)) as run:
        fit(run, tmp_path, Outgrows(), micro=8, accumulate=4)
    assert run.stop == StopReason.OUT_OF_MEMORY


@pytest.mark.parametrize(
    ("options", "message"),
    [({"micro": 8, "accumulate": 4}, "8 samples × 4"), ({"auto_find_batch_size": True}, "auto_find")],
)
def test_another_batch_size_than_the_metered_one_is_refused(session, tmp_path, options, message):
    with session(batch_size=64, power_limits_w=()) as run, pytest.raises(BadInput, match=message):
        fit(run, tmp_path, **options)


@pytest.mark.parametrize("names", [("easy", "hard"), ("a", "b", "c"), ("only",)])
@pytest.mark.parametrize("which", [0, -1])
def test_several_evaluation_sets_are_one_report_a_round(session, tmp_path, names, which):
    rows, target = [], Target(f"eval_{names[which]}_accuracy", 50.0)
    with session(batch_size=20, power_limits_w=(), target=target) as run:
        run.send = rows.append
        fit(run, tmp_path, epochs=3, evaluation={name: Questions([]) for name in names})
        epochs = run.measure({})["zeus/epochs"]
    assert epochs == 3
    assert len(rows) == 3
    scores = [[row[f"eval_{name}_accuracy"] for name in names] for row in rows]
    flat = [score for row in scores for score in row]
    assert flat == pytest.approx([i / 10 for i in range(3 * len(names))])


@pytest.mark.parametrize(("score", "epochs"), [(0.0, 1), (0.2, 2), (0.5, 3)])
def test_the_target_in_one_of_several_sets_ends_training(session, tmp_path, score, epochs):
    with session(batch_size=20, power_limits_w=(), target=Target("eval_b_accuracy", score)) as run:
        sets = {"a": Questions([]), "b": Questions([])}
        trainer = fit(run, tmp_path, epochs=10, evaluation=sets)
    assert run.stop == StopReason.TARGET_REACHED
    late = 1 / 5 if epochs == 1 else 0.0  # a step, in the first round
    assert trainer.state.epoch == pytest.approx(epochs + late)


@pytest.mark.parametrize("options", [{"eval_on_start": True}, {"before": lambda trainer: trainer.evaluate()}])
@pytest.mark.parametrize("sets", [None, ("a", "b")])
def test_an_evaluation_before_the_first_step_is_neither_a_report_nor_an_epoch(
    session, watch, tmp_path, options, sets
):
    with session(batch_size=20, power_limits_w=LIMITS_W) as run:
        calls = watch(run)
        evaluation = {name: Questions([]) for name in sets} if sets else None
        fit(run, tmp_path, epochs=2, evaluation=evaluation, **options)
        row = run.measure({})
    assert calls.count("report") == 2
    assert row["zeus/epochs"] == 2
    first = next(call for call in calls if call in ("report", "after_step"))
    assert first == "after_step"


def test_an_evaluation_after_training_is_a_report_with_the_metric(session, tmp_path):
    rows = []
    with session(batch_size=20, power_limits_w=(), target=Target("eval_accuracy", 5.0)) as run:
        run.send = rows.append
        fit(run, tmp_path, eval_strategy="no", after=lambda trainer: trainer.evaluate())
    assert [row["eval_accuracy"] == 0.0 for row in rows] == [False, False, True]
    assert [row["zeus/epochs"] for row in rows] == [1, 2, 2]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"train": Stream(), "max_steps": 12}, (2.4, 12)),
        ({"train": Stream(), "max_steps": 10}, (2.0, 10)),
        ({"max_steps": 7}, (1.4, 7)),
        ({"dataloader_drop_last": True, "micro": 30}, (2.0, 6)),
    ],
)
def test_epochs_of_streams_and_of_limited_steps(session, watch, tmp_path, options, expected):
    size = options.get("micro", 20)
    with session(batch_size=size, power_limits_w=()) as run:
        calls = watch(run)
        fit(run, tmp_path, **{"eval_strategy": "no", **options})
        row = run.measure({})
    assert (row["zeus/epochs"], calls.count("after_step")) == pytest.approx(expected)


@pytest.mark.parametrize("metric", ["accuracy", "eval_f1", "eval_acc"])
def test_a_metric_that_is_not_evaluated_is_an_error_that_lists_what_is(session, tmp_path, metric):
    words = f"target metric '{metric}' is missing.*'eval_accuracy'"
    target = Target(metric, 0.9)
    with (
        session(batch_size=20, power_limits_w=(), target=target) as run,
        pytest.raises(BadInput, match=words),
    ):
        fit(run, tmp_path, epochs=9)


def test_a_training_without_the_metric_says_so_at_its_end(session, tmp_path, caplog):
    with session(batch_size=20, power_limits_w=(), target=Target("eval_accuracy", 0.9)) as run:
        fit(run, tmp_path, eval_strategy="no", logging_steps=1)
    assert caplog.text.count("'eval_accuracy' was neither evaluated nor logged in training; there were") == 1


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("3.646", 3.646),
        ("1e-05", 1e-5),
        (torch.tensor(0.5), 0.5),
        (2, 2.0),
        ("nan", None),
        ("fast", ""),
        (True, ""),
    ],
)
def test_logged_numbers_count_quoted_or_not(value, number):
    from zeus_ray.train.transformers import _numbers

    found = _numbers({"loss": value})
    if number == "":
        assert found == {}
    elif number is None:
        assert math.isnan(found["loss"])
    else:
        assert found == {"loss": pytest.approx(number)}
