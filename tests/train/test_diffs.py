"""The diffs of the guides are under ten lines, and the code before and after each of them trains."""

import inspect
import re
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.frameworks,
    pytest.mark.filterwarnings("ignore:.*:UserWarning"),  # Lightning's and torch's advice on speed
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
torch = pytest.importorskip("torch")

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
LOOP, LIGHTNING, TRANSFORMERS, RAY_TRAIN = DIFFS = [
    re.search(r"^```diff\n(.*?)^```", (GUIDES / f"{name}.md").read_text(), re.DOTALL | re.MULTILINE)[1]
    for name in ("ray_tune", "lightning", "transformers", "ray_train")
]


def side(diff, sign):
    """The text before ("-") or after ("+") the change."""
    return [line[1:] for line in diff.splitlines() if line[:1] in (" ", sign)]


def trained(diff, sign, names):
    """Run one side's training function, outside Ray; returns what the run reported."""
    import zeus_ray as zeus
    from zeus_ray.training.training_run import TrainingRun

    rows = []
    send, TrainingRun.send = TrainingRun.send, lambda _run, result, **_options: rows.append(result)
    try:
        exec(compile("\n".join(side(diff, sign)), f"diff {sign}", "exec"), names)  # noqa: S102 — our own text
        names["train"]({"batch_size": 32})
    finally:
        TrainingRun.send = send
    assert (names.get("zeus") is zeus) == (sign == "+")
    return rows


@pytest.fixture(autouse=True)
def _simulated(session):
    """All GPUs are simulated."""


@pytest.mark.parametrize("diff", DIFFS)
def test_each_is_under_ten_lines(diff):
    added = [line for line in diff.splitlines() if line.startswith("+") and line[1:].strip()]
    assert 0 < len(added) < 10


@pytest.mark.parametrize("sign", ["-", "+"])
def test_the_loop_trains(sign):
    steps = []
    names = {
        "build": lambda batch_size, lr: ((lr, batch_size), [(0, 0)] * 10),
        "step": lambda *_given: steps.append(1),
        "evaluate": lambda _model: len(steps) / 500,
        "report": lambda _metrics: None,
    }
    rows = trained(LOOP, sign, names)
    assert len(steps) == 500
    assert len(rows) == (50 if sign == "+" else 0)


@pytest.mark.parametrize("sign", ["-", "+"])
def test_lightning_trains(sign, tmp_path, monkeypatch):
    pl = pytest.importorskip("lightning.pytorch")
    from test_lightning import Line, loader

    class Model(Line):
        def __init__(self, lr):
            super().__init__()
            assert lr == 1e-3

    monkeypatch.chdir(tmp_path)  # Lightning writes logs and checkpoints where it is
    rows = trained(LIGHTNING, sign, {"L": pl, "Model": Model, "loader": loader, "held_out": loader(32)})
    assert [row["accuracy"] for row in rows] == pytest.approx([e / 10 for e in range(20)] if rows else [])
    assert len(rows) == (20 if sign == "+" else 0)


@pytest.mark.parametrize("sign", ["-", "+"])
def test_transformers_trains(sign, tmp_path):
    transformers = pytest.importorskip("transformers")
    from test_transformers import Questions, Words, small_bert

    settings = {"output_dir": str(tmp_path), "use_cpu": True, "disable_tqdm": True, "report_to": []}
    names = {
        "TrainingArguments": transformers.TrainingArguments,
        "Trainer": transformers.Trainer,
        "settings": {**settings, "num_train_epochs": 2, "eval_strategy": "epoch", "save_strategy": "no"},
        "model": small_bert,
        "texts": Words([]),
        "held_out": Questions([]),
    }
    rows = trained(TRANSFORMERS, sign, names)
    assert all(row["eval_loss"] > 0 and row["zeus/energy_j"] > 0 for row in rows)
    assert len(rows) == (2 if sign == "+" else 0)


def test_ray_train_is_the_example_which_is_run_in_test_snippets():
    pytest.importorskip("sklearn")
    from zeus_ray.train import example_ddp

    example = [
        re.sub(r"(\): dict\[str, Any\]\) -> None|: dict\[str, Any\]| -> None)", "", line)
        for line in inspect.getsource(example_ddp).splitlines()
    ]
    missing = [
        line for line in side(RAY_TRAIN, "+") if line.strip() not in ("", "...") and line not in example
    ]
    assert missing == []
