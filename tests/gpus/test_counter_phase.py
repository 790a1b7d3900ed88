"""Period and phase of a counter, found on a clock that the test moves."""

import math
import random

import pytest

from zeus_ray.gpus.energy.counter_phase import TYPICAL_PERIOD_S, CounterPhase


class Counter:
    """A counter that is updated every ``period_s``, late by up to ``jitter_s``, at 100 W."""

    def __init__(self, period_s, jitter_s=0.0, seed=0):
        self.now = 0.0123
        self.period_s, self.jitter_s = period_s, jitter_s
        self._draw = random.Random(seed)  # noqa: S311 — a test's
        self._late = {}

    def update_s(self):
        """The time of the last update."""
        step = math.floor(self.now / self.period_s)
        while self.at(step) > self.now:
            step -= 1
        return self.at(step)

    def at(self, step):
        return step * self.period_s + self._late.setdefault(step, self._draw.uniform(0, self.jitter_s))

    def read(self):
        return 100 * self.update_s()

    def clock(self):
        self.now += 1e-5
        return self.now

    def pause(self, seconds):
        self.now += seconds


def learned_phase(counter, times=12):
    phase = CounterPhase(counter.read, counter.clock, counter.pause)
    for _ in range(times):
        phase.learn(phase.watch())
        counter.pause(min(0.8, phase.valid_for_s / 2))
    return phase


@pytest.mark.parametrize("period_s", [0.02, 0.1, 0.25])
def test_period_and_phase(period_s):
    counter = Counter(period_s)
    phase = learned_phase(counter)
    assert phase.period_s == pytest.approx(period_s, rel=2e-3)
    for _ in range(50):
        counter.pause(0.037)
        now_s = counter.clock()
        counter.pause(phase.ambiguous_for_s(now_s))
        now_s = counter.clock()
        age_s, error_s = phase.age(now_s)
        assert abs(age_s - (now_s - counter.update_s())) <= error_s


@pytest.mark.parametrize("seed", range(5))
def test_jitter_widens_the_error_bound(seed):
    counter = Counter(0.1, jitter_s=0.02, seed=seed)
    exact, phase = learned_phase(Counter(0.1)), learned_phase(counter, 20)
    assert phase.age(counter.clock())[1] > exact.age(20.0)[1] / 2
    wrong = 0
    for _ in range(200):
        counter.pause(0.537)
        phase.learn(phase.watch())
        counter.pause(phase.ambiguous_for_s(counter.clock()))
        now_s = counter.clock()
        age_s, error_s = phase.age(now_s)
        wrong += abs(age_s - (now_s - counter.update_s())) > error_s
    assert wrong < 20


def test_a_continuous_counter_has_no_age():
    counter = Counter(1e-4)
    phase = learned_phase(counter)
    assert phase.continuous
    assert phase.age(counter.clock()) == (0, 0)
    assert phase.ambiguous_for_s(counter.clock()) == 0


def test_before_it_is_watched_the_typical_period_is_the_bound():
    counter = Counter(0.1)
    assert CounterPhase(counter.read, counter.clock, counter.pause).age(1.0) == (
        TYPICAL_PERIOD_S / 2,
        TYPICAL_PERIOD_S / 2,
    )


def test_watching_a_stalled_counter_times_out():
    counter = Counter(0.1)
    phase = CounterPhase(lambda: 5.0, counter.clock, counter.pause)
    assert phase.watch() == []
    assert counter.now < 2
    assert not phase.known


def test_a_changed_period_is_found_again():
    counter = Counter(0.1)
    phase = learned_phase(counter)
    counter.period_s = 0.07
    for _ in range(10):
        phase.learn(phase.watch())
        counter.pause(0.3)
    assert phase.period_s == pytest.approx(0.07, rel=0.02)
