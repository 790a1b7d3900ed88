"""Processes that lease one GPU, killed at any step, two state folders, an operator, damage (hypothesis).

The processes are real ones; nothing waits for time to pass: watchdogs look when they are told.
"""

import contextlib
import itertools
import os
import shutil
import signal
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from owner_process import OwnerProcess, trial_process

from zeus_ray.leases import restore_attempts
from zeus_ray.leases.ended_lease_usage import ended_lease
from zeus_ray.leases.journal_and_lock_of_one_gpu import limit_journals
from zeus_ray.leases.watchdog import Watchdog

ORIGINAL_W = 270.0
LIMITS_W = st.sampled_from([100.0, 150.0, 200.0, 300.0])
CRASHES = st.sampled_from([None] * 42 + list(range(14)))
"""Before which of the next steps the process is killed; None: it is not."""
IGNORED = st.sampled_from([0] * 9 + [4])
"""So many sets the driver ignores, and says OK."""
FOLDERS = st.sampled_from(["one", "two"])
OWNERS_AT_MOST = 3


class Owners(RuleBasedStateMachine):
    library = monkeypatch = None

    def __init__(self):
        super().__init__()
        self.home = tempfile.TemporaryDirectory()
        folder = Path(self.home.name)
        locks = folder / "locks"
        locks.mkdir()
        self.node = self.library.node(folder)
        for name, value in {**self.node.env, "ZEUS_RAY_LOCK_DIR": str(locks)}.items():
            self.monkeypatch.setenv(name, value)
        self.node.stop_clock()
        self.node.load(1)
        self.gpu = self.node.gpus[0]
        self.gpu.limit_mw = int(ORIGINAL_W * 1000)
        self.expected_w = ORIGINAL_W
        self.folders = {name: folder / name for name in ("one", "two")}
        self.watchdogs = {name: Watchdog(path) for name, path in self.folders.items()}
        self.owners, self.orphans = [], {}
        self.theirs = False
        self.operators_w = itertools.count(210)  # the same limit again could not be seen
        for name in self.folders:
            self.start_process(name)

    # --- what should be ------------------------------------------------------------------------------

    @property
    def setter(self):
        """The living process that has the right to set the limit."""
        return next((owner for owner in self.owners if owner.may_set), None)

    @property
    def limits_w(self):
        """The limits that living leases have set."""
        leases = [limit for owner in self.owners for limit in owner.leases.values()]
        return {limit for limit in [*leases, *self.orphans.values()] if limit}

    @invariant()
    def the_limit_is_known(self):
        assert self.theirs is False or self.gpu.limit_w == self.expected_w, "an operator's limit was changed"
        if not self.theirs:
            known_w = self.limits_w or {self.expected_w}
            if self.setter and self.setter.adopted:  # it keeps the limit of ended leases while others live
                known_w |= self.setter.adopted
            assert self.gpu.limit_w in known_w, (self.gpu.limit_w, known_w)

    @invariant()
    def there_is_one_setter(self):
        assert sum(owner.may_set for owner in self.owners) <= 1

    @rule(data=st.data())
    def something_happens(self, data):
        """One rule for all events: with one for each, Hypothesis begins few leases."""
        leased = [owner for owner in self.owners if owner.leases]
        events = [self.operator_sets, self.watchdogs_look, self.watchdog_starts_anew]
        if len(self.owners) < OWNERS_AT_MOST:
            events += [self.process_starts] * 2
        if self.owners:
            events += [self.process_is_killed, self.process_is_killed_and_another_takes_over]
        if self.owners and not self.orphans:
            events += [self.lease_begins] * 4
        if leased:
            events += [*[self.limit_is_set] * 4, *[self.lease_ends] * 2]
        if any(owner.trials for owner in leased):
            events += [self.trial_is_killed]
        if self.orphans:
            events += [self.orphan_is_killed] * 2
        if self.limits_w:
            events += [self.lock_files_are_deleted]
        if self.limits_w and not self.orphans:  # else nobody may be left who knows
            events += [self.journal_is_damaged, self.folder_is_deleted]
        event = data.draw(st.sampled_from(events))
        note(event.__name__)
        event(data)

    # --- processes -------------------------------------------------------------------------------------

    def process_starts(self, data):
        self.start_process(data.draw(FOLDERS))

    def start_process(self, name):
        owner = OwnerProcess(self.node, self.folders[name])
        self.owners.append(owner)
        for lease_id, (pid, limit_w) in owner.tell("adopted").items():
            orphans_w = self.orphans.pop(pid)
            owner.leases[lease_id], owner.trials[lease_id] = orphans_w if limit_w else None, pid
            owner.may_set = True
            owner.adopted.add(orphans_w)

    def lease_begins(self, data):
        owner = data.draw(st.sampled_from(self.owners))
        limit_w, before = data.draw(st.one_of(st.none(), LIMITS_W)), data.draw(CRASHES)
        setter, trial = self.setter, data.draw(st.sampled_from([trial_process, lambda: None]))()
        may_set = not self.theirs and setter in (None, owner) and self.limits_w <= {limit_w}
        limit_w = limit_w if may_set else None
        answer = owner.tell("acquire", trial, limit_w, crash_before=before)
        if answer is None:
            if trial:
                _kill(trial)
            self.gone(owner, maybe_w=limit_w)
            return
        assert answer["may_set"] == (setter in (None, owner) and not self.theirs), (setter, self.theirs)
        owner.leases[answer["lease_id"]] = limit_w
        owner.may_set = setter in (None, owner)
        if trial:
            owner.trials[answer["lease_id"]] = trial
        if limit_w:
            assert self.gpu.limit_w == limit_w

    def lease_of(self, data):
        owner = data.draw(st.sampled_from([owner for owner in self.owners if owner.leases]))
        return owner, data.draw(st.sampled_from(list(owner.leases)))

    def limit_is_set(self, data):
        owner, lease_id = self.lease_of(data)
        limit_w, before, ignored = data.draw(LIMITS_W), data.draw(CRASHES), data.draw(IGNORED)
        others = {limit for other, limit in owner.leases.items() if other != lease_id and limit}
        self.gpu.ignore_sets = ignored
        answer = owner.tell("set_limit", lease_id, limit_w, crash_before=before)
        self.gpu.ignore_sets = 0
        if answer is None:
            self.gone(owner, maybe_w=limit_w)
        elif "error" not in answer:
            assert owner.may_set, "two processes set the limit"
            assert not self.theirs
            assert others <= {limit_w}
            assert self.gpu.limit_w == limit_w
            owner.leases[lease_id] = limit_w
        elif answer["error"] == "DeviceError":
            assert ignored
            owner.leases[lease_id] = None
        else:
            refused = not owner.may_set or self.theirs or others - {limit_w}
            assert refused or owner.adopted, answer  # it may have adopted a limit that was not set any more

    def lease_ends(self, data):
        owner, lease_id = self.lease_of(data)
        answer = owner.tell("release", lease_id, crash_before=data.draw(CRASHES))
        if answer is None:
            limit_w = owner.leases.pop(lease_id)  # it may have ended
            _kill(owner.trials.pop(lease_id, None))
            self.gone(owner, maybe_w=limit_w)
            return
        assert "error" not in answer
        self.ended(owner, lease_id)

    def process_is_killed(self, data):
        owner = data.draw(st.sampled_from(self.owners))
        owner.kill()
        self.gone(owner)

    def process_is_killed_and_another_takes_over(self, data):
        """Before a watchdog looks: only one with the same folder may restore, and then set."""
        owner = data.draw(st.sampled_from(self.owners))
        others = [other for other in self.owners if other is not owner and not other.leases]
        if not others or not owner.may_set or owner.trials or self.theirs:
            return
        other = data.draw(st.sampled_from(others))
        changed = self.gpu.limit_w != self.expected_w
        owner.kill()
        self.owners.remove(owner)
        answer = other.tell("acquire", None, None)
        assert answer["may_set"] == (other.folder == owner.folder or not changed)
        other.leases[answer["lease_id"]], other.may_set = None, answer["may_set"]
        assert not other.may_set or self.gpu.limit_w == self.expected_w
        self.look()

    def trial_is_killed(self, data):
        owner = data.draw(st.sampled_from([owner for owner in self.owners if owner.trials]))
        lease_id, pid = data.draw(st.sampled_from(list(owner.trials.items())))
        _kill(pid)
        assert owner.tell("keep")["ended"] == [lease_id]
        if owner.may_set:
            assert ended_lease(owner.folder, lease_id) is not None, "what it had used was lost"
        self.ended(owner, lease_id)

    def orphan_is_killed(self, data):
        pid = data.draw(st.sampled_from(list(self.orphans)))
        _kill(pid)
        del self.orphans[pid]
        self.look()
        self.theirs = self.theirs and bool(self.orphans or self.setter)

    def ended(self, owner, lease_id):
        """A lease is over; without any, its process has no right to set."""
        del owner.leases[lease_id]
        _kill(owner.trials.pop(lease_id, None))
        if not owner.leases:
            if owner.may_set:
                self.theirs = False
            owner.may_set = False

    def gone(self, owner, maybe_w=None):
        """A process was killed. While a trial of it lives, the limit stays that it had set for any lease."""
        self.owners.remove(owner)
        for pid in owner.trials.values():
            if owner.may_set:
                self.orphans[pid] = None
            else:
                _kill(pid)
        self.look()
        if not owner.may_set:
            return
        if self.orphans:
            limit_w = self.gpu.limit_w
            assert limit_w in {self.expected_w, maybe_w, *owner.leases.values(), *owner.adopted}
            self.orphans = dict.fromkeys(self.orphans, None if limit_w == self.expected_w else limit_w)
            return
        self.theirs = False
        for lease_id in set(owner.leases) - set(owner.trials):
            assert ended_lease(owner.folder, lease_id) is not None, "what it had used was lost"

    # --- watchdogs, operators, damage ----------------------------------------------------------------

    def look(self):
        """Each process shows that it works, and each watchdog looks."""
        self.keep()
        for watchdog in self.watchdogs.values():
            watchdog.check()

    def keep(self):
        for owner in self.owners:
            assert owner.tell("keep")["ended"] == []

    def watchdogs_look(self, _data):
        self.look()

    def watchdog_starts_anew(self, data):
        self.look()
        name = data.draw(FOLDERS)
        self.watchdogs[name] = Watchdog(self.folders[name])
        self.look()

    def operator_sets(self, _data):
        limit_w = next(self.operators_w)
        self.gpu.limit_mw = int(limit_w * 1000)
        self.expected_w = float(limit_w)
        self.theirs = bool(self.setter or self.orphans)
        for owner in self.owners:
            owner.leases = dict.fromkeys(owner.leases)
        self.orphans = dict.fromkeys(self.orphans)

    def journal_is_damaged(self, data):
        """The file or its copy is torn or deleted; the other one counts."""
        self.keep()
        end, torn = data.draw(st.sampled_from(["", ".copy"])), data.draw(st.booleans())
        for folder in self.folders.values():
            for path in folder.glob(f"GPU-*.json{end}"):
                if torn:
                    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
                else:
                    path.unlink()
        self.at_worst(data, kept=True)

    def at_worst(self, data, *, kept):
        """The setter is killed, and perhaps the watchdogs; what is not ``kept`` it writes before."""
        what = data.draw(st.sampled_from(["nothing", "watchdogs", "process"]))
        if what == "watchdogs":
            if not kept:
                self.keep()
            self.watchdogs = {name: Watchdog(path) for name, path in self.folders.items()}
        if what != "nothing" and self.setter:
            owner = self.setter
            for lease_id in list(owner.trials):
                _kill(owner.trials.pop(lease_id))
            owner.kill()
            owner.leases = {}  # what they had used may be lost with the folder
            self.gone(owner)
        self.look()

    def folder_is_deleted(self, data):
        """The watchdog has looked before, and whoever lives makes it again."""
        self.look()
        shutil.rmtree(self.folders[data.draw(FOLDERS)], ignore_errors=True)
        self.at_worst(data, kept=False)

    def lock_files_are_deleted(self, data):
        """Whoever had them takes them again; a process that comes before does not set."""
        for folder in (*self.folders.values(), Path(self.home.name) / "locks"):
            for path in folder.glob("*.lock"):
                path.unlink()
        if data.draw(st.booleans()) and self.setter and not self.orphans:
            self.lease_begins(data)
        self.look()

    def teardown(self):
        for owner in self.owners:
            owner.kill()
        for pid in [*self.orphans, *(pid for owner in self.owners for pid in owner.trials.values())]:
            _kill(pid)
        self.owners, self.orphans = [], {}
        self.look()
        assert self.gpu.limit_w == self.expected_w
        for folder in self.folders.values():
            assert not limit_journals(folder)
        self.home.cleanup()


def _kill(pid):
    if pid is None:
        return
    with contextlib.suppress(ChildProcessError, ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.mark.processes
def test_processes_and_watchdogs_in_any_order_of_events(fake_nvml, monkeypatch):
    monkeypatch.setattr(restore_attempts, "RETRY_S", 0.0)
    Owners.library, Owners.monkeypatch = fake_nvml, monkeypatch
    run_state_machine_as_test(
        Owners,
        settings=settings(
            max_examples=100, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
