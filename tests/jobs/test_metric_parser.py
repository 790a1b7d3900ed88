"""What counts as a metric in a line or a file; no output of a training raises an error."""

import json
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeus_ray.errors import BadInput
from zeus_ray.jobs.metric_file import MetricFile
from zeus_ray.jobs.metric_parser import MetricParser
from zeus_ray.jobs.progress_parser import ProgressParser


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("accuracy=0.91", 0.91),
        ("accuracy: 0.91", 0.91),
        ("Epoch 3 - Accuracy : 91.5%", 91.5),
        ("loss: 0.3 - accuracy: 0.91 - val_accuracy: 0.5", 0.91),
        ("val_accuracy: 0.5", None),
        ("top/accuracy=0.5", None),
        ("accuracy=1e-3,", 0.001),
        ("accuracy=-.5.", -0.5),
        ("accuracy: 10/100", None),
        ("accuracy: 0.5.1", None),
        ("accuracy improved", None),
        ("{'accuracy': 0.91, 'epoch': 2}", 0.91),
        ("{'accuracy': np.float64(0.91)}", 0.91),
        ("accuracy=tensor(0.91, device='cuda:0')", 0.91),
        ('{"accuracy": 0.91, "val_accuracy": 0.2}', 0.91),
        ('{"accuracy": true}', None),
        ('{"epoch": 1}', None),
        ('{"eval": {"accuracy": 0.5}, "accuracy": null}', None),
        ("{'accuracy': '0.91', 'eval_accuracy': '0.2'}", 0.91),
        ("{'eval_loss': '0.5', 'accuracy': '1e-05', 'epoch': '1'}", 1e-5),
        ("accuracy: '0.91%'", 0.91),
        ("accuracy: 'good'", None),
        ("10% accuracy=0.1\r90% accuracy=0.2\r100% accuracy=0.3", 0.3),
        ("accuracy=0.1 then accuracy=0.2", 0.2),
        ("", None),
    ],
)
def test_a_line(line, value):
    assert MetricParser("accuracy").value(line + "\n") == value


FORMS = [
    # Transformers 5, and 4
    ("eval_accuracy", "{'eval_loss': '0.3121', 'eval_accuracy': '0.9137', 'epoch': '1'}", 0.9137),
    ("eval_accuracy", "{'eval_loss': 0.3121, 'eval_accuracy': 0.9137, 'epoch': 1.0}", 0.9137),
    ("loss", "{'loss': '2.314', 'grad_norm': '1.2', 'learning_rate': '4.9e-05', 'epoch': '0.12'}", 2.314),
    ("eval_accuracy", "  eval_accuracy           =     0.9137", 0.9137),
    # name and value
    ("accuracy", "epoch 3 accuracy 0.91 loss 0.31", 0.91),
    ("accuracy", "[rank0]: accuracy 91.5%", 91.5),
    ("val_bpb", "step 100 | val_bpb 0.95 | lr 1e-4", 0.95),
    ("test_acc", "│         test_acc          │    0.9137    │", 0.9137),
    ("test_acc", "        test_acc            0.9137            ", 0.9137),
    ("Acc@1", " * Acc@1 77.930 Acc@5 93.852", 77.93),
    ("Acc@1", " * Acc@1 77.930 (22.070) Acc@5 93.852 (6.148)", 77.93),
    ("val_loss", "step 250: train loss 2.5, val_loss 2.6", 2.6),
    ("val_loss", "[INFO] 2026-11-26 09:01:02,123 - step 3 - val_loss: 2.6", 2.6),
    ("accuracy", "trains to accuracy 0.9 or more", None),
    ("accuracy", "best accuracy 0.95 so far", None),
    ("accuracy", "accuracy 10/100", None),
    ("accuracy", "accuracy 5 epochs without improvement", None),
    # timm: the average, at the last batch
    ("Acc@1", "Test: [  78/78]  Time: 0.1 (0.2)  Loss: 0.5 (0.6)  Acc@1: 78.1 ( 77.9)  Acc@5: 94 (93)", 77.9),
    ("Acc@1", "Test: [   0/78]  Time: 0.1 (0.2)  Loss: 0.5 (0.6)  Acc@1: 78.1 ( 77.9)  Acc@5: 94 (93)", None),
    ("Acc@1", "Epoch: [3/90]  Acc@1: 78.1 (77.9)", 77.9),
    # bars: at their end
    ("acc", "Epoch 1: 100%|██████████| 50/50 [00:01<00:00, 40.1it/s, acc=0.91, loss=0.3]", 0.91),
    ("acc", "Epoch 1:  90%|█████████ | 45/50 [00:01<00:00, 40.1it/s, acc=0.80, loss=0.3]", None),
    ("val_acc", "Epoch 0: 100%|██| 10/10 [00:01<00:00, 9.9it/s, v_num=0, val_acc=0.910]", 0.91),
    ("accuracy", "50/50 ━━━━━━━━━━ 3s 30ms/step - accuracy: 0.8912 - loss: 0.3 - val_accuracy: 0.91", 0.8912),
    ("val_accuracy", "50/50 [======] - 3s 30ms/step - loss: 0.3 - val_accuracy: 0.9100", 0.91),
    ("accuracy", "45/50 ━━━━━━━━━━ 0s 30ms/step - accuracy: 0.88", None),
]


