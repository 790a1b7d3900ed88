"""``zeus-ray job run`` around an unmodified command, as a real process."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from zeus_ray.cli.main import main
from zeus_ray.jobs.job_summary import summarize
from zeus_ray.store.event_log import open_job_log

pytestmark = pytest.mark.processes
TRAINER = Path(__file__).parent / "trainer.py"


def arguments(history, *how, options=(), sizes="32,64,128", target="accuracy=0.9"):
    return [
        *("job", "run"),
        *("--history", str(history), "--job", "nightly", "--batch-sizes", sizes),
        *("--default-batch-size", "64", "--target", target, "--grace", "1", *options),
        *("--", sys.executable, str(TRAINER), "{batch_size}", *how),
    ]


def test_the_target_ends_the_command_and_the_log_is_explained(history, capfd):
    assert main(arguments(history)) == 0
    out, err = capfd.readouterr()
    assert "epoch 1 loss" in out  # the command's own output goes on
    assert "saved" not in out
    assert "run 1 of nightly: batch size 64" in err
    assert "the first run is the default's" in err
    assert re.search(r"zeus-ray: \d+: accuracy 0\.9\d* of 0\.9, .* J in .* s, limit \d+ W", err)
    assert "nightly: 1 run, 1 of them to the target" in err
    assert "SIMULATED" in err
    assert main(["job", "report", "--history", str(history)]) == 0
    assert "target" in capfd.readouterr().out


def test_the_command_goes_on_to_its_own_end_if_asked_to(history, capfd):
    assert main(arguments(history, options=["--keep-running"])) == 0
    assert "saved" in capfd.readouterr().out


def test_a_command_that_ignores_sigterm_is_killed_and_other_braces_stay(history, capfd):
    began = time.monotonic()
    assert main(arguments(history, "deaf", "{lr}{x}", options=["--lr", "0.2", "--lr-rule", "sqrt"])) == 0
    assert time.monotonic() - began < 30
    assert "lr 0.2{x}" in capfd.readouterr().out


def test_a_failing_command_gives_its_exit_code(history, capfd):
    assert main(arguments(history, "fails")) == 7
    assert "exit code 7" in capfd.readouterr().err


def test_after_out_of_memory_another_batch_size_runs(history, capfd):
    assert main(arguments(history, "memory", options=["--points-to-evaluate", "128"])) == 0
    err = capfd.readouterr().err
    assert "ended: out of memory" in err
    assert "run 2 of nightly: batch size 64" in err


def test_a_job_of_one_epoch_counts_its_energy_and_claims_no_saving(history, capfd):
    for _ in range(2):
        assert main(arguments(history, sizes="64", target="accuracy=0.01")) == 0
    err = capfd.readouterr().err
    used = re.findall(r"1: accuracy [\d.]+ of 0.01, ([\d.]+) k?J in", err)
    assert len(used) == 2
    assert all(float(joules) > 0 for joules in used)
    assert " saved so far" not in err


def test_a_command_without_a_metric_is_reported(history, capfd):
    assert main(arguments(history, "silent")) == 3
    assert "wrote no 'accuracy'" in capfd.readouterr().err


def test_the_metric_may_be_in_a_json_file(history, tmp_path, capfd):
    path = tmp_path / "metrics.json"
    path.write_text('{"accuracy": 0.99}')  # of an earlier training
    options = ["--metrics-file", str(path)]
    assert main(arguments(history, f"file:{path}", options=options, target="accuracy=0.5")) == 0
    assert "accuracy 0.5" in capfd.readouterr().err


def test_a_target_out_of_reach_is_exit_code_3(history):
    assert main(arguments(history, target="accuracy=1.5", sizes="64")) == 3


def test_a_gpu_gets_its_limit_and_then_the_one_before_again(history, make_node, monkeypatch, capfd):
    monkeypatch.delenv("ZEUS_RAY_GPU")
    node = make_node("V100")
    node.load(1.0)
    (found_w,) = node.limits_w
    for _ in range(2):
        assert main(arguments(history, "slow", sizes="64", options=["--power-limits", "200,150"])) == 0
    err = capfd.readouterr().err
    assert "by their own counters" in err
    assert re.search(r"accuracy 0\.9\d* of 0\.9, .* limit (150|200) W", err)
    assert node.attempts > 2
    assert node.limits_w == [found_w]


def test_the_start_of_the_process_is_on_both_sides_of_the_savings(history, make_node, monkeypatch):
    monkeypatch.delenv("ZEUS_RAY_GPU")
    node = make_node("V100")
    node.load(1.0)
    assert main(arguments(history, "late", sizes="64", options=["--power-limits", "250"])) == 0
    summary = summarize(open_job_log(str(history), "nightly").read(), "nightly")
    (run,) = summary.runs
    started_j = run.end.curve[0].energy_j
    assert started_j > 250 * 2 * 0.9
    assert summary.default_would_take_j == pytest.approx(summary.spent_j, rel=0.15)


@pytest.mark.parametrize(
    ("options", "line", "words"),
    [
        (["--metric-regex", r"accuracy=([\d.]+)"], "accuracy", "accuracy is read as"),
        (
            ["--metric-regex", r"never (\d)"],
            "accuracy",
            "this line mentions 'accuracy', but no value is read",
        ),
    ],
)
def test_whether_the_metric_can_be_read_is_said_during_the_run(history, capfd, options, line, words):
    main(arguments(history, sizes="64", options=options))
    err = capfd.readouterr().err
    assert words in err
    assert err.index(words) < err.index("ended:")
    assert line in err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_stops_the_command_and_the_run_has_no_outcome(history, number, code):
    process, child = start(history)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    child.wait(10)
    assert list((history / "nightly").glob("*-lost-*"))
    assert not list((history / "nightly").glob("*-outcome-*"))


def test_killed_with_9_the_command_ends_and_the_run_is_lost(history, capfd):
    process, child = start(history)
    process.kill()
    process.communicate()
    child.wait(10)
    assert main(arguments(history)) == 0
    assert "1 of them to the target" in capfd.readouterr().err


def start(history):
    """A run whose command has started, and the process of the command."""
    code = (  # a process that was started in the background ignores SIGINT, and so would this one
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from zeus_ray.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments(history, "sleeps", target="accuracy=2")],
        env={**os.environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if "epoch 2" in line:
            break
    (child,) = [c for c in psutil.Process(process.pid).children() if "trainer.py" in " ".join(c.cmdline())]
    return process, child


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a[: a.index("--")], "no command"),
        (lambda a: [x for x in a if x != "{batch_size}"], "{batch_size}"),
        (lambda a: [*a, "{lr}"], "--lr"),
        (lambda a: [*a[: a.index("--")], "--", "no-such-program", "{batch_size}"], "no such program"),
        (lambda a: ["accuracy=high" if x == "accuracy=0.9" else x for x in a], "number"),
        (lambda a: ["a/b" if x == "nightly" else x for x in a], "job"),
    ],
)
def test_bad_input_is_one_line(history, capfd, change, words):
    assert main(change(arguments(history))) == 2
    assert words in capfd.readouterr().err


def test_a_report_without_runs(tmp_path, capsys):
    assert main(["job", "report", "--history", str(tmp_path)]) == 1
    assert "has no run" in capsys.readouterr().out
