"""The text of a search's progress: nothing of it is lost, broken or taken for markup."""

import io
import math
import re

import pytest

pytestmark = pytest.mark.ray

from conformance_jobs import SIZES, TARGET, Job  # noqa: E402 — after the marker: importing it takes seconds
from in_process import run  # noqa: E402
from ray import tune  # noqa: E402
from rich.console import Console  # noqa: E402

import zeus_ray as zeus  # noqa: E402
from zeus_ray.records import TrialReport  # noqa: E402
from zeus_ray.tune import live_progress_display  # noqa: E402
from zeus_ray.tune.live_progress_display import PlainDisplay, TerminalDisplay, progress_table  # noqa: E402
from zeus_ray.tune.search_progress import RunningTrial, SearchProgress  # noqa: E402

KNOBS = "batch 64 at 100 W"
BRACKETS = "accuracy[top1] 0.9 of [/data/x]"
RUNNING = RunningTrial(batch_size="64", power_limit="100 W", epochs="1.0", metric=BRACKETS, energy="1.00 kJ")


def printed(width=80, **options):
    return Console(file=io.StringIO(), width=width, **options)


@pytest.mark.parametrize("terminal", [False, True])
def test_brackets_are_text(terminal):
    console = printed(force_terminal=terminal, _environ={"TERM": "xterm"})
    display = TerminalDisplay(console) if terminal else PlainDisplay(console)
    display.line(BRACKETS)
    display.update(SearchProgress(running=(RUNNING,), last_stop=BRACKETS))
    display.close()
    assert console.file.getvalue().count(BRACKETS) >= 3


def test_a_metric_with_brackets_in_its_name_does_not_end_a_search(tmp_path):
    class Bracketed(Job):
        def metric(self):
            return {"accuracy[/val]": super().metric()["accuracy"]}

    target = zeus.Target("accuracy[/val]", TARGET.value)
    searcher = zeus.ZeusSearcher(target=target, default_batch_size=64, history=str(tmp_path / "log"))
    console = printed()
    run(
        Bracketed,
        tmp_path,
        search_alg=searcher,
        scheduler=zeus.EnergyScheduler(searcher),
        config={"batch_size": tune.choice(SIZES)},
        num_samples=3,
        callbacks=[zeus.TrialReporter(console)],
    )
    printed_lines = console.file.getvalue()
    assert "accuracy[/val] 0.9" in printed_lines
    ended = [line for line in printed_lines.splitlines() if " epochs  " in line]
    units = [re.findall(r"\d (k?J|MJ|s|min|h) ", line) for line in ended]
    assert len(ended) >= 2
    assert units == [units[0]] * len(ended)
    assert len(units[0]) == 2
    assert math.isfinite(searcher.best().energy_j.mean)


def test_a_log_breaks_no_line():
    console = printed()
    PlainDisplay(console).line("x" * 50 + " " + "y" * 100)
    (line,) = console.file.getvalue().splitlines()
    assert line.endswith(" " + "y" * 100)


def test_a_log_shows_the_state_where_no_trial_ends_for_long(monkeypatch):
    now_s = 1000.0
    monkeypatch.setattr(live_progress_display.time, "monotonic", lambda: now_s)
    console = printed()
    display = PlainDisplay(console)
    for now_s in (1000.0, 1599.0, 1600.0, 1601.0, 2199.0, 2200.0):
        display.update(SearchProgress(elapsed_s=now_s - 1000.0, energy_j=5e3))
    first, second = console.file.getvalue().splitlines()
    assert first.startswith("trials: 0 running, 0 ended; energy so far: 5.00 kJ; ")
    assert "wall clock: 10.0 min" in first
    assert "wall clock: 20.0 min" in second


@pytest.mark.parametrize(
    ("report", "shown"),
    [
        ({}, f"{KNOBS}: cost 9.00 kJ-eq, energy 5.00 kJ, 60.0 s"),
        ({"cost": 1e4}, f"{KNOBS}: cost 9.00 kJ-eq, energy 5.00 kJ, 60.0 s at its end, past the target"),
        ({"energy_j": math.nan}, f"{KNOBS}: 60.0 s, energy not measured"),
        ({"energy_j": math.nan, "power_limit_w": math.nan}, "batch 64: 60.0 s, energy not measured"),
    ],
)
def test_the_cheapest_run_has_its_cost_and_says_what_its_figures_are_of(report, shown):
    reached = {"energy_j": 5e3, "time_s": 60.0, "cost": 9e3, "cost_to_target": 9e3, "power_limit_w": 100.0}
    best = TrialReport(batch_size=64, target_reached=True, **{**reached, **report})
    assert SearchProgress(best=best).rows()["cheapest run"] == shown


def test_the_cheapest_run_is_one_line_of_eighty_columns():
    best = TrialReport(
        batch_size=65536,
        energy_j=123e6,
        time_s=123 * 60.0,
        cost=456e6,
        cost_to_target=456e6,
        power_limit_w=700.0,
    )
    console = printed()
    console.print(progress_table(SearchProgress(best=best)))
    (line,) = [line for line in console.file.getvalue().splitlines() if line.startswith("cheapest run")]
    assert "2.05 h" in line
