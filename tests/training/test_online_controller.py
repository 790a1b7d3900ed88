import json
import math
import random

import pytest
from examples import examples
from hypothesis import Phase, given
from hypothesis import strategies as st

from zeus_ray.errors import BadInput
from zeus_ray.training.online_limit.controller_settings_and_state import OnlineSettings, UnitPoint, Verdict
from zeus_ray.training.online_limit.limit_curves_and_knowledge_gradient import LimitCurve, LogEstimate
from zeus_ray.training.online_limit.online_controller import OnlineController
from zeus_ray.training.online_limit.steps_to_rank_window import RankWindow

pytestmark = pytest.mark.slow

LIMITS = (300.0, 250.0, 200.0, 150.0, 100.0)


class Gpu:
    """A load: binding limits slow it down by (uncapped / limit) to the power ``slope``."""

    def __init__(self, uncapped_w=280.0, step_s=0.2, slope=0.4, noise=0.0, seed=0):
        self.uncapped_w, self.step_s, self.slope, self.noise = uncapped_w, step_s, slope, noise
        self.random = random.Random(seed)  # noqa: S311 — scatter, not secrets

    def time_s(self, limit_w):
        return self.step_s * max(1.0, self.uncapped_w / limit_w) ** self.slope

    def power_w(self, limit_w):
        return min(self.uncapped_w, limit_w)

    def cost(self, limit_w, eta=0.5):
        return self.time_s(limit_w) * (eta * self.power_w(limit_w) + (1 - eta) * LIMITS[0])

    def best_w(self, eta=0.5):
        return min(LIMITS, key=lambda w: self.cost(w, eta))

    def window(self, limit_w, steps, *, settling=0, energy=True, stage=0, busy_s=math.nan, clean=1.0):
        unit_s = self.time_s(limit_w) * (1 + self.noise * self.random.gauss(0, 1) / math.sqrt(steps))
        return RankWindow(
            unit_s=unit_s,
            unit_sd=max(self.noise, 1e-3) / math.sqrt(steps),
            power_w=self.power_w(limit_w) if energy else math.nan,
            power_sd=0.005,
            steps=steps,
            step_s=unit_s,
            clean=clean,
            units=steps + settling,
            wall_s=unit_s * (steps + settling),
            stage=stage,
            busy_s=busy_s,
        )


def trained(controller, gpu, seconds, **options):
    """Feed a controller ``seconds`` of training; the limits of its windows, and the seconds at each limit."""
    probed, held, passed_s = [], {}, 0.0
    while passed_s < seconds:
        window, limit_w = controller.next_window(), controller.limit_w
        if window is None:
            record = gpu.window(limit_w, controller.monitor_steps, **options)
            controller.observe_settled([record])
        else:
            record = gpu.window(limit_w, window.steps, settling=window.settle_steps, **options)
            controller.observe_window([record])
            probed.append(limit_w)
        passed_s += record.wall_s
        held[limit_w] = held.get(limit_w, 0.0) + record.units
    return probed, held


def controller(**options):
    return OnlineController(OnlineSettings(limits_w=LIMITS, **options))


def cost_ratio(gpu, held, eta=0.5):
    best = gpu.cost(gpu.best_w(eta), eta)
    return sum(n * gpu.cost(w, eta) for w, n in held.items()) / sum(n * best for n in held.values())


