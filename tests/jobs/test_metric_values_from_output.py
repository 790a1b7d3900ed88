"""Lines of a command's output, bars that are overwritten, and what the user is told about the metric."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zeus_ray.jobs.metric_parser import MetricParser
from zeus_ray.jobs.metric_values_from_output import MetricFromOutput
from zeus_ray.jobs.output_lines import LONGEST_LINE, OutputLines


def lines_of(*chunks):
    lines = OutputLines()
    return [line for chunk in chunks for line in lines.feed(chunk)] + lines.end()


def read(text, name="acc"):
    """(values, what was said) for output that comes at once."""
    said = []
    metric = MetricFromOutput(MetricParser(name), said.append)
    values = [value for line in lines_of(text.encode()) for value in metric.values(line, 1.0)]
    return values + metric.end(), said


def test_lines_come_whole_and_bars_as_they_stand():
    assert lines_of(b"one\ntw", b"o\n\nthr") == ["one\n", "two\n", "thr\n"]
    assert lines_of(b"a\r", b"\nb\r\n") == ["a\r", "a\n", "b\n"]
    assert lines_of(b"\r 1/9", b"\r 2/9", b"\r 9/9\nend\n") == [
        *(" 1/9\r", " 1/9\r", " 2/9\r", " 2/9\r", " 9/9\n", "end\n"),
    ]
    assert lines_of(b"\x1b[1m 1/10\x1b[0m \x1b[32m\xe2\x94", b"\x81\x1b[0m\b\b\bend\n")[-1] == "end\n"


@given(st.lists(st.binary(max_size=50)))
@example([b"\x08\t", b"\x00"])
@example([b"a\r\t", b"x\n"])
def test_any_bytes_are_lines_however_they_are_cut(chunks):
    def complete(lines):
        return [line for line in lines if line.endswith("\n")]

    assert complete(lines_of(*chunks)) == complete(lines_of(b"".join(chunks)))


@pytest.mark.slow
def test_output_without_a_line_end_takes_no_memory():
    lines = OutputLines()
    assert sum(len(lines.feed(b"x" * 1000)) for _ in range(200)) >= 2
    assert len(lines._rest) <= LONGEST_LINE


def test_a_bar_counts_once_as_it_stands_at_its_end():
    bar = "\rEpoch {}: {:3}%|██| {}/2 [00:01<00:00, 2it/s, acc={}]"
    text = "".join(
        bar.format(epoch, 50 * n, n, acc)
        for epoch, n, acc in [(0, 0, 0.1), (0, 1, 0.2), (0, 2, 0.2), (0, 2, 0.5), (1, 0, 0.5), (1, 2, 0.7)]
    )
    assert read(text + "\n")[0] == [0.5, 0.7]


def test_a_bar_that_shows_the_last_pass_until_it_has_evaluated_counts_once():
    """As Lightning does: the bar ends its line, the bar of the evaluation comes, and then the first again."""
    train, val = "\rEpoch {}: {}%|█| {}/9 [00:01<00:00, acc={}]", "\rValidation: {}%|█| {}/9 [00:01<00:00]"
    text = "".join(
        train.format(epoch, 0, 0, before)
        + train.format(epoch, 100, 9, before)
        + "\n"
        + val.format(0, 0)
        + val.format(100, 9)
        + train.format(epoch, 100, 9, new)
        for epoch, (before, new) in enumerate([(0.1, 0.5), (0.5, 0.6), (0.6, 0.7)])
    )
    assert read(text + "\n")[0] == [0.5, 0.6, 0.7]


def test_a_metric_that_only_the_complete_bar_has_counts_in_each_pass():
    """As Keras prints val_accuracy."""
    text = "".join(f"\r1/9 [>...] - acc: 0.1\r9/9 [===] - acc: 0.1 - val_acc: 0.{n}\n" for n in (5, 5, 6))
    assert read(text, "val_acc")[0] == [0.5, 0.5, 0.6]


def test_a_complete_bar_is_final_after_a_while():
    metric = MetricFromOutput(MetricParser("acc"), lambda _sentence: None)
    line = "Validating: 100%|██| 9/9 [00:01<00:00, acc={}]\n"
    assert metric.values(line.format(0.5), 1.0) == metric.check(5.0) == []
    assert metric.check(12.0) == [0.5]
    assert metric.values(line.format(0.5), 20.0) == metric.check(40.0) == []  # perhaps of the pass before
    assert metric.end() == [0.5]


def test_the_line_that_is_read_is_said_once():
    values, said = read("starts\nacc: 0.1\nacc: 0.2\n")
    assert values == [0.1, 0.2]
    assert said == ["acc is read as 0.1 from 'acc: 0.1'"]


def test_a_line_that_mentions_the_name_is_quoted_with_the_remedy():
    values, said = read("watches acc\nthe acc is about 0.5 now\nthe acc is about 0.6 now\n")
    assert values == []
    (sentence,) = said
    assert "'the acc is about 0.5 now'" in sentence
    assert "--metric-regex" in sentence


def test_a_minute_without_the_name_is_said_once():
    said = []
    metric = MetricFromOutput(MetricParser("acc"), said.append)
    metric.check(100.0)  # nothing was written yet
    metric.values("begins\n", 100.0)
    metric.check(159.0)
    assert said == []
    for now_s in (160.0, 170.0, 300.0):
        metric.check(now_s)
    assert len(said) == 1
    assert "first minute" in said[0]
    metric.values("acc=0.5\n", 400.0)
    assert "is read as 0.5" in said[1]


@pytest.mark.parametrize(("text", "said"), [("", 1), ("step 1\n", 1), ("acc=0.5\n", 0)])
def test_a_metric_that_no_line_had_is_said_at_the_end_with_the_remedy(text, said):
    sentences = []
    metric = MetricFromOutput(MetricParser("acc"), sentences.append)
    for line in lines_of(text.encode()):
        metric.values(line, 1.0)
    metric.say_if_never_read()
    assert sum("no 'acc' in the whole output" in s and "--metric-regex" in s for s in sentences) == said
