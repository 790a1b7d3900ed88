"""Earlier loads: which are remembered, which are taken to be back, and which were not."""

import copy
import dataclasses
import math

import pytest
from test_online_controller import LIMITS, Gpu, controller, trained

from zeus_ray.training.online_limit.limit_curves_and_knowledge_gradient import LogEstimate
from zeus_ray.training.online_limit.merge_rank_windows import join


def settled(**options):
    ours = controller(**options)
    trained(ours, Gpu(uncapped_w=260.0, noise=0.01), 900)
    return ours


def window_at(ours, gpu, k):
    ours._state.pending = k
    return join([gpu.window(LIMITS[k], 60)], ours.settings.gpus)


def of_two_loads(records, k):
    """A profile whose limit ``k`` is as it is now and whose others are of a load that was slower."""
    wrong = copy.deepcopy(records)
    for i, record in enumerate(wrong):
        if i != k and record.time is not None:
            record.time.mean += 0.08
    return wrong


def known(ours):
    return [k for k, record in enumerate(ours._state.records) if record.time is not None]


def test_a_profile_that_was_measured_under_two_loads_is_not_remembered():
    ours = settled()
    ours._loads._remember()
    assert len(ours._state.past) == 1
    ours._state.records[0].time.mean += 0.5
    ours._loads._remember()
    assert len(ours._state.past) == 1


def test_a_measurement_that_is_not_known_well_recalls_nothing():
    ours, gpu = settled(), Gpu(uncapped_w=260.0, noise=0.01)
    ours._loads._remember()
    (past,) = ours._state.past
    for record in past:
        if record.time is not None:
            record.time = LogEstimate(record.time.mean + 0.05, 0.05**2)
    assert not ours._loads.recall(window_at(ours, gpu, known(ours)[-1]))


def test_a_load_that_another_limit_contradicts_is_forgotten_and_the_true_one_stays():
    ours, gpu = settled(), Gpu(uncapped_w=260.0, noise=0.01)
    first, *_, last = known(ours)
    ours._state.past = [of_two_loads(ours._state.records, last)]
    true = math.exp(ours._state.records[first].time.mean)
    assert ours._loads.recall(window_at(ours, gpu, last))
    assert math.exp(ours._state.records[first].time.mean) > 1.05 * true
    assert ours._loads.recall(window_at(ours, gpu, first))
    assert math.exp(ours._state.records[first].time.mean) == pytest.approx(true, rel=0.02)
    assert ours._state.past == []


def test_a_load_that_another_limit_has_confirmed_is_remembered():
    ours, gpu = settled(), Gpu(uncapped_w=260.0, noise=0.01)
    first, *_, last = known(ours)
    ours._loads._remember()
    assert ours._loads.recall(window_at(ours, gpu, last))
    ours._state.past = []
    ours._state.pending = first
    ours._loads.confirm()
    ours._loads._remember()
    assert len(ours._state.past) == 1


def test_the_first_record_of_a_straggler_is_no_drift_however_long_a_change_was_suspected():
    """Found in a run of an hour: it became what the highest limit takes, and the bound was lost."""
    ours = settled()
    held, test = ours._state.held, ours._state.time_test
    before = held.time.mean
    test.high, test.high_since = 4.0, 20
    slowed = copy.deepcopy(held.time)
    slowed.mean += 0.08
    window = dataclasses.replace(window_at(ours, Gpu(uncapped_w=260.0), ours._state.pending), time=slowed)
    assert not ours._watch.is_quiet(window, held)
    assert held.time.mean == before
    small = dataclasses.replace(window, time=dataclasses.replace(slowed, mean=before + 0.01))
    assert ours._watch.is_quiet(small, held)


def test_a_closer_look_that_a_straggler_slows_changes_nothing():
    ours, gpu = settled(max_slowdown=1.1), Gpu(uncapped_w=260.0, noise=0.01)
    state, top = ours._state, 0
    held, before = state.pending, copy.deepcopy(state.records[top])
    state.phase, state.refining = "profile", True
    for _ in range(2):  # the first is repeated
        state.pending = top
        slowed = Gpu(uncapped_w=260.0, noise=0.01, step_s=1.12 * gpu.step_s)
        ours.observe_window([slowed.window(LIMITS[top], 60)])
    assert ours.settled
    assert state.records[top].time == before.time
    assert state.pending in (held, top)


def test_with_a_bound_the_highest_limit_is_measured_again_where_a_lower_one_was_faster():
    for bound, expected in ((1.1, True), (None, False)):
        ours = settled(**({"max_slowdown": bound} if bound else {}))
        ours._state.records[0].time = LogEstimate(ours._state.records[0].time.mean + 0.4, 0.01**2)
        doubted = ours._choice.next_probe(0.5)
        assert (doubted == 0) is expected
        assert ours._choice.next_probe(0.5) != 0 or not expected  # once


def looks_at(ours, gpu, k, times):
    """So many closer looks at a limit, as far as each is repeated."""
    for _ in range(times):
        ours._state.phase, ours._state.refining, ours._state.tries = "profile", True, 0
        while not ours.settled:
            ours._state.pending = k
            ours.observe_window([gpu.window(LIMITS[k], 60)])
            if ours._state.pending != k:
                break


def test_a_limit_that_stays_slower_is_believed_after_two_minutes():
    """As where heat throttles the highest limit alone, which the limit held does not show."""
    ours, gpu = settled(max_slowdown=1.1), Gpu(uncapped_w=260.0, noise=0.001)
    hot = Gpu(uncapped_w=260.0, noise=0.001, step_s=1.12 * gpu.step_s)
    looks_at(ours, hot, 0, 2)
    cool_s = math.exp(ours._state.records[0].time.mean)
    assert cool_s == pytest.approx(gpu.time_s(LIMITS[0]), rel=0.02)
    ours._state.elapsed_s += 200
    looks_at(ours, hot, 0, 2)
    assert math.exp(ours._state.records[0].time.mean) == pytest.approx(hot.time_s(LIMITS[0]), rel=0.02)


def test_two_stragglers_far_apart_are_not_one_that_stays():
    ours, gpu = settled(max_slowdown=1.1), Gpu(uncapped_w=260.0, noise=0.001)
    slowed = Gpu(uncapped_w=260.0, noise=0.001, step_s=1.12 * gpu.step_s)
    looks_at(ours, slowed, 0, 1)
    looks_at(ours, gpu, 0, 1)
    ours._state.elapsed_s += 200
    looks_at(ours, slowed, 0, 1)
    assert math.exp(ours._state.records[0].time.mean) == pytest.approx(gpu.time_s(LIMITS[0]), rel=0.02)