@pytest.mark.parametrize("eta", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("slope", [0.2, 0.4, 0.7])
@pytest.mark.parametrize("uncapped_w", [160.0, 230.0, 290.0])
def test_settles_near_the_best_limit(eta, slope, uncapped_w):
    gpu, ours = Gpu(uncapped_w, slope=slope), controller(eta=eta)
    probed, _held = trained(ours, gpu, 120)
    assert probed[:2] == [300, 300]  # the warm-up, then the highest limit first
    assert ours.profiled  # another look at a limit may be under way
    assert gpu.cost(ours.best_limit_w, eta) <= 1.01 * gpu.cost(gpu.best_w(eta), eta)


def test_time_alone_needs_one_window():
    ours = controller(eta=0)
    probed, _held = trained(ours, Gpu(), 60)
    assert (probed, ours.limit_w) == ([300, 300], 300)


def test_without_energy_the_highest_limit_stays():
    ours = controller()
    probed, _held = trained(ours, Gpu(), 60, energy=False)
    assert (probed, ours.limit_w, ours.settled) == ([300, 300], 300, True)


def test_limits_that_do_not_bind_cost_nothing():
    gpu, ours = Gpu(uncapped_w=60.0), controller()
    _probed, held = trained(ours, gpu, 600)
    assert cost_ratio(gpu, held) == pytest.approx(1)


def test_windows_have_enough_steps_and_seconds():
    ours = controller(window_s=5, min_steps=6)
    assert ours.next_window().purpose == "warm-up"
    ours.observe_window([Gpu(step_s=0.1).window(300, 5)])
    assert ours.next_window().steps == 50
    slow = controller(window_s=5, min_steps=6)
    slow.observe_window([Gpu(step_s=4).window(300, 5)])
    assert (slow.next_window().steps, slow.next_window().settle_steps) == (6, 1)


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({}, Verdict.ACCEPTED),
        ({"clean": 0.3}, Verdict.OUTLIER),
        ({"unit_sd": 0.1}, Verdict.REPEAT),
        ({"wall_s": 0.5}, Verdict.REPEAT),
        ({"unit_s": math.nan}, Verdict.OUTLIER),
    ],
)
def test_a_window_is_taken_repeated_or_left_out(change, verdict):
    from dataclasses import replace

    ours, gpu = controller(), Gpu()
    ours.observe_window([gpu.window(300, 5)])
    window = ours.next_window()
    assert ours.observe_window([replace(gpu.window(300, window.steps), **change)]) is verdict
    assert (ours.next_window().limits_w == window.limits_w) is (verdict is not Verdict.ACCEPTED)


def test_windows_that_never_work_leave_the_highest_limit():
    ours, gpu = controller(), Gpu()
    ours.observe_window([gpu.window(300, 5)])
    while ours.next_window():
        ours.observe_window(
            [RankWindow(unit_s=math.nan, unit_sd=math.nan, steps=0, step_s=1, units=0, wall_s=1)]
        )
    assert ours.limit_w == 300


@pytest.mark.parametrize("bound", [1.0, 1.03, 1.1, 1.3])
def test_a_slow_down_is_kept_profiling_included(bound):
    gpu, ours = Gpu(noise=0.03), controller(max_slowdown=bound)
    _probed, held = trained(ours, gpu, 600)
    slow = sum(n * gpu.time_s(w) for w, n in held.items()) / sum(n * gpu.time_s(300) for n in held.values())
    assert slow <= bound + 0.01
    assert ours.slowdown == pytest.approx(slow, abs=0.01)


def test_a_power_budget_bounds_every_limit():
    ours = controller(gpus=(4,), power_budget_w=4 * 210, eta=0.2)
    probed, _held = trained(ours, Gpu(), 200)
    assert max(probed) == 200


def test_a_change_of_load_is_found_and_its_return_recalled():
    light, heavy = Gpu(uncapped_w=150.0, step_s=0.1, noise=0.02), Gpu(slope=0.3, noise=0.02)
    ours = controller()
    trained(ours, heavy, 900)
    before_w = ours.limit_w
    probed, _held = trained(ours, light, 300)
    assert probed
    assert light.cost(ours.limit_w) <= 1.02 * light.cost(light.best_w())
    probed, _held = trained(ours, heavy, 60)
    assert len(probed) <= 2
    assert heavy.cost(ours.limit_w) <= 1.02 * heavy.cost(before_w)


def test_a_straggler_that_passes_is_not_profiled():
    gpu = Gpu(noise=0.02)
    ours = controller()
    trained(ours, gpu, 900)
    slowed = Gpu(step_s=1.12 * gpu.step_s, noise=0.02, seed=1)
    windows = ours.profiling_cost.windows
    trained(ours, slowed, 25)
    trained(ours, gpu, 60)
    assert ours.profiling_cost.windows - windows <= 1  # at most a look that was due anyway
    trained(ours, slowed, 120)
    assert ours.profiling_cost.windows - windows > 1  # a load that stays so


