"""What counts as a metric in a line or a file; no output of a training raises an error."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeus_ray.jobs.metric_parser import MetricFile, MetricParser


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
