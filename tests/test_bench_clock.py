"""The clock of compared searches: trials report in the order of their own times."""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from rivals.clock import STEPS, Clock


async def driver(clock):
    """Steps, as Tune's controller makes them, for as long as somebody waits."""
    while True:
        await clock.step([])
        await asyncio.sleep(0)


async def trial(clock, name, pace, reports, reported):
    every_s, count = pace
    for i in range(1, count + 1):
        await clock.reach(name, i * every_s)
        reports.append((clock.now_s, name))
        reported.set()
    await clock.end(name)


def played(*, at_once, later=()):
    """Reports (s, trial) of a slow and a fast trial; ``later``: asked for after the first report."""

    async def play():
        clock, reports, reported = Clock(at_once), [], asyncio.Event()
        await clock.step(["slow", "fast"])
        running = [
            trial(clock, "slow", (10.0, 3), reports, reported),
            trial(clock, "fast", (4.0, 5), reports, reported),
        ]
        tasks = [asyncio.create_task(one) for one in running]
        steps = asyncio.create_task(driver(clock))
        for name in later:
            await reported.wait()
            await clock.step([name])
            tasks.append(asyncio.create_task(trial(clock, name, (1.0, 2), reports, reported)))
        await asyncio.gather(*tasks)
        steps.cancel()
        return reports

    return asyncio.run(play())


def test_reports_come_in_the_order_of_the_trials_own_times():
    reports = played(at_once=2)
    assert reports == sorted(reports)
    assert [name for _s, name in reports] == ["fast", "fast", "slow", "fast", "fast", "fast", "slow", "slow"]


def test_a_trial_begins_when_it_was_asked_for():
    reports = played(at_once=3, later=["new"])
    assert reports == sorted(reports, key=lambda report: report[0])
    assert [s for s, name in reports if name == "new"] == [5.0, 6.0]  # asked for at 4 s


def test_while_there_is_room_the_driver_may_ask_first():
    async def play():
        clock = Clock(at_once=2)
        await clock.step(["alone"])
        waiting = asyncio.create_task(clock.reach("alone", 1.0))
        for _ in range(STEPS - 1):
            await asyncio.sleep(0)
            assert not waiting.done()
            await clock.step([])
        await asyncio.wait_for(waiting, 10)

    asyncio.run(play())
