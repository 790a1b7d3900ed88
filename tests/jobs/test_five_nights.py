"""Five nights of a word language model at batch sizes 10, 20 and 40, of which one is known to be cheaper."""

import itertools

import pytest

from zeus_ray.records import Measurement, Outcome, Progress, StopReason, Target
from zeus_ray.search.search import Search

SIZES = (10, 20, 40)
EPOCHS = 6
COSTS_KJ = (7.1, 9.4, 12.2)


def nights(costs_kj, default, count=5, scatter=(1.0,), **options):
    """The batch size and the energy (kJ) of each night; energy alone counts, and no limit is chosen."""
    search = Search(
        batch_sizes=sorted(costs_kj),
        default_batch_size=default,
        target=Target("ppl", 120.0, mode="min"),
        eta=1.0,
        **options,
    )
    seen = []
    for night in range(count):
        knobs = search.ask()
        cost_j = 1000 * costs_kj[knobs.batch_size] * scatter[night % len(scatter)]
        for epoch in range(1, EPOCHS + 1):
            used = Measurement(energy_j=cost_j * epoch / EPOCHS, time_s=60.0 * epoch)
            metric = 119.0 if epoch == EPOCHS else 400.0 - 45.0 * epoch
            told = {"knobs": knobs, "metric": metric, "measurement": used, "gpu": "V100"}
            stop = search.should_stop(Progress(epoch=epoch, **told))
            if stop:
                break
        search.tell(Outcome(reached=stop == StopReason.TARGET_REACHED, epochs=epoch, stop=stop, **told))
        seen.append((knobs.batch_size, used.energy_j / 1000))
    return seen


@pytest.mark.parametrize("default", SIZES)
@pytest.mark.parametrize("kilojoules", list(itertools.permutations(COSTS_KJ)))
def test_a_night_repeats_no_batch_size_that_is_known_to_take_more(kilojoules, default):
    costs_kj = dict(zip(SIZES, kilojoules, strict=True))
    known = {}
    for night, (size, energy_kj) in enumerate(nights(costs_kj, default), 1):
        cheaper = [kj for other, kj in known.items() if other != size and kj < 0.7 * costs_kj[size]]
        assert size not in known or not cheaper, (
            f"night {night}: {size} again, at {energy_kj:.1f} kJ; {known}"
        )
        if energy_kj == pytest.approx(costs_kj[size]):  # it was trained to the target
            known[size] = energy_kj


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"count": 12},
        {"count": 12, "exploration_budget": 3.0},
        {"count": 12, "exploration_budget": float("inf")},
        {"count": 12, "scatter": (1.0, 1.05, 0.96)},
        {"count": 12, "horizon_runs": 500},
    ],
)
@pytest.mark.parametrize("default", [10, 80])
def test_a_fortnight_keeps_its_budget_and_repeats_no_batch_size_that_is_far_above(default, options):
    costs_kj = {10: 9.0, 20: 7.1, 40: 9.4, 80: 12.2, 160: 20.0}
    seen = nights(costs_kj, default, **options)
    finished = [(size, kj) for size, kj in seen if kj > 0.9 * costs_kj[size]]
    for index, (size, _kj) in enumerate(finished):
        before = [costs_kj[other] for other, _ in finished[:index]]
        repeated = size in [other for other, _ in finished[:index]]
        assert not repeated or costs_kj[size] < 1.4 * min(before)
    budget = options.get("exploration_budget", 1.0)
    total = sum(kj for _size, kj in seen)
    assert total <= (len(seen) + budget) * 1.06 * costs_kj[default]
    assert costs_kj[seen[-1][0]] <= costs_kj[default]
    assert budget < 3 or seen[-1][0] in {10, 20, 40}  # with one run of budget, a single try may use it up
