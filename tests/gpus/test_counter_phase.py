"""The rhythm of a counter, learnt on a clock of the test's own."""

import math
import random

import pytest

from zeus_ray.gpus.energy.counter_phase import USUAL_S, CounterPhase


class Counter:
    """CounterPhase every ``period_s``, late by up to ``jitter_s``; 100 W."""

    def __init__(self, period_s, jitter_s=0.0, seed=0):
        self.now = 0.0123
        self.period_s, self.jitter_s = period_s, jitter_s
        self._draw = random.Random(seed)  # noqa: S311 — a test's
        self._late = {}

    def tick_s(self):
        """When it last ticked."""
        step = math.floor(self.now / self.period_s)
        while self.at(step) > self.now:
            step -= 1
        return self.at(step)

    def at(self, step):
        return step * self.period_s + self._late.setdefault(step, self._draw.uniform(0, self.jitter_s))

    def read(self):
        return 100 * self.tick_s()

    def clock(self):
        self.now += 1e-5
        return self.now

    def pause(self, seconds):
        self.now += seconds


def learnt(counter, times=12):
    ticks = CounterPhase(counter.read, counter.clock, counter.pause)
    for _ in range(times):
        ticks.learn(ticks.watch())
        counter.pause(min(0.8, ticks.good_for_s / 2))
    return ticks


@pytest.mark.parametrize("period_s", [0.02, 0.1, 0.25])
def test_period_and_phase(period_s):
    counter = Counter(period_s)
    ticks = learnt(counter)
    assert ticks.period_s == pytest.approx(period_s, rel=2e-3)
    for _ in range(50):
        counter.pause(0.037)
        now_s = counter.clock()
        counter.pause(ticks.unclear_s(now_s))
        now_s = counter.clock()
        age_s, within_s = ticks.age(now_s)
        assert abs(age_s - (now_s - counter.tick_s())) <= within_s


@pytest.mark.parametrize("seed", range(5))
def test_a_counter_that_is_late_now_and_then_widens_the_bound(seed):
    counter = Counter(0.1, jitter_s=0.02, seed=seed)
    exact, ticks = learnt(Counter(0.1)), learnt(counter, 20)
    assert ticks.age(counter.clock())[1] > exact.age(20.0)[1] / 2
    wrong = 0
    for _ in range(200):
        counter.pause(0.537)
        ticks.learn(ticks.watch())
        counter.pause(ticks.unclear_s(counter.clock()))
        now_s = counter.clock()
        age_s, within_s = ticks.age(now_s)
        wrong += abs(age_s - (now_s - counter.tick_s())) > within_s
    assert wrong < 20


def test_a_counter_without_steps_has_no_age():
    counter = Counter(1e-4)
    ticks = learnt(counter)
    assert ticks.continuous
    assert ticks.age(counter.clock()) == (0, 0)
    assert ticks.unclear_s(counter.clock()) == 0


def test_before_it_was_watched_the_usual_period_is_the_bound():
    counter = Counter(0.1)
    assert CounterPhase(counter.read, counter.clock, counter.pause).age(1.0) == (USUAL_S / 2, USUAL_S / 2)


def test_one_that_stands_still_is_given_up_in_time():
    counter = Counter(0.1)
    ticks = CounterPhase(lambda: 5.0, counter.clock, counter.pause)
    assert ticks.watch() == []
    assert counter.now < 2
    assert not ticks.known


def test_a_changed_rhythm_is_learnt_again():
    counter = Counter(0.1)
    ticks = learnt(counter)
    counter.period_s = 0.07
    for _ in range(10):
        ticks.learn(ticks.watch())
        counter.pause(0.3)
    assert ticks.period_s == pytest.approx(0.07, rel=0.02)
