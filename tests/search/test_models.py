"""The models: what curves say, what neighbours say, when a run is given up, when a job has changed."""

import math

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from zeus_ray.records import Target
from zeus_ray.search.models import epochs, epochs_change_point, value_of_starting_and_continuing
from zeus_ray.search.models import unprofiled_epoch_cost as epoch_cost
from zeus_ray.search.models.learning_curve import KEPT, Reference, evidence, thinned
from zeus_ray.search.policies.expected_improvement_and_stopping import LEAST_PRECISION, _observation

TARGET = Target("accuracy", 0.9)
GRID = np.linspace(0, math.log(100), 80)


def curve(needs, last, plateau=math.inf):
    """Reaches 0.9 at ``needs``, and stands still at ``plateau``."""
    return tuple(
        (float(e), min(0.9 * (1 - (1 - min(e / needs, 1)) ** 2), plateau)) for e in range(1, last + 1)
    )


REFERENCE = Reference.of(curve(20, 20), 20.0, TARGET)


def likeliest(shown):
    return math.exp(GRID[int(np.argmax(shown.log_likelihood))])


@pytest.mark.parametrize("needs", [8, 12, 20, 30])
@pytest.mark.parametrize("seen", [4, 6])
def test_a_curve_like_the_reference_but_faster_or_slower_is_recognised(needs, seen):
    shown = evidence(curve(needs, seen), [REFERENCE], TARGET, GRID)
    assert likeliest(shown) == pytest.approx(needs, rel=0.35)


def test_the_first_epoch_says_nothing():
    assert evidence(curve(5, 1), [REFERENCE], TARGET, GRID) is None


def test_a_curve_that_stands_still_probably_never_gets_there():
    stuck = [evidence(curve(20, seen, plateau=0.6), [REFERENCE], TARGET, GRID) for seen in (8, 12, 16)]
    odds = [shown.log_odds_never for shown in stuck]
    assert odds == sorted(odds)
    assert odds[-1] > 3
    assert evidence(curve(20, 16), [REFERENCE], TARGET, GRID).log_odds_never < 0


def test_lower_is_better_is_the_mirror_image():
    up = evidence(curve(12, 6), [REFERENCE], TARGET, GRID)
    down = tuple((e, -m) for e, m in curve(12, 6))
    mirrored = Target("loss", -0.9, mode="min")
    reference = Reference.of(tuple((e, -m) for e, m in curve(20, 20)), 20.0, mirrored)
    shown = evidence(down, [reference], mirrored, GRID)
    assert shown.log_odds_never == pytest.approx(up.log_odds_never)
    assert shown.log_likelihood == pytest.approx(up.log_likelihood)


@given(
    st.lists(st.tuples(st.floats(0.01, 500), st.floats(-1e9, 1e9)), min_size=1, max_size=30),
    st.floats(0.01, 500),
    st.sampled_from(["max", "min"]),
)
@examples(100)
def test_any_curve_gives_finite_evidence(points, needed, mode):
    points = tuple(sorted(points))
    target = Target("metric", 0.9, mode=mode)
    shown = evidence(points, [Reference.of(points[:5], needed, target)], target, GRID)
    assert shown is None or (np.isfinite(shown.log_likelihood).all() and math.isfinite(shown.log_odds_never))


def test_a_long_curve_is_thinned_and_keeps_its_end():
    points = [(float(e), 0.0) for e in range(KEPT + 1)]
    assert len(thinned(points)) < KEPT
    assert thinned(points)[-1] == points[-1]


def at(post, x, size):
    return float(post.weights @ post.means[:, list(x).index(size)])


def test_a_steep_octave_makes_the_next_one_uncertain():
    x = np.arange(4.0, 10.0)
    calm = epochs.posterior(x, np.array([7.0, 6.0]), np.log([20.0, 18.0]), np.full(2, 0.006))
    steep = epochs.posterior(x, np.array([7.0, 6.0]), np.log([38.0, 7.0]), np.full(2, 0.006))
    spread = [float(p.weights @ p.variances[:, 1]) for p in (calm, steep)]
    assert spread[1] > 4 * spread[0]
    assert steep.weights[-1] > calm.weights[-1]
    assert at(calm, x, 9.0) > at(calm, x, 8.0)  # larger batches need more epochs


def test_a_failing_size_lowers_hope_beyond_it_and_less_so_farther_on():
    x = np.arange(4.0, 10.0)
    before = epochs.never(x, np.array([6.0]), {})
    after = epochs.never(x, np.array([6.0]), {7.0: 0.95})
    assert after[3] == 0.95
    assert (after[4:] > before[4:]).all()
    assert after[4] - before[4] > after[5] - before[5]
    assert (after[:3] == before[:3]).all()
    assert after[5] < 0.9  # a size two octaves beyond a failing one may still be tried


def test_epoch_costs_follow_a_fixed_time_per_step():
    x = np.arange(3.0, 9.0)
    true = np.log(1 + 64 / 2.0**x)
    mean, var = epoch_cost.predict(x, np.where(np.isin(x, [4.0, 6.0]), true, math.nan))
    assert mean == pytest.approx(true, abs=0.25)
    assert (var[[1, 3]] == 0).all()


def plan(*, never=0.0, epoch_cost=1.0, now=2.0, most=math.inf, mean=10.0, best=20.0):
    p = np.exp(-0.5 * ((GRID - math.log(mean)) / 0.2) ** 2)
    options = {"now": now, "epoch_cost": epoch_cost, "best": best, "uses": 10.0, "finish": 1.0, "most": most}
    return value_of_starting_and_continuing.value_of_continuing(p / p.sum(), never, np.exp(GRID), **options)


def test_a_run_goes_on_where_it_pays():
    assert plan() > 0
    assert plan(never=0.5) < plan()
    assert plan(never=0.9999) <= 1e-9
    assert plan(epoch_cost=6.0) <= 1e-9  # more expensive than the best: only worth its finish, and not enough
    assert plan(most=5.0) <= 1e-9  # what would pay is more than the budget has


def test_a_change_is_found_and_scatter_is_not():
    rng = np.random.default_rng(0)
    quiet, changed = epochs_change_point.DriftDetector(), epochs_change_point.DriftDetector()
    logs = list(rng.normal(3.0, 0.1, 300))
    assert not any(quiet.observe(logs[i], logs[:i], 0.1, i) for i in range(1, 300))
    found = [changed.observe(3.5, logs[:20], 0.1, 20 + i) for i in range(6)]
    assert any(found[:4])
    assert changed.since >= 20


def test_the_observation_of_a_stopped_run_takes_its_prior_to_its_posterior():
    grid = np.linspace(-2, 6, 400)
    prior, posterior = (np.exp(-0.5 * (grid - mean) ** 2 / var) for mean, var in ((2.0, 0.5), (2.6, 0.2)))
    precision, pull = _observation(grid, posterior / posterior.sum(), prior / prior.sum())
    assert precision == pytest.approx(1 / 0.2 - 1 / 0.5, rel=1e-3)
    assert (pull + 2.0 / 0.5) / (precision + 1 / 0.5) == pytest.approx(2.6, rel=1e-3)


def test_a_run_that_said_nothing_is_hardly_an_observation():
    grid = np.linspace(-2, 6, 400)
    prior = np.exp(-0.5 * (grid - 2.0) ** 2 / 0.5)
    precision, pull = _observation(grid, prior / prior.sum(), prior / prior.sum())
    assert precision == LEAST_PRECISION
    assert pull / precision == pytest.approx(2.0, rel=1e-3)
