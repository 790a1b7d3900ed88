"""One node with GPUs, and the processes on it, for faults: each kind of fault gets a new scenario.

A kind is a function of a scenario whose GPUs are at 270 W. It does its fault, and returns the seconds until
the limit is restored. It raises AssertionError where anything else went wrong.
"""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
from fake_nvml.library import Clock
from fake_zeusd import FakeZeusd

from zeus_ray.leases.ended_lease_usage import ENDED_FILE
from zeus_ray.leases.journal_and_lock_of_one_gpu import Journal
from zeus_ray.leases.watchdog_start_and_status import WATCHDOG_NAME, running_watchdog, watchdog_lock

ROLES = Path(__file__).with_name("roles.py")
ORIGINAL_W, WANTED_W = 270.0, 150.0
RESTORED_WITHIN_S = 10.0
TRAINED_WITHIN_S = 45.0
"""A run of three epochs: Python starts on a busy machine, and a driver that hangs delays the run a little."""
OTHER_UID = 65534
AS_OTHER_USER = ("setpriv", f"--reuid={OTHER_UID}", f"--regid={OTHER_UID}", "--clear-groups",
             "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")  # fmt: skip
"""This user can read root's files, such as a Python under /root, and cannot change them."""
STOPPED, GOES_ON = signal.SIGSTOP, signal.SIGCONT


class Scenario:
    """One node with one GPU, and the processes on it."""

    def __init__(self, library, folder, cards="V100,V100", **knobs):
        self.library = library
        self.folder = folder
        self.node = library.node(folder, name=folder.name, cards=cards, **knobs)
        self.gpu = self.node.gpus[0]
        for gpu in self.node.gpus:
            gpu.limit_mw = int(ORIGINAL_W * 1000)
        self.expected_w = ORIGINAL_W
        self.state = folder / "state"
        self.clock = Clock(library, folder)
        self.zeusd = None
        locks = folder / "locks"
        locks.mkdir()
        locks.chmod(0o1777)
        ours = {"ZEUS_RAY_STATE_DIR": str(self.state), "ZEUS_RAY_LOCK_DIR": str(locks)}
        self.env = {**os.environ, **self.node.env, **ours}
        self._started = []

    def start(self, role, *arguments, **options):
        """Start a process of roles.py. Its first line of output, split, is the attribute ``first``."""
        process = self.begin(role, *arguments, **options)
        process.first = process.stdout.readline().split()
        return process

    def begin(self, role, *arguments, prefix=(), gpu=None, env=(), cwd=None):
        """Start a process of roles.py, without waiting for it."""
        process = subprocess.Popen(
            [*prefix, sys.executable, str(ROLES), role, (gpu or self.gpu).uuid, *map(str, arguments)],
            env={**self.env, **dict(env)}, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._started.append(process)
        return process

    def start_zeusd(self, **moods):
        """From now on limits are set by zeusd, which is in these moods."""
        for gpu in self.node.gpus:
            gpu.no_permission = 1
        path = self.folder / "zeusd.sock"
        path.unlink(missing_ok=True)
        self.zeusd = FakeZeusd(path, self.node)
        for name, value in moods.items():
            setattr(self.zeusd, name, value)
        self.env["ZEUSD_SOCK_PATH"] = str(path)
        return self.zeusd

    def fill_disk(self, *processes):
        """From now on no file of these processes and of the watchdog can grow."""
        watchdog = running_watchdog(self.state)
        for pid in [process.pid for process in processes] + ([watchdog.pid] if watchdog else []):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, 0))

    def put_pipes(self):
        """Whatever is read or written in the state folder is a pipe, at which a process would wait."""
        self.state.mkdir(mode=0o700)
        name = self.gpu.uuid
        folder = self.state / f"{name}.processes"
        folder.mkdir(mode=0o700)
        (folder / "1").touch()
        os.mkfifo(folder / "1234")
        files = [f"{name}.{end}" for end in ("json.draft", "json.copy", "json.copy.draft", "measured")]
        files += [f"{WATCHDOG_NAME}.{end}" for end in ("pid.draft", "pid", "log", "status.draft", "status")]
        for file in (*files, f"{name}.json.lock", ENDED_FILE):
            os.mkfifo(self.state / file)

    def run_doctor(self):
        """What ``zeus-ray doctor`` prints on this node."""
        command = [sys.executable, "-c", "from zeus_ray.cli.main import main; main()", "doctor"]
        return subprocess.run(command, env=self.env, capture_output=True, text=True, check=False).stdout

    def kill(self, process, number=signal.SIGKILL):
        process.send_signal(number)
        process.wait(RESTORED_WITHIN_S)

    def kill_watchdog(self):
        watchdog = running_watchdog(self.state)
        assert watchdog is not None, "no watchdog runs"
        os.kill(watchdog.pid, signal.SIGKILL)
        wait_until(lambda: not watchdog.alive())

    def seconds_until_restored(self, gpu=None):
        start_s = time.monotonic()
        try:
            wait_until(lambda: (gpu or self.gpu).limit_w == ORIGINAL_W)
        except AssertionError:
            logs = [p.read_text() for p in self.state.glob(f"{WATCHDOG_NAME}.log") if p.is_file()]
            pids = watchdogs_of(self)
            raise AssertionError(f"at {(gpu or self.gpu).limit_w:g} W; watchdogs {pids}; {logs}") from None
        return time.monotonic() - start_s

    @contextlib.contextmanager
    def here(self):
        """This process is on the node meanwhile."""
        names = (*self.node.env, "ZEUS_RAY_STATE_DIR", "ZEUS_RAY_LOCK_DIR")
        before = {name: os.environ.get(name) for name in names}
        os.environ.update({name: self.env[name] for name in names})
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})

    def close(self):
        for gpu in self.node.gpus:
            gpu.hang_name = b""
        self.node.state.hang_init = self.node.state.hang_count = 0
        if self.zeusd is not None:
            self.zeusd.end()
        for process in self._started:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()
        while left := [process for process in psutil.process_iter(["environ"]) if self._is_here(process)]:
            for process in left:  # again: one may just have started another
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(left, RESTORED_WITHIN_S)

    def _is_here(self, process):
        """Whether its environment says so: children that were forked, and the watchdog, have it, too."""
        environment = process.info["environ"] or {}
        return environment.get("FAKE_NVML_STATE") == self.node.env["FAKE_NVML_STATE"]