def test_a_limit_that_a_straggler_slowed_is_measured_again():
    gpu, ours = Gpu(noise=0.005), controller()
    best_w, slowed, passed_s = gpu.best_w(), 0, 0.0
    while passed_s < 600:
        window, limit_w = ours.next_window(), ours.limit_w
        disturbed = window is not None and limit_w == best_w and passed_s < 100
        slowed += disturbed
        load = Gpu(step_s=1.15 * gpu.step_s, noise=0.005) if disturbed else gpu
        steps = window.steps if window else ours.monitor_steps
        record = load.window(limit_w, steps)
        ours.observe_window([record]) if window else ours.observe_settled([record])
        passed_s += record.wall_s
    assert slowed
    assert gpu.cost(ours.best_limit_w) <= 1.002 * gpu.cost(best_w)


def test_profiling_again_is_bounded():
    ours = controller(profiling_share=0.02)
    again = 0.0
    for number in range(60):  # another load every minute
        trained(ours, Gpu(step_s=0.1 + 0.1 * (number % 7), seed=number), 60)
    again = ours._state.again_s
    assert again <= 60 + 0.02 * ours._state.elapsed_s + 60  # one profile may be under way


def test_an_energy_price_moves_the_limit():
    ours, gpu = controller(), Gpu(slope=0.45)
    trained(ours, gpu, 600)
    usual_w = ours.limit_w
    ours.set_energy_price(0.0)
    assert ours.limit_w == 300
    ours.set_energy_price(1.0)
    assert gpu.cost(ours.limit_w) <= 1.01 * gpu.cost(usual_w)


STORED = tuple(UnitPoint(w, Gpu().power_w(w), Gpu().time_s(w)) for w in LIMITS)


def test_a_stored_profile_is_checked_by_one_window():
    ours = OnlineController(OnlineSettings(limits_w=LIMITS), stored=STORED)
    ours.observe_window([Gpu().window(ours.limit_w, 5)])
    window = ours.next_window()
    assert (window.purpose, window.limits_w) == ("check", (Gpu().best_w(),))
    ours.observe_window([Gpu().window(ours.limit_w, window.steps)])
    assert (ours.settled, ours.limit_w) == (True, Gpu().best_w())


@pytest.mark.parametrize(
    "stored", [STORED[1:], (UnitPoint(300.0, math.nan, 0.2),), (UnitPoint(299.0, 1.0, 1.0),)]
)
def test_a_stored_profile_that_is_not_whole_is_not_used(stored):
    ours = OnlineController(OnlineSettings(limits_w=LIMITS), stored=stored)
    assert ours.limit_w == 300


def test_a_stored_profile_of_another_load_is_dropped():
    gpu = Gpu(uncapped_w=200.0, step_s=0.5)
    ours = OnlineController(OnlineSettings(limits_w=LIMITS), stored=STORED)
    probed, _held = trained(ours, gpu, 200)
    assert probed[2] == 300
    assert gpu.cost(ours.limit_w) <= 1.01 * gpu.cost(gpu.best_w())


