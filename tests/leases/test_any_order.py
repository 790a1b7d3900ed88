"""Leases, limits, refusals, driver failures and ended processes, in random orders (hypothesis)."""

import contextlib
import dataclasses
import itertools
import os
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from lease_helpers import crash, manager_of, this_process

from zeus_ray.errors import BadInput, DeviceError, LeaseRefused, NoPermission
from zeus_ray.leases.write_limit_and_read_back import SET_LIMIT_ATTEMPTS

ORIGINAL_W = 270.0
LIMITS_W = st.sampled_from([90.0, 150.0, 200.0, 270.0, 300.0])


class Leases(RuleBasedStateMachine):
    library = None

    def __init__(self):
        super().__init__()
        self.home = tempfile.TemporaryDirectory()
        folder = Path(self.home.name)
        self.node = self.library.node(folder)
        os.environ.update(self.node.env)
        self.node.stop_clock()
        self.node.load(1)
        self.gpu = self.node.gpus[0]
        self.gpu.limit_mw = int(ORIGINAL_W * 1000)
        self.state = folder / "state"
        self.manager = self.new_manager()
        self.begin_j = self.node.true_energy_j()
        self.leases, self.limits, self.charged_j = {}, {}, 0.0
        self.numbers = itertools.count()

    def new_manager(self):
        return manager_of(self.node, state_dir=self.state, control="auto")

    @rule(control=st.sampled_from(["auto", "off"]))
    def acquire(self, control):
        lease = self.manager.acquire(this_process(f"trial{next(self.numbers)}"), control=control)
        self.leases[lease.lease_id] = control

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), limit_w=LIMITS_W, refusals=st.sampled_from([0, 0, 2, SET_LIMIT_ATTEMPTS]))
    def set_limit(self, data, limit_w, refusals):
        lease_id = data.draw(st.sampled_from(sorted(self.leases)))
        others = {taken for other, taken in self.limits.items() if other != lease_id}
        self.gpu.refuse_sets = refusals
        try:
            reading = self.manager.set_limit(lease_id, limit_w)
        except BadInput:
            assert limit_w == 90
        except NoPermission:
            assert self.leases[lease_id] == "off"
        except LeaseRefused:
            assert others
            assert others != {limit_w}
        except DeviceError:
            assert refusals == SET_LIMIT_ATTEMPTS
            self.limits.pop(lease_id, None)
        else:
            assert reading.power_limit_w == limit_w
            assert others <= {limit_w}
            self.limits[lease_id] = limit_w
        self.gpu.refuse_sets = 0

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def release(self, data):
        lease_id = data.draw(st.sampled_from(sorted(self.leases)))
        self.charged_j += self.manager.release(lease_id).energy_j
        del self.leases[lease_id]
        self.limits.pop(lease_id, None)

    @rule(seconds=st.floats(0.01, 20))
    def time_passes(self, seconds):
        self.node.advance(seconds)
        self.manager.sample()

    @precondition(lambda self: self.leases)
    @rule()
    def crash_and_adopt(self):
        """The manager's process is killed; the next one finds its journal."""
        crash(self.manager)
        self.manager = self.new_manager()
        assert {entry.lease_id for entry in self.manager._table} == set(self.leases)

    @precondition(lambda self: self.leases)
    @rule()
    def the_holder_processes_end(self):
        for lease_id in self.leases:
            entry = self.manager._table[lease_id]
            ended = dataclasses.replace(entry.holder, started_s=-1.0)
            self.manager._table._entries[lease_id] = dataclasses.replace(entry, holder=ended)
            self.charged_j += self.manager.read(lease_id).energy_j
        assert set(self.manager.reap()) == set(self.leases)
        self.leases, self.limits = {}, {}

    @invariant()
    def the_limit_is_that_of_a_lease_or_the_original_one(self):
        assert self.gpu.limit_w in (set(self.limits.values()) or {ORIGINAL_W})

    @invariant()
    def the_leases_are_charged_no_more_than_the_gpu_drew(self):
        running_j = sum(self.manager.read(lease_id).energy_j for lease_id in self.leases)
        assert self.charged_j + running_j <= (self.node.true_energy_j() - self.begin_j) * (1 + 1e-6) + 0.1

    def teardown(self):
        with contextlib.suppress(DeviceError):
            self.manager.close()
        assert self.gpu.limit_w == ORIGINAL_W
        assert not [*self.state.glob("*.json"), *self.state.glob("*.measured")]
        self.home.cleanup()


@pytest.mark.processes
def test_the_original_limit_is_restored_in_any_order_of_events(fake_nvml, monkeypatch):
    for name in ("LD_LIBRARY_PATH", "FAKE_NVML_STATE", "FAKE_NVML_NODE", "FAKE_NVML_CARDS"):
        monkeypatch.setenv(name, "")  # restored afterwards
    Leases.library = fake_nvml
    run_state_machine_as_test(
        Leases, settings=settings(max_examples=10, stateful_step_count=12, deadline=None)
    )
