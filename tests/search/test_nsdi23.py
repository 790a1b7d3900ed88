"""The published policy: what it runs, in which order, on results that a table gives."""

import math

import pytest
from driving import LIMITS_W, SIZES, TARGET, Work, outcome, profile_of

from zeus_ray.records import Progress, StopReason
from zeus_ray.search import Search


def make(**options):
    return Search(
        **{
            "batch_sizes": SIZES,
            "default_batch_size": 64,
            "power_limits_w": LIMITS_W,
            "target": TARGET,
            "policy": "nsdi23",
            **options,
        }
    )


def explore(search, cost_of, count):
    """Tell each run ``cost_of`` its batch size (None: failed); the sizes that were asked."""
    asked = []
    for _ in range(count):
        knobs = search.ask()
        asked.append(knobs.batch_size)
        time_s = cost_of.get(knobs.batch_size)
        search.tell(outcome(knobs, reached=time_s is not None, time_s=time_s or 5.0, energy_j=math.nan))
    return asked


@pytest.mark.parametrize(
    ("costs", "order"),
    [
        # all reach: down, up, then the same from the cheapest
        ({16: 5, 32: 4, 64: 3, 128: 2, 256: 3}, [64, 32, 16, 128, 256, 128, 64, 32, 16, 256]),
        # one fails downwards: everything below it is never run
        ({64: 3, 128: 2, 256: 4}, [64, 32, 128, 256, 128, 64, 256]),
        # one fails upwards
        ({16: 1, 32: 2, 64: 3}, [64, 32, 16, 128, 16, 32, 64]),
        # only the default
        ({64: 3}, [64, 32, 128, 64]),
    ],
)
def test_two_pruning_rounds(costs, order):
    assert explore(make(), costs, len(order)) == order


def test_after_pruning_only_survivors_run_and_the_cheapest_mostly():
    costs = {32: 40.0, 64: 30.0, 128: 20.0}
    search = make()
    explore(search, costs, 9)
    later = []
    for i in range(40):
        knobs = search.ask()
        later.append(knobs.batch_size)
        search.tell(outcome(knobs, time_s=costs[knobs.batch_size] + (i % 5), energy_j=math.nan))
    assert set(later) <= set(costs)
    assert later.count(128) > 30


def test_all_pruned_runs_the_default_as_the_board_was_found():
    search = make()
    explore(search, {}, 2)
    knobs = search.ask()
    assert (knobs.batch_size, knobs.power_limit_w, knobs.probe_limits_w) == (64, None, ())


def test_a_batch_size_is_profiled_once_and_then_runs_at_its_best_limit():
    search = make()
    first = search.ask()
    assert (first.power_limit_w, first.probe_limits_w) == (None, LIMITS_W)
    search.observe_profile(profile_of(64))
    search.tell(outcome(first))
    explore(search, {}, 2)  # both neighbours fail: the second round begins where the first did
    again = search.ask()
    assert (again.batch_size, again.probe_limits_w) == (64, ())
    assert again.power_limit_w == search.power_limit_w(64, gpu="V100")


def test_a_run_stops_before_an_epoch_that_would_exceed_beta_times_the_cheapest():
    search = make(beta=2.0, eta=0.0, max_power_w=250.0)
    search.tell(outcome(search.ask(), time_s=100.0))
    knobs = search.ask()
    assert knobs.cost_cap == 200.0 * 250

    def verdict(epoch, time_s):
        used = outcome(knobs, time_s=time_s).measurement
        return search.should_stop(Progress(knobs=knobs, epoch=epoch, metric=0.1, measurement=used))

    assert verdict(1, 100.0) is None
    assert verdict(2, 134.0) == StopReason.COST_CAP
    assert verdict(0, 0.0) is None  # the cost of an epoch is not known yet


def test_while_exploration_is_in_flight_further_runs_take_the_best_known():
    search = make()
    explore(search, {64: 3.0}, 1)
    asked = [search.ask().batch_size for _ in range(3)]
    assert asked == [32, 64, 64]


def test_a_window_forgets_what_a_drifting_job_used_to_cost():
    costs = {64: 30.0, 128: 20.0}
    search = make(window=4)
    explore(search, costs, 7)
    explore(search, costs, 10)
    changed = {64: 30.0, 128: 90.0}
    later = explore(search, changed, 30)
    assert later[-10:].count(64) >= 9


def test_a_search_that_ends_ends():
    search = make(recurring=False)
    work = Work()
    runs = 0
    while (knobs := search.ask()) is not None:
        work.run(search, knobs)
        runs += 1
    assert search.finished
    assert 2 * len(SIZES) <= runs <= 2 * len(SIZES) + 50
    assert search.best().batch_size in (32, 64)