def test_stages_with_less_to_do_get_lower_limits():
    gpu = Gpu(slope=0.6)
    ours = OnlineController(OnlineSettings(limits_w=LIMITS, gpus=(1, 1), eta=0.3))
    while (window := ours.next_window()) is not None:
        busy = [share * gpu.time_s(w) for share, w in zip((1.0, 0.6), window.limits_w, strict=True)]
        slowest = max(busy) / gpu.time_s(300)
        ranks = []
        for stage, limit_w in enumerate(window.limits_w):
            record = gpu.window(limit_w, window.steps, stage=stage, busy_s=busy[stage])
            ranks.append(RankWindow(**{**vars(record), "unit_s": 0.2 * slowest * gpu.time_s(300) / 0.2}))
        ours.observe_window(ranks)
    heavy, light = ours.limits_w
    assert light < heavy


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limits_w": ()}, "one or more limits"),
        ({"limits_w": (100.0, math.nan)}, "one or more limits"),
        ({"eta": 1.1}, "eta is 1.1"),
        ({"max_slowdown": 0.9}, "1 .none. or more"),
        ({"power_budget_w": 99.0}, "add up to 100 W"),
        ({"window_s": 0}, "needed"),
        ({"gpus": ()}, "each stage"),
        ({"profiling_share": 1.0}, "less than 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(options, message):
    with pytest.raises(BadInput, match=message):
        OnlineSettings(**{"limits_w": LIMITS, **options})


def test_wrong_calls_are_refused():
    ours = controller()
    with pytest.raises(BadInput, match="observe_window"):
        ours.observe_settled([Gpu().window(300, 5)])
    with pytest.raises(BadInput, match="no process"):
        ours.observe_window([])
    with pytest.raises(BadInput, match="allowed: 0 to 0"):
        ours.observe_window([Gpu().window(300, 5, stage=1)])
    trained(ours, Gpu(), 60)
    with pytest.raises(BadInput, match="observe_settled"):
        ours.observe_window([Gpu().window(300, 5)])
    with pytest.raises(BadInput, match="5 limits"):
        OnlineController.from_state(OnlineSettings(limits_w=LIMITS[:3]), ours.state())


PHASES = (Phase.explicit, Phase.reuse, Phase.generate)  # shrinking takes minutes
gpus = st.builds(
    Gpu,
    uncapped_w=st.floats(50, 400),
    step_s=st.floats(0.02, 3),
    slope=st.floats(0.15, 1),  # recorded GPUs: 0.3 to 0.8
    noise=st.floats(0, 0.05),
    seed=st.integers(0, 9),
)


@pytest.mark.slow
@examples(60, phases=PHASES)
@given(gpus, st.floats(0, 1))
def test_never_much_worse_than_the_best_limit_or_none(gpu, eta):
    seconds = max(1200, 600 * gpu.step_s)  # a window has five steps or more, however long they are
    _probed, held = trained(controller(eta=eta), gpu, seconds)
    none = gpu.cost(300, eta) / gpu.cost(gpu.best_w(eta), eta)
    assert cost_ratio(gpu, held, eta) <= min(1.03, 1.01 * none) + 0.03  # 1.053 has been found


@pytest.mark.slow
@examples(30, phases=PHASES)
@given(gpus, st.integers(0, 300))
def test_same_numbers_same_decisions_also_from_a_stored_state(gpu, seconds):
    first = controller()
    trained(first, gpu, seconds)
    stored = json.loads(json.dumps(first.state()))
    second = OnlineController.from_state(first.settings, stored)
    for _ in range(30):
        assert second.state() == first.state()
        window, limit_w = first.next_window(), first.limit_w
        assert (second.next_window(), second.limit_w) == (window, limit_w)
        record = [gpu.window(limit_w, window.steps if window else first.monitor_steps)]
        answers = [c.observe_window(record) if window else c.observe_settled(record) for c in (first, second)]
        assert answers[0] == answers[1]


def test_a_curve_passes_through_what_was_measured():
    ratios = [1.5, 1.2, 1.0, 0.7, 0.5]
    curve = LimitCurve.fit(ratios, {0: LogEstimate(1.0, 1e-8), 3: LogEstimate(1.2, 1e-8)}, "time")
    assert curve.mean[0] == pytest.approx(1.0, abs=1e-3)
    assert curve.mean[3] == pytest.approx(1.2, abs=1e-3)
    assert curve.mean[0] < curve.mean[2] < curve.mean[3] < curve.mean[4]
    assert curve.cov[4][4] > curve.cov[3][3]


def test_profiling_cost_says_what_it_took():
    ours = controller()
    trained(ours, Gpu(), 60)
    cost = ours.profiling_cost
    assert cost.windows >= 3
    assert 0 < cost.time_s < 60
    assert cost.extra_s > 0  # the lowest limits are slower than the one that is held now
    assert math.isfinite(cost.extra_j)
    assert {point.power_limit_w for point in ours.profile} <= set(LIMITS)
