"""``max_slowdown`` as a time budget: what a run is behind, it makes up for, whatever else is unknown."""

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from test_online_controller import LIMITS, Gpu, controller, trained

from zeus_ray.training.online_limit.slowdown_budget import HullEdge, SlowdownBudget
from zeus_ray.training.online_limit.steps_to_rank_window import RankWindow


@given(
    bound=st.floats(1.0, 1.5),
    work_s=st.floats(1, 1e5),
    behind_s=st.floats(0.01, 1e3),
    sd_s=st.floats(0, 100),
    slow_down=st.floats(1.0, 3.0),
)
@examples(100)
def test_a_run_that_is_behind_holds_the_faster_limit(bound, work_s, behind_s, sd_s, slow_down):
    extra_s = (bound - 1) * work_s - bound * sd_s + behind_s
    budget = SlowdownBudget(bound, work_s, extra_s, sd_s)
    edge = HullEdge(fast=0, slow=3, price=1.0)
    assert [budget.hold(edge, slow_down, held=held, record_s=5.0) for held in (0, 3)] == [0, 0]
    assert 1.0 <= budget.allowed <= bound


def test_a_run_with_time_left_holds_the_slower_limit():
    budget = SlowdownBudget(1.1, work_s=1000.0, extra_s=10.0, work_sd_s=1.0)
    assert budget.hold(HullEdge(fast=0, slow=3, price=1.0), 1.3, held=0, record_s=5.0) == 3
    assert budget.hold(HullEdge(fast=2, slow=2, price=0.0), 1.05, held=0, record_s=5.0) == 2


def disturbed(ours, changes):
    """Train while the load changes every 40 s, more often than may be profiled; each state after a record."""
    for i in range(changes):
        gpu = Gpu(uncapped_w=(280.0, 200.0, 240.0)[i % 3], step_s=(0.2, 0.3, 0.16, 0.24)[i % 4])
        passed_s = 0.0
        while passed_s < 40:
            window = ours.next_window()
            steps = ours.monitor_steps if window is None else window.steps
            record = gpu.window(ours.limit_w, steps)
            (ours.observe_settled if window is None else ours.observe_window)([record])
            passed_s += record.wall_s
            yield ours


@pytest.mark.slow
def test_a_changed_load_that_may_not_be_profiled_yet_runs_at_the_highest_limit():
    ours, waited = controller(max_slowdown=1.1, profiling_share=0.02), 0
    trained(ours, Gpu(), 60)
    for now in disturbed(ours, 20):
        state = now._state
        if now.settled and state.stale and state.elapsed_s >= state.passing_until_s:
            waited += 1
            assert now.limit_w == LIMITS[0]
    assert waited > 3


@pytest.mark.slow
def test_work_under_earlier_loads_stays_uncertain():
    ours, sd_s = controller(max_slowdown=1.1), 0.0
    trained(ours, Gpu(noise=0.05), 60)
    for now in disturbed(ours, 8):
        assert now._state.closed_sd_s >= sd_s
        sd_s = now._state.closed_sd_s
        assert now._choice.budget.work_sd_s >= sd_s
    assert sd_s > 0


@pytest.mark.slow
@pytest.mark.parametrize("clean", [0.0, 0.4])
def test_where_no_record_can_be_used_the_bound_is_kept(clean):
    gpu, ours = Gpu(slope=0.7), controller(max_slowdown=1.1)
    trained(ours, gpu, 120)
    while ours.next_window() is not None:
        ours.observe_window([gpu.window(ours.limit_w, ours.next_window().steps)])
    ours._state.pending = LIMITS.index(150.0)
    passed_s = 0.0
    while passed_s < 600:
        record = gpu.window(ours.limit_w, ours.monitor_steps, clean=clean)
        ours.observe_settled([record])
        passed_s += record.wall_s
    assert ours.limit_w == LIMITS[0]
    assert ours.slowdown < 1.15


class Stages:
    """A pipeline of two stages, of which the second has less to do."""

    def __init__(self, share=0.6):
        self.gpu, self.share, self.work_s, self.took_s = Gpu(slope=0.6), share, 0.0, 0.0

    def feed(self, ours, seconds):
        passed_s = 0.0
        while passed_s < seconds:
            window = ours.next_window()
            steps = ours.monitor_steps if window is None else window.steps
            busy = [s * self.gpu.time_s(w) for s, w in zip((1.0, self.share), ours.limits_w, strict=True)]
            ranks = []
            for stage, limit_w in enumerate(ours.limits_w):
                record = self.gpu.window(limit_w, steps, stage=stage, busy_s=busy[stage])
                wall_s = max(busy) * record.units
                ranks.append(
                    RankWindow(**{**vars(record), "unit_s": max(busy), "step_s": max(busy), "wall_s": wall_s})
                )
            (ours.observe_settled if window is None else ours.observe_window)(ranks)
            passed_s += wall_s
            self.took_s += wall_s
            self.work_s += self.gpu.time_s(LIMITS[0]) * ranks[0].units


@pytest.mark.slow
@pytest.mark.parametrize("bound", [1.03, 1.1, 1.3])
def test_limits_by_stage_keep_the_bound_profiling_included(bound):
    pipeline, ours = Stages(), controller(gpus=(1, 1), max_slowdown=bound)
    pipeline.feed(ours, 3600)
    assert pipeline.took_s <= (bound + 0.005) * pipeline.work_s


@pytest.mark.slow
def test_a_stage_that_becomes_the_slowest_gives_the_shares_up():
    pipeline, ours = Stages(), controller(gpus=(1, 1), max_slowdown=1.05)
    pipeline.feed(ours, 900)
    assert len(set(ours.limits_w)) == 2
    state = ours._state
    state.closed_extra_s += 0.2 * state.elapsed_s
    ours._settled.refine()
    assert set(ours.limits_w) == {LIMITS[0]}
