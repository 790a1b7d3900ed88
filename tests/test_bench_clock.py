"""The clock of compared searches: trials report in the order of their own times."""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from rivals.clock import STEPS, Clock


async def driver(clock, present):
    """Steps, as Tune's controller makes them, for as long as trials wait."""
    while True:
        await clock.step(present)
        await asyncio.sleep(0)


async def trial(clock, name, pace, *, reports, reported, present):
    every_s, count = pace
    for i in range(1, count + 1):
        await clock.reach(name, i * every_s)
        reports.append((clock.now_s, name))
        reported.set()
    present.remove(name)
    await clock.end(name)


def played(*, at_once, later=()):
    """Reports (s, trial) of a slow and a fast trial; ``later``: asked for after the first report."""

    async def play():
        clock, reports, reported, present = Clock(at_once), [], asyncio.Event(), ["slow", "fast"]
        await clock.step(present)
        shared = {"reports": reports, "reported": reported, "present": present}
        running = [
            trial(clock, "slow", (10.0, 3), **shared),
            trial(clock, "fast", (4.0, 5), **shared),
        ]
        tasks = [asyncio.create_task(one) for one in running]
        steps = asyncio.create_task(driver(clock, present))
        for name in later:
            await reported.wait()
            present.append(name)
            await clock.step(present)
            tasks.append(asyncio.create_task(trial(clock, name, (1.0, 2), **shared)))
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
            await clock.step(["alone"])
        await asyncio.wait_for(waiting, 10)

    asyncio.run(play())


def test_a_trial_whose_room_another_took_stops_no_one():
    async def play():
        clock = Clock(at_once=2)
        await clock.step(["running", "pending"])
        waiting = asyncio.create_task(clock.reach("running", 1.0))
        also = asyncio.create_task(clock.reach("reused_actor", 1.0))
        for _ in range(STEPS):
            await asyncio.sleep(0)
            assert not waiting.done()
        await clock.step(["running", "reused_actor"])  # it began before the one that had been asked for first
        await asyncio.wait_for(asyncio.gather(waiting, also), 10)
        await clock.end("running")
        await clock.step(["reused_actor", "pending"])
        await asyncio.wait_for(
            asyncio.gather(clock.reach("pending", 1.0), clock.reach("reused_actor", 2.0)), 10
        )
        assert clock.now_s == 2.0  # both began at 0 s; pending began anew at 1 s

    asyncio.run(play())