@pytest.mark.parametrize(("name", "line", "value"), FORMS)
def test_the_forms_of_frameworks(name, line, value):
    assert MetricParser(name).value(line) == value


def test_a_column_below_its_heading():
    parser = MetricParser("accuracy")
    lines = [
        "epoch     train_loss  valid_loss  accuracy  time    ",
        "0         2.345000    1.234000    0.560000  00:12   ",
        "some words between with 5 tokens",
        "1         1.345000    None        0.660000  00:11   ",
        "2 of 10 0.1 x",
        "| 2 | 1.1 | 1.0 | nan | 1:00:11 |",
    ]
    found = [parser.value(line) for line in lines]
    assert found[:5] == [None, 0.56, None, 0.66, None]
    assert math.isnan(found[5])


def test_an_expression_replaces_the_usual_forms():
    parser = MetricParser("accuracy", r"top-one is (\S+) of")
    assert parser.value("after 3 epochs top-one is 91.5 of 100") == 91.5
    assert parser.value("accuracy=0.5") is None
    assert math.isnan(parser.value("top-one is bad of 100"))


@pytest.mark.parametrize("regex", ["(", "accuracy", "(a)(b)"])
def test_an_expression_that_cannot_be_used_is_refused(regex):
    with pytest.raises(BadInput, match=r"regular expression|groups"):
        MetricParser("accuracy", regex)


@pytest.mark.processes  # a second of work
@pytest.mark.parametrize(
    "line",
    [
        "accuracy=" + "1" * 1_000_000 + "x",
        "accuracy " * 100_000,
        "accuracy" + " " * 1_000_000 + "x",
        "accuracy=a." * 100_000,
        "accuracy: 1 ( " * 70_000,
        "{" * 1_000_000,
        "[" * 1_000_000,
        '{"accuracy":' * 80_000,
        "1%|" * 300_000,
        "[ 1/2 " * 200_000,
        "1" * 1_000_000,
        "|" * 1_000_000,
    ],
    ids=lambda line: line[:12],
)
def test_a_line_of_a_megabyte_is_read_at_once(line):
    began = time.process_time()
    value = MetricParser("accuracy").value(line)
    ProgressParser().count(line)
    assert value is None or isinstance(value, float)
    assert time.process_time() - began < 20  # 0.2 s; quadratic time would be hours


@pytest.mark.parametrize(
    "line",
    [
        '{"eval": {"accuracy": 0.91}}',
        '{"eval/accuracy": 0.91}',
        "eval/accuracy = 0.91",
        "eval/accuracy='0.91'",
    ],
)
def test_a_nested_name(line):
    assert MetricParser("eval/accuracy").value(line) == 0.91


@pytest.mark.parametrize("written", ["nan", "inf", "-Infinity", "1e999"])
def test_what_is_not_finite_is_nan(written):
    assert math.isnan(MetricParser("loss").value(f"loss={written}"))


def test_a_name_with_a_capital_is_case_sensitive():
    assert MetricParser("F1").value("F1=0.5") == 0.5
    assert MetricParser("F1").value("f1=0.5") is None


@given(line=st.text(max_size=200), name=st.text(min_size=1, max_size=10))
def test_any_line_and_name_give_a_number_or_none(line, name):
    value = MetricParser(name).value(line)
    assert value is None or isinstance(value, float)


@given(
    value=st.floats(allow_nan=False, allow_infinity=False),
    before=st.sampled_from(["", "step 3 ", "[rank0]: ", "loss=1.0, "]),
    between=st.sampled_from(["=", ": ", " = ", ":"]),
    after=st.sampled_from(["", " ", ", lr=0.1", ";", "%", "]"]),
)
def test_any_number_is_read_back(value, before, between, after):
    assert MetricParser("acc").value(f"{before}acc{between}{value!r}{after}") == value


@given(rows=st.lists(st.dictionaries(st.sampled_from(["acc", "x"]), st.floats(allow_nan=False))))
def test_lists_and_lines_of_json_give_the_same(rows):
    parser = MetricParser("acc")
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    expected = [row["acc"] for row in rows if "acc" in row]
    assert [v if math.isfinite(v) else None for v in parser.values(lines)] == [
        v if math.isfinite(v) else None for v in expected
    ]
    assert str(parser.values(json.dumps(rows))) == str(parser.values(lines))


@given(content=st.binary(max_size=300), more=st.binary(max_size=300))
def test_any_file_gives_numbers_and_no_error(tmp_path_factory, content, more):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content)
    file = MetricFile(path, MetricParser("a"))
    path.write_bytes(content + more)
    assert all(isinstance(value, float) for value in file.new_values())


def test_a_file_that_grows_and_one_that_is_replaced(tmp_path):
    path, parser = tmp_path / "metrics.json", MetricParser("acc")
    path.write_text('{"acc": 0.1}\n')
    file = MetricFile(path, parser)
    assert file.new_values() == []  # of an earlier training
    path.write_text('{"acc": 0.1}\n{"acc": 0.2}\n{"acc": 0.')
    assert file.new_values() == [0.2]
    path.write_text('{"acc": 0.1}\n{"acc": 0.2}\n{"acc": 0.3}\n')
    assert file.new_values() == [0.3]
    path.write_text('{"acc": 0.45}')
    assert file.new_values() == [0.45]
    path.unlink()
    assert file.new_values() == []
