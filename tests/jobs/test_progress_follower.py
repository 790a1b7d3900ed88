"""Steps in the output of trainings: which counts are read, and which of several counters is followed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeus_ray.errors import BadInput
from zeus_ray.jobs.choose_counter_to_follow import ProgressFollower
from zeus_ray.jobs.progress_parser import ProgressParser


@pytest.mark.parametrize(
    ("line", "done"),
    [
        ("iter 300: loss 2.3456, time 45.12ms, mfu 12.34%", 300),  # nanoGPT
        ("step 250: train loss 2.5, val loss 2.6", 250),
        ("step 1234/19560 | train loss 3.2 | lr 1.00e-3 | 250 ms | 2,097,152 tok/s", 1234),
        (" 45%|████▌     | 450/1000 [00:10<00:12, 40.12it/s]", 450),
        ("Epoch 3:  45%|████▌     | 450/1000 [00:10<00:12, 40.12it/s, v_num=0]", 450),
        ("450it [00:10, 40.12it/s]", 450),
        ("Train: 0 [  50/1251 (  4%)]  Loss: 6.9 (6.91)", 50),  # timm
        ("Epoch: [0][  10/5005]\tTime  0.5", 10),
        ("Train Epoch: 1 [640/60000 (1%)]\tLoss: 2.3", 640),
        ("Epoch: [0]  [ 120/5004]  eta: 1:02:03", 120),  # torchvision
        (" 45/100 ━━━━━━━━ 3s 30ms/step - loss: 0.5", 45),
        ("[default0]: iteration      100/  500000 | consumed samples: 25600", 100),  # Megatron
        ('{"step": 120, "loss": 0.3}', 120),
        ("global_step=77 loss=0.5", 77),
        ("Epoch 3/100, loss 0.5", 3),
        ("[2026-11-26 09:00:01,123][INFO] step: 10, lr 1e-05", 10),
        ("Validating:  45%|████▌     | 45/100 [00:10<00:12]", None),
        ("Test: [  10/78]  Time: 0.1", None),
        ("Map:  45%|████▌     | 450/1000 [00:10<00:12, 40.12 examples/s]", None),
        ("Downloading: 45%|████▌     | 450/1000 [00:10<00:12]", None),
        ("saved to step-12", None),
        ("timestep of 3.5 s", None),
        ("loss 0.5", None),
        ("", None),
    ],
)
def test_the_counts_of_usual_trainings(line, done):
    count = ProgressParser().count(line)
    assert (count and count.done) == done


def test_a_count_by_an_expression():
    parser = ProgressParser(r"seen (\d+) of (\d+)")
    assert parser.count("has seen 30 of 90 shards").done == 30
    assert parser.count("step 3") is None
    for regex in ("(", "seen", "(a)(b)(c)"):
        with pytest.raises(BadInput):
            ProgressParser(regex)


@given(st.text(max_size=300), st.floats(0, 1e6))
def test_any_line_is_steps_or_nothing(line, now_s):
    follower = ProgressFollower(ProgressParser())
    for text in ("step 1", line, "step 2", line, "step 3", line):
        now_s += 1
        done = follower.steps(text, now_s)
        assert done is None or done.steps >= 0


def follow(*lines):
    """What each (time, line) adds: the steps, negative where their time is not all theirs."""
    follower = ProgressFollower(ProgressParser())
    found = [follower.steps(line, at_s) for at_s, line in lines]
    return follower, [None if done is None else (done.steps, done.timed) for done in found]


def test_each_line_adds_the_steps_since_the_last():
    follower, found = follow(*((t, f"iter {10 * t}: loss {1 / (t + 1)}") for t in range(6)))
    assert found == [None, None, (0, False), (10, True), (10, True), (10, True)]
    assert follower.interval_s == 1


def test_lines_of_several_processes_count_once_also_when_one_lags():
    lines = [(t + 0.1 * rank, f"[rank{rank}]: step {t - rank}") for t in range(1, 8) for rank in (0, 1)]
    _, found = follow(*lines)
    assert [done for done in found if done and done[1]] == [(1, True)] * 4


def test_lines_that_come_at_once_are_taken_together():
    lines = [(10 * t + 0.001 * i, f"step {10 * t + i}") for t in range(1, 6) for i in range(10)]
    _, found = follow(*lines)
    assert [done for done in found if done and done[1]] == [(10, True)] * 2


def test_a_bar_that_begins_anew_is_no_measurement():
    _, found = follow(*((t, f"{t}%|█| {10 * (t % 5)}/50 [00:0{t}<00:01]") for t in range(1, 8)))
    assert found == [None, None, (0, False), (10, True), (0, False), (10, True), (10, True)]


def test_the_steps_are_followed_not_the_epochs_nor_an_evaluation():
    lines, now_s = [], 0.0
    for epoch in range(3):
        for step in range(0, 101, 2):
            now_s += 0.5
            lines.append((now_s, f"Epoch {epoch}: {step}%|█| {step}/100 [00:01<00:02, 9it/s]"))
        for step in range(20):
            now_s += 0.5
            lines.append((now_s, f"{step}%|█| {step}/20 [00:01<00:02, 9it/s]"))
        lines.append((now_s, f"Epochs: 9%|█| {epoch + 1}/3 [00:01<00:02, 9it/s]"))
    follower, found = follow(*lines)
    assert sum(steps for steps, timed in filter(None, found) if timed) == 2 * 48 + 2 * 50 * 2
    assert "/100 " in follower.line


def test_after_long_preparation_the_training_is_followed():
    lines = [(t, f"packing {t}%|█| {t}/900 [00:01<00:02]") for t in range(900)]
    lines += [(900 + t, f"step {t}") for t in range(400)]
    follower, _ = follow(*lines)
    assert follower.line.startswith("step ")
