"""``TrialReporter``: what a search shows of itself in a terminal, a log file and a notebook."""

import datetime as dt
import io
import math
import re

import pytest

pytestmark = pytest.mark.ray

from conformance_jobs import SIZES, TARGET, Job  # noqa: E402 — after the marker: importing it takes seconds
from in_process import run  # noqa: E402
from ray import tune  # noqa: E402
from ray.tune.experiment import Trial  # noqa: E402
from rich.console import Console  # noqa: E402

import zeus_ray as zeus  # noqa: E402
from zeus_ray.records import TrialReport  # noqa: E402
from zeus_ray.tune import show_progress_callback  # noqa: E402
from zeus_ray.tune.live_progress_display import NotebookDisplay, display_for, progress_table  # noqa: E402
from zeus_ray.tune.search_progress import SearchProgress  # noqa: E402

SHOW_CURSOR, HIDE_CURSOR = "\x1b[?25h", "\x1b[?25l"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """As found; a reporter sets the variable for the process."""
    monkeypatch.setenv("RAY_AIR_NEW_OUTPUT", "of a test")
    monkeypatch.delenv("RAY_AIR_NEW_OUTPUT")


def searched(tmp_path, console, trainable=Job, **options):
    """A search with its output on ``console``; returns the result and what was printed."""
    searcher = zeus.ZeusSearcher(target=TARGET, default_batch_size=64, history=str(tmp_path / "log"))
    options = {"raise_on_failed_trial": False, "num_samples": 12, **options}
    result = run(
        trainable,
        tmp_path,
        search_alg=searcher,
        scheduler=zeus.EnergyScheduler(searcher),
        config={"batch_size": tune.choice(SIZES)},
        callbacks=[zeus.TrialReporter(console)],
        **options,
    )
    return result, console.file.getvalue()


def test_a_log_file_gets_a_line_per_trial_and_the_state_at_the_end(tmp_path):
    result, text = searched(tmp_path, Console(file=io.StringIO(), width=200))
    assert "\x1b" not in text
    lines = re.findall(r"^ +\d+  batch +(\d+)", text, re.MULTILINE)
    assert sorted(map(int, lines)) == sorted(trial.config["batch_size"] for trial in result.trials)
    used_j = math.fsum(trial.last_result["zeus/energy_j"] for trial in result.trials)
    assert re.search(rf"^trials +0 running, {len(result.trials)} ended *$", text, re.MULTILINE)
    assert re.search(rf"^energy so far +{used_j / 1000:.3g} kJ *$", text, re.MULTILINE)
    cheapest = min(result.trials, key=lambda t: t.last_result["zeus/cost_to_target"]).last_result
    best = f"cheapest run +batch {cheapest['zeus/batch_size']} at {cheapest['zeus/power_limit_w']:.0f} W: "
    assert re.search(best, text)
    assert "SIMULATED" not in text


def test_a_terminal_shows_the_state_and_keeps_its_cursor(tmp_path, monkeypatch):
    monkeypatch.setattr(show_progress_callback, "UPDATE_EVERY_S", 0.0)  # trials here take microseconds
    console = Console(file=io.StringIO(), width=80, force_terminal=True, _environ={"TERM": "xterm"})
    _, text = searched(tmp_path, console)
    assert text.count(HIDE_CURSOR) == 1
    assert text.index(HIDE_CURSOR + SHOW_CURSOR) < text.index("trials")
    assert "no run has reached the target yet" in text
    assert text.rindex("cheapest run") > text.rindex("running, 1 ended")
    assert "Configuration for experiment" not in text  # by Tune's newer output, in spite of verbose=0


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_terminal_that_cannot_go_back_gets_lines(tmp_path, term):
    console = Console(file=io.StringIO(), width=80, force_terminal=True, _environ={"TERM": term})
    _, text = searched(tmp_path, console)
    assert HIDE_CURSOR not in text


def test_an_endless_search_with_a_time_budget_says_what_is_left_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(show_progress_callback, "UPDATE_EVERY_S", 0.0)
    console = Console(file=io.StringIO(), width=80, force_terminal=True, _environ={"TERM": "xterm"})
    _, text = searched(tmp_path, console, num_samples=-1, time_budget_s=dt.timedelta(hours=1))
    assert re.search(r"at most about (1\.00 h|60\.0 min) left", text)
    assert "of at most" not in text


