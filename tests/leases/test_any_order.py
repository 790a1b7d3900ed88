"""Leases taken, limits set, refused and failed, processes dead, in any order hypothesis thinks of."""

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

from zeus_ray.errors import BadInput, DeviceError, LeaseRefused, NoPermission
from zeus_ray.gpus.nvml import NvmlGpu
from zeus_ray.leases.manager import LeaseManager
from zeus_ray.leases.process import HolderProcess

FOUND_W = 270.0
LIMITS_W = st.sampled_from([90.0, 150.0, 200.0, 270.0, 300.0])


class Orders(RuleBasedStateMachine):
    library = None

    def __init__(self):
        super().__init__()
        self.home = tempfile.TemporaryDirectory()
        folder = Path(self.home.name)
        self.node = self.library.node(folder)
        os.environ.update(self.node.env)
        self.node.stop_clock()
        self.node.load(1)
        self.board = self.node.boards[0]
        self.board.limit_mw = int(FOUND_W * 1000)
        self.state = folder / "state"
        self.keeper = self.new_keeper()
        self.begin_j = self.node.true_energy_j()
        self.leases, self.limits, self.spent_j = {}, {}, 0.0
        self.numbers = itertools.count()

    def new_keeper(self):
        gpu = NvmlGpu(self.node.uuids[0], clock=self.node.now_s)
        return LeaseManager(
            gpu,
            state_dir=self.state,
            sample_every_s=None,
            pause=self.node.advance,
            guarded=False,
            control="auto",
        )

    @rule(control=st.sampled_from(["auto", "off"]))
    def acquire(self, control):
        lease = self.keeper.acquire(HolderProcess.current(f"trial{next(self.numbers)}"), control=control)
        self.leases[lease.lease_id] = control

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), limit_w=LIMITS_W, refusals=st.sampled_from([0, 0, 2, 4]))
    def set_limit(self, data, limit_w, refusals):
        lease_id = data.draw(st.sampled_from(sorted(self.leases)))
        others = {taken for other, taken in self.limits.items() if other != lease_id}
        self.board.refuse_sets = refusals
        try:
            reading = self.keeper.set_limit(lease_id, limit_w)
        except BadInput:
            assert limit_w == 90
        except NoPermission:
            assert self.leases[lease_id] == "off"
        except LeaseRefused:
            assert others
            assert others != {limit_w}
        except DeviceError:
            assert refusals == 4
            self.limits.pop(lease_id, None)
        else:
            assert reading.power_limit_w == limit_w
            assert others <= {limit_w}
            self.limits[lease_id] = limit_w
        self.board.refuse_sets = 0

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def release(self, data):
        lease_id = data.draw(st.sampled_from(sorted(self.leases)))
        self.spent_j += self.keeper.release(lease_id).energy_j
        del self.leases[lease_id]
        self.limits.pop(lease_id, None)

    @rule(seconds=st.floats(0.01, 20))
    def time_passes(self, seconds):
        self.node.advance(seconds)
        self.keeper.sample()

    @precondition(lambda self: self.leases)
    @rule()
    def crash_and_adopt(self):
        """The keeper dies without a word; the next one finds its journal."""
        self.keeper._claims._custody.leave()
        self.keeper._claims._notes.leave()
        self.keeper = self.new_keeper()
        assert {entry.lease_id for entry in self.keeper._tenants} == set(self.leases)

    @precondition(lambda self: self.leases)
    @rule()
    def the_holders_die(self):
        for lease_id in self.leases:
            entry = self.keeper._tenants[lease_id]
            dead = dataclasses.replace(entry.holder, started_s=-1.0)
            self.keeper._tenants._entries[lease_id] = dataclasses.replace(entry, holder=dead)
            self.spent_j += self.keeper.read(lease_id).energy_j
        assert set(self.keeper.reap()) == set(self.leases)
        self.leases, self.limits = {}, {}

    @invariant()
    def the_limit_is_a_holders_or_the_one_found(self):
        assert self.board.limit_w in (set(self.limits.values()) or {FOUND_W})

    @invariant()
    def nobody_is_charged_more_than_the_board_drew(self):
        held_j = sum(self.keeper.read(lease_id).energy_j for lease_id in self.leases)
        assert self.spent_j + held_j <= (self.node.true_energy_j() - self.begin_j) * (1 + 1e-6) + 0.1

    def teardown(self):
        with contextlib.suppress(DeviceError):
            self.keeper.close()
        assert self.board.limit_w == FOUND_W
        assert not [*self.state.glob("*.json"), *self.state.glob("*.measured")]
        self.home.cleanup()


@pytest.mark.processes
def test_in_any_order_the_limit_found_comes_back(fake_nvml, monkeypatch):
    for name in ("LD_LIBRARY_PATH", "FAKE_NVML_STATE", "FAKE_NVML_NODE", "FAKE_NVML_CARDS"):
        monkeypatch.setenv(name, "")  # put back afterwards
    Orders.library = fake_nvml
    run_state_machine_as_test(
        Orders, settings=settings(max_examples=10, stateful_step_count=12, deadline=None)
    )
