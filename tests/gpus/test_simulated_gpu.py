"""Simulated cards against the published fits."""

from itertools import pairwise

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from zeus_ray.errors import BadInput
from zeus_ray.gpus import simulated_power_and_time as cards
from zeus_ray.gpus.simulated_gpu import SimulatedGpu
from zeus_ray.gpus.virtual_gpu_base import VirtualGpu
from zeus_ray.records import MeasuredBy

ALL = st.sampled_from(list(cards.CARDS.values()))
BATCH = st.integers(1, 8192)

FRACTIONS = [
    # card, share of the uncapped throughput at limits of .4, .5, .6, .7, .8, .9 of the uncapped power
    ("V100", (0.53, 0.67, 0.73, 0.84, 0.90, 0.94)),
    ("A40", (0.27, 0.40, 0.58, 0.83, 0.94, 0.97)),
]


def of_limit(card, batch_size, limit_w):
    """(seconds, joules) per sample."""
    sample_s = cards.time_per_sample_s(card, batch_size, limit_w)
    return sample_s, sample_s * cards.power_w(limit_w, cards.uncapped_power_w(card, batch_size))


@pytest.mark.parametrize(("name", "shares"), FRACTIONS)
def test_throughput_under_a_limit_is_as_in_the_traces(name, shares):
    for x, share in zip((0.4, 0.5, 0.6, 0.7, 0.8, 0.9), shares, strict=True):
        assert cards.throughput_share(cards.card(name), x * 200, 200) == pytest.approx(share)


@pytest.mark.parametrize(("name", "share"), [("V100", 0.5), ("A40", 0.58)])
def test_the_limit_of_least_energy_is_that_of_the_traces(name, share):
    card = cards.card(name)
    limits_w = range(int(card.min_limit_w), int(card.max_limit_w) + 1)
    least_energy_w = min(limits_w, key=lambda limit_w: of_limit(card, 4096, limit_w)[1])
    assert least_energy_w / card.max_limit_w == pytest.approx(share, abs=0.05)


@examples(30)
@given(ALL, BATCH)
def test_a_higher_limit_is_never_slower_and_never_draws_less(card, batch_size):
    limits_w = [float(w) for w in range(int(card.min_limit_w), int(card.max_limit_w) + 1, 5)]
    took = [of_limit(card, batch_size, limit_w) for limit_w in limits_w]
    for (slow_s, low_j), (fast_s, high_j) in pairwise(took):
        assert fast_s <= slow_s * (1 + 1e-12)
        assert high_j / fast_s >= low_j / slow_s * (1 - 1e-12)


@examples(30)
@given(ALL, BATCH, st.floats(0, 1))
def test_a_larger_batch_draws_more_and_is_faster_where_no_limit_binds(card, batch_size, share):
    assert (
        of_limit(card, 2 * batch_size, card.max_limit_w)[0] < of_limit(card, batch_size, card.max_limit_w)[0]
    )
    limit_w = card.min_limit_w + share * (card.max_limit_w - card.min_limit_w)
    small_s, small_j = of_limit(card, batch_size, limit_w)
    large_s, large_j = of_limit(card, 2 * batch_size, limit_w)
    assert large_j / large_s >= small_j / small_s * (1 - 1e-12)
    assert card.idle_w < small_j / small_s <= card.peak_w


def test_half_speed_at_the_half_speed_batch():
    card = cards.card("V100")
    assert cards.time_per_sample_s(card, cards.HALF_SPEED_BATCH, 250) == pytest.approx(2 * card.sample_s)


def test_a_run_as_long_as_the_demo_takes_minutes_to_hours():
    for card in cards.CARDS.values():
        for batch_size in (8, 32, 1024):
            gpu = SimulatedGpu(card)
            gpu.train(30 * 1500, batch_size)
            assert 60 < gpu.now_s() < 6 * 3600


def test_without_work_no_time_passes():
    gpu = SimulatedGpu.open("V100", 3)
    assert isinstance(gpu, VirtualGpu)
    assert (gpu.uuid, gpu.name, gpu.measured_by) == ("SIM-V100-3", "simulated V100", MeasuredBy.SIMULATED)
    assert (gpu.now_s(), gpu.energy_j(), gpu.power_w()) == (0, 0, 32)
    gpu.train(0, 8)
    assert (gpu.now_s(), gpu.energy_j()) == (0, 0)


def test_energy_is_power_times_time_and_work_adds_up():
    gpu, whole = SimulatedGpu.open("A100", 0), SimulatedGpu.open("A100", 1)
    for samples in (100, 250, 650):
        gpu.train(samples, 64)
    whole.train(1000, 64)
    assert gpu.now_s() == pytest.approx(whole.now_s()) == pytest.approx(1000 * gpu.time_per_sample_s(64))
    assert gpu.energy_j() == pytest.approx(whole.energy_j()) == pytest.approx(gpu.power_w() * gpu.now_s())


def test_full_load_takes_its_wall_time_at_the_maximum_limit_and_longer_below():
    gpu = SimulatedGpu.open("V100", 0)
    gpu.load(10)
    assert gpu.now_s() == pytest.approx(10)
    gpu.set_power_limit_w(125)
    gpu.load(10)
    assert gpu.now_s() == pytest.approx(10 + 10 / 0.67)
    assert gpu.power_w() == pytest.approx(0.95 * 125)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda _: SimulatedGpu.open("RTX", 0), "'RTX'; allowed: V100, A40, A100, H100"),
        (lambda gpu: gpu.set_power_limit_w(99), "99 W is outside the GPU's range 100 to 250"),
        (lambda gpu: gpu.set_power_limit_w(float("nan")), "outside the GPU's range"),
        (lambda gpu: gpu.train(10, 0), "batch size is 0"),
        (lambda gpu: gpu.time_per_sample_s(-1), "batch size is -1"),
        (lambda gpu: gpu.train(-1, 8), "samples is -1"),
        (lambda gpu: gpu.load(float("nan")), "nan s; 0 or more"),
        (lambda gpu: gpu.load(-1), "-1 s; 0 or more"),
    ],
)
def test_bad_input_names_what_is_allowed_and_changes_nothing(call, message):
    gpu = SimulatedGpu.open("V100", 0)
    with pytest.raises(BadInput, match=message):
        call(gpu)
    assert (gpu.power_limit_w(), gpu.now_s(), gpu.energy_j()) == (250, 0, 0)