def wait_until(condition, within_s=RESTORED_WITHIN_S):
    until_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until_s, f"not within {within_s:g} s"
        time.sleep(0.01)


def wait_for_look(scenario):
    """Wait until the watchdog has looked at everything once: it shows that it answers before each look."""
    lock = watchdog_lock(scenario.state)
    for _ in range(2):
        before = lock.stat().st_mtime_ns
        wait_until(lambda before=before: lock.stat().st_mtime_ns != before)


def watchdogs_of(scenario):
    """The pids of the watchdogs of the node's state folder, and of the processes that they restore in."""
    of_folder = ["-m", "zeus_ray.leases.watchdog", str(scenario.state)]
    return [p.pid for p in psutil.process_iter(["cmdline"]) if (p.info["cmdline"] or [])[1:] == of_folder]


def journal_of(scenario, gpu=None):
    return Journal(scenario.state, (gpu or scenario.gpu).uuid)


def new_watchdog(scenario, before):
    """Wait until another watchdog than ``before`` answers; after a failed start none is tried for 10 s."""
    wait_until(lambda: (found := running_watchdog(scenario.state)) and found.pid != before.pid, 20)


def say(process, line=""):
    """Tell a process a line; what it answers."""
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
    return process.stdout.readline().split()


def train_to_the_end(process):
    """Let a run of the role ``trains`` end. Returns the energy that each of its epochs reported (J)."""
    timer = threading.Timer(TRAINED_WITHIN_S, process.kill)
    timer.start()
    words, energies_j = [], []
    for line in process.stdout:
        words = line.split()
        if words[0] == "reported":
            energies_j.append(float(words[1]))
            process.stdin.write("\n")
            process.stdin.flush()
    code = process.wait()
    timer.cancel()
    assert (words, code) == (["trained"], 0), f"the run did not train to its end: {words}, exit code {code}"
    return energies_j


def close_input(process):
    """End the input of a process, which ends it."""
    process.stdin.close()
    process.stdin = open(os.devnull)  # noqa: PTH123, SIM115 — closed with the rest


def kinds_in(module):
    """The kinds of fault of a module (its ``globals()``): its functions of a scenario, by their names."""
    kinds = []
    for name, kind in module.items():
        if callable(kind) and getattr(kind, "__module__", "") == module["__name__"] and name[0] != "_":
            kind.__name__ = name
            kinds.append(kind)
    return tuple(kinds)
