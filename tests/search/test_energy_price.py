"""While energy is expensive a run's limit is lower; what is learned does not change."""

import math

import pytest
from driving import profile_of
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from zeus_ray.objective import cost, eta_at
from zeus_ray.records import Measurement, Outcome, Target
from zeus_ray.search import Search


@pytest.mark.parametrize(
    ("eta", "price", "expected"),
    [
        (0.5, 1.0, 0.5),
        (0.5, 3.0, 0.75),
        (0.2, 1.0, 0.2),
        (0.5, 0.0, 0.0),
        (0.5, -2.0, 0.0),
        (1.0, 0.1, 1.0),
        (1.0, 0.0, 0.0),
        (0.0, 9.0, 0.0),
        (0.3, math.nan, 0.3),
    ],
)
def test_the_eta_that_decides_alike(eta, price, expected):
    assert eta_at(eta, price) == pytest.approx(expected)


numbers = st.floats(1.0, 1e6)


@given(st.tuples(numbers, numbers), st.tuples(numbers, numbers), st.floats(0.01, 0.99), st.floats(0.01, 100))
def test_it_orders_any_two_runs_as_the_priced_cost_does(one, other, eta, price):
    def priced(energy_j, time_s):
        return eta * price * energy_j + (1 - eta) * 250.0 * time_s

    first, second = (cost(*run, eta=eta_at(eta, price), max_power_w=250.0) for run in (one, other))
    ours, theirs = first - second, priced(*one) - priced(*other)
    assert ours * theirs >= 0 or abs(theirs) < 1e-6 * (priced(*one) + priced(*other))


def driven(prices):
    """A search told the same of every run, asked at these prices of energy."""
    search = Search(
        batch_sizes=[32, 64, 128], default_batch_size=64, target=Target("accuracy", 0.9), max_power_w=250.0
    )
    for size in (32, 64, 128):
        search.observe_profile(profile_of(size))
    asked = []
    for price in prices:
        knobs = search.ask(energy_price=price)
        asked.append(knobs)
        used = Measurement(energy_j=1e4 * knobs.batch_size, time_s=100.0)
        search.tell(Outcome(knobs=knobs, reached=True, epochs=10.0, metric=0.9, measurement=used, gpu="V100"))
    return search, asked


def test_nothing_is_learned_wrongly_from_a_clean_night():
    plain, usual = driven([1.0] * 8)
    night, clean = driven([0.05] * 4 + [20.0] * 4)
    assert [k.batch_size for k in clean] == [k.batch_size for k in usual]
    assert [k.cost_cap for k in clean] == [k.cost_cap for k in usual]
    assert night.best() == plain.best()
    assert max(k.power_limit_w for k in clean[4:]) < min(k.power_limit_w for k in clean[:4])


@given(st.lists(st.floats(0, 50), min_size=2, max_size=2))
@examples(25)
def test_the_higher_the_price_the_lower_the_limit(prices):
    (_, cheap), (_, dear) = (driven([price]) for price in sorted(prices))
    assert dear[0].power_limit_w <= cheap[0].power_limit_w
