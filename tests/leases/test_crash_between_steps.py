"""Journal, lease table and watchdog, with a crash between any two steps that leave a trace (hypothesis)."""

import contextlib
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
from lease_helpers import ENDED, crash, manager_of

from zeus_ray.errors import DeviceError
from zeus_ray.gpus.nvml import NvmlGpu
from zeus_ray.leases import restore_attempts
from zeus_ray.leases.journal_and_lock_of_one_gpu import limit_journals
from zeus_ray.leases.watchdog import Watchdog

ORIGINAL_W = 270.0
LIMITS_W = st.sampled_from([150.0, 200.0, 270.0, 300.0])
CRASHES = st.one_of(st.none(), st.none(), st.integers(0, 12))
"""Before which of the next steps the process ends; None: it does not."""


class Crash(BaseException):
    """The process ends here."""


class Steps(RuleBasedStateMachine):
    library = monkeypatch = None

    def __init__(self):
        super().__init__()
        self.home = tempfile.TemporaryDirectory()
        folder = Path(self.home.name)
        self.node = self.library.node(folder)
        for name, value in {**self.node.env, "ZEUS_RAY_LOCK_DIR": str(folder)}.items():
            self.monkeypatch.setenv(name, value)
        self.gpu, self.state = self.node.gpus[0], folder / "state"
        self.gpu.limit_mw = int(ORIGINAL_W * 1000)
        self.steps_left = None
        self.count_steps()
        self.expected_w, self.lease_id, self.theirs = ORIGINAL_W, "", False
        self.manager = manager_of(self.node, state_dir=self.state, control="auto")

    def count_steps(self):
        """Each write to the disk and to the GPU is a step."""
        for owner, name in (
            (os, "fsync"),
            (Path, "replace"),
            (Path, "unlink"),
            (NvmlGpu, "set_power_limit_w"),
        ):
            original = self.originals.setdefault(name, getattr(owner, name))

            def step(*arguments, original=original, **options):
                if self.steps_left is not None:
                    if self.steps_left == 0:
                        raise Crash
                    self.steps_left -= 1
                return original(*arguments, **options)

            self.monkeypatch.setattr(owner, name, step)

    @contextlib.contextmanager
    def crashing(self, before):
        """Crash before that step; then the kernel releases the locks, and the watchdog looks."""
        self.steps_left = before
        try:
            yield
        except Crash:
            self.steps_left = None
            self.gpu.ignore_sets = 0
            crash(self.manager)
            self.lease_id = ""
            Watchdog(self.state).check()
            assert self.gpu.limit_w == self.expected_w
            assert not limit_journals(self.state)
            self.manager = manager_of(self.node, state_dir=self.state, control="auto")
            self.theirs = False
        finally:
            self.steps_left = None

    @precondition(lambda self: not self.lease_id)
    @rule(before=CRASHES)
    def acquire(self, before):
        with self.crashing(before):
            self.expected_w = self.gpu.limit_w
            self.lease_id = self.manager.acquire(ENDED).lease_id

    @precondition(lambda self: self.lease_id)
    @rule(limit_w=LIMITS_W, before=CRASHES, ignored=st.sampled_from([0, 0, 0, 2, 4]))
    def set_limit(self, limit_w, before, ignored):
        self.gpu.ignore_sets = ignored
        with self.crashing(before), contextlib.suppress(DeviceError):
            self.manager.set_limit(self.lease_id, limit_w)
        self.gpu.ignore_sets = 0

    @precondition(lambda self: self.lease_id)
    @rule(limit_w=st.sampled_from([222.0, 240.0]))
    def operator_sets(self, limit_w):
        if self.gpu.limit_w != limit_w:  # the same limit again cannot be seen
            self.theirs = True
        self.gpu.limit_mw = int(limit_w * 1000)
        self.expected_w = limit_w

    @precondition(lambda self: self.lease_id)
    @rule(before=CRASHES)
    def release(self, before):
        with self.crashing(before):
            self.manager.release(self.lease_id)
            self.lease_id, self.theirs = "", False

    @precondition(lambda self: self.lease_id)
    @rule(before=CRASHES)
    def sample(self, before):
        with self.crashing(before):
            self.manager.sample()

    @invariant()
    def the_limit_is_as_expected(self):
        if self.theirs or not self.lease_id:
            assert self.gpu.limit_w == self.expected_w

    def teardown(self):
        self.steps_left = None
        self.manager.close()
        assert self.gpu.limit_w == self.expected_w
        assert not limit_journals(self.state)
        self.monkeypatch.undo()
        self.home.cleanup()


@pytest.mark.processes
def test_the_limit_comes_back_after_a_crash_between_any_two_steps(fake_nvml):
    Steps.library, Steps.originals = fake_nvml, {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restore_attempts, "RETRY_S", 0.0)
        Steps.monkeypatch = pytest.MonkeyPatch()
        run_state_machine_as_test(
            Steps, settings=settings(max_examples=60, stateful_step_count=10, deadline=None)
        )