class Fails(Job):
    def step(self):
        if self.size != 64 and self.epoch:
            raise RuntimeError("of the trial")
        return super().step()


def test_a_trial_that_fails_says_where_to_look(tmp_path):
    result, text = searched(tmp_path, Console(file=io.StringIO(), width=300), Fails)
    failed = [trial for trial in result.trials if trial.status == Trial.ERROR]
    assert failed
    for trial in failed:
        assert f"{trial.trial_id}: failed; see /" in text
    assert f"{len(failed)} failed" in text


class Interrupted(Job):
    def step(self):
        if self.epoch == 2:
            raise KeyboardInterrupt
        return super().step()


def test_after_an_interruption_the_cursor_is_there(tmp_path):
    console = Console(file=io.StringIO(), width=80, force_terminal=True, _environ={"TERM": "xterm"})
    reporter = zeus.TrialReporter(console)
    with pytest.raises(KeyboardInterrupt):
        run(Interrupted, tmp_path, config={"batch_size": 64}, callbacks=[reporter])
    text = console.file.getvalue()  # also before the process ends
    assert text.rindex(HIDE_CURSOR) < text.rindex(SHOW_CURSOR)
    reporter._shown().close()


def trial_with(report, status=Trial.RUNNING, time_total_s=60.0):
    trial = Trial("unused", stub=True)
    trial.status = status
    trial.run_metadata.last_result = {**report.to_result(), "time_total_s": time_total_s}
    return trial


def test_what_is_not_measured_or_is_simulated_is_said():
    simulated = TrialReport(batch_size=64, energy_j=5e3, power_limit_w=150.0, measured_by="simulated")
    unmeasured = TrialReport(batch_size=32)
    ended = [trial_with(simulated, Trial.TERMINATED), trial_with(unmeasured, Trial.TERMINATED)]
    progress = SearchProgress.of(
        [*ended, trial_with(simulated), trial_with(simulated)],
        most=10,
        elapsed_s=90.0,
        last_stop="batch 64: x",
    )
    assert progress.rows() == {
        "trials": "2 running, 2 ended of at most 10",
        "energy so far": "15.0 kJ (SIMULATED), without 1 that are not measured",
        "cheapest run": "no run has reached the target yet",
        "wall clock": "90.0 s, at most about 4.00 min left",
        "ended last": "batch 64: x",
    }
    assert math.isnan(SearchProgress.of(ended, most=None, elapsed_s=1.0).left_s)
    assert SearchProgress.of(ended * 3, most=4, elapsed_s=1.0).left_s == 0
    assert SearchProgress.of(ended[1:], most=4, elapsed_s=1.0).rows()["energy so far"] == "not measured"
    assert SearchProgress.of(ended, most=None, elapsed_s=1.0, budget_s=3.0).left_s == 2.0
    assert SearchProgress.of(ended, most=9, elapsed_s=4.0, budget_s=3.0).left_s == 0.0
    assert SearchProgress.of([], most=None, elapsed_s=0.0).rows()["trials"] == "0 running, 0 ended"


def test_forty_running_trials_fit_on_a_narrow_screen():
    report = TrialReport(
        batch_size=65536, energy_j=1.23e9, power_limit_w=700.0, epochs=123.4, measured_by="counter"
    )
    progress = SearchProgress.of([trial_with(report)] * 40, most=100, elapsed_s=1e6)
    console = Console(file=io.StringIO(), width=80)
    console.print(progress_table(progress))
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) < 16
    assert "and 32 more" in lines[-1]


def test_a_notebook_has_one_output_that_is_written_anew(monkeypatch):
    shown = []

    class Handle:
        def update(self, what):
            shown.append(what._repr_html_())

    def display_html(what, display_id):
        assert display_id
        handle = Handle()
        handle.update(what)
        return handle

    monkeypatch.setattr("IPython.display.display", display_html)
    display = NotebookDisplay()
    report = TrialReport(batch_size=64, energy_j=5e3, measured_by="counter")
    display.line("batch 64 <b>")
    display.update(SearchProgress.of([trial_with(report)], most=4, elapsed_s=2.0))
    assert len(shown) == 2
    assert "1 running, 0 ended of at most 4" in shown[-1]
    assert "batch 64 &lt;b&gt;" in shown[-1]
    assert not isinstance(display_for(Console(file=io.StringIO())), NotebookDisplay)
