"""An energy counter that lies, and processes that end with joules not yet reported."""

import contextlib
import time

from scenario import (
    WANTED_W,
    journal_of,
    kinds_in,
    say,
    wait_until,
)

from zeus_ray.leases.ended_lease_usage import ended_lease
from zeus_ray.leases.journal_record import write_record


def _counter(lie, source):
    def kind(scenario):
        scenario.gpu.refresh_ms = 100
        scenario.node.load(1)
        process = scenario.start("meter")
        before_begin_j = scenario.node.true_energy_j()
        begin_j, begin_err_j, _used = say(process)
        after_begin_j = scenario.node.true_energy_j()
        time.sleep(1.5)
        lie(scenario.node)
        time.sleep(1.5)
        before_end_j = scenario.node.true_energy_j()
        end_j, err_j, used = say(process)
        after_end_j = scenario.node.true_energy_j()
        measured_j = float(end_j) - float(begin_j)  # at some moment between the two true ones, at each end
        least_j, most_j = before_end_j - after_begin_j, after_end_j - before_begin_j
        bound_j = max(float(begin_err_j) + float(err_j), 0.01 * least_j)
        assert least_j - bound_j <= measured_j <= most_j + bound_j, (measured_j, least_j, most_j, bound_j)
        assert source in ("", used), used
        scenario.kill(process)
        return scenario.seconds_until_restored()

    return kind


counter_is_reset = _counter(lambda node: node.reload_driver(), "power-integral")
counter_jumps_back_a_joule = _counter(lambda node: node.jump_counter(-1), "")
counter_jumps_back_a_kilojoule = _counter(lambda node: node.jump_counter(-1e3), "power-integral")
counter_jumps_ahead_a_megajoule = _counter(lambda node: node.jump_counter(1e6), "power-integral")
counter_jumps_ahead_a_kilojoule = _counter(lambda node: node.jump_counter(1e3), "power-integral")
counter_is_sound = _counter(lambda _node: None, "counter")


def trial_and_manager_die_together(scenario):
    """What they had used is kept for the next attempt, but for the last second."""
    scenario.node.load(1)
    before_j = scenario.node.true_energy_j()
    process = scenario.start("meter")
    ready_j = scenario.node.true_energy_j()
    time.sleep(4)
    scenario.kill(process)
    true_j = scenario.node.true_energy_j() - ready_j
    seconds = scenario.seconds_until_restored()
    wait_until(lambda: ended_lease(scenario.state, process.first[1]) is not None)
    kept = ended_lease(scenario.state, process.first[1])
    most_j = true_j + ready_j - before_j
    assert 0.55 * true_j <= kept.energy_j <= most_j, (kept.energy_j, true_j, most_j)
    return seconds


def one_second_of_disk_full(scenario):
    """The limit of a run whose disk fills up after it was set comes back."""
    process = scenario.start("train", WANTED_W)
    record = journal_of(scenario).read()
    assert write_record(record)
    with contextlib.suppress(OSError):
        (scenario.state / f"{scenario.gpu.uuid}.json.draft").mkdir()
    scenario.kill(process)
    return scenario.seconds_until_restored()


KINDS = kinds_in(globals())
