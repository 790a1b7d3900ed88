"""The processes that are killed in fault scenarios: python roles.py ROLE UUID …"""

import contextlib
import ctypes
import fcntl
import json
import os
import resource
import select
import signal
import sys
import time

from zeus_ray import RecurringJob, Target
from zeus_ray.errors import DeviceError, HistoryError
from zeus_ray.gpus.discovery import open_gpu
from zeus_ray.gpus.nvml import NvmlGpu
from zeus_ray.leases.lease_manager_of_one_gpu import LeaseManager
from zeus_ray.leases.process import HolderProcess
from zeus_ray.training.session import session


def send(*words):
    print(*words, flush=True)  # noqa: T201 — read by the scenario


def train(uuid, *limits_w):
    """A run outside Ray with its own lease manager, until its input ends; it sets several limits in turn."""
    manager = LeaseManager(open_gpu("nvml", uuid))
    lease = manager.acquire(HolderProcess.current("trial"))
    try:
        if lease.may_set:
            manager.set_limit(lease.lease_id, float(limits_w[0]))
        send("ready", lease.may_set, lease.why_not)
        turn = 0
        while len(limits_w) > 1:
            turn += 1
            manager.set_limit(lease.lease_id, float(limits_w[turn % len(limits_w)]))
        wait_for_end()
    finally:
        manager.release(lease.lease_id)
    send("released")


def forks(uuid, limit_w, outlives):
    """A run whose forked child uses everything that it has inherited, and ends or lives on.

    Or it is forked by a library, unseen by Python, and only lives on.
    """
    manager = LeaseManager(NvmlGpu(uuid))
    lease = manager.acquire(HolderProcess.current("trial"), float(limit_w))
    fork = ctypes.CDLL(None).fork if outlives == "outlives-unseen" else os.fork
    if not fork():
        if outlives == "outlives-unseen":
            time.sleep(30)
            os._exit(0)
        for call in (lambda: manager.set_limit(lease.lease_id, 200.0), manager.reap, manager.close):
            with contextlib.suppress(DeviceError):
                call()
        if outlives == "outlives":
            time.sleep(30)
        sys.exit(0)
    if outlives == "ends":
        os.wait()
    send("ready", manager.read(lease.lease_id).power_limit_w)
    wait_for_end()


def becomes(uuid, limit_w):
    """A run that at the next line becomes another program, with the same pid."""
    manager = LeaseManager(NvmlGpu(uuid))
    manager.acquire(HolderProcess.current("trial"), float(limit_w))
    send("ready")
    sys.stdin.readline()
    os.execvp("sleep", ["sleep", "60"])  # noqa: S606


def notebook(uuid, limit_w):
    """A cell that is interrupted; its kernel lives on."""
    try:
        with session({"batch_size": 8}, power_limit_w=float(limit_w)):
            send("ready", uuid)
            wait_for_end()
    except KeyboardInterrupt:
        pass
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    send("interrupted")
    wait_for_end()


def trains(_uuid, limit_w, emissions=""):
    """A whole run that trains for a while, and says how it went."""
    if "EXECUTABLE" in os.environ:
        sys.executable = os.environ["EXECUTABLE"]
    send("ready")
    config = (
        {"batch_size": 8, "zeus": {"emissions": json.loads(emissions)}} if emissions else {"batch_size": 8}
    )
    with session(config, power_limit_w=float(limit_w)) as run:
        for _epoch in range(3):
            for _batch in run.steps([None] * 10):
                time.sleep(0.02)
            send("reported", run.report({})["zeus/energy_j"])
            sys.stdin.readline()
    send("trained")


def job(_uuid, history):
    """A recurring job that trains once whenever it is told a line, and tells the outcome at the next line."""
    recurring = RecurringJob(
        history,
        "job",
        batch_sizes=[8],
        default_batch_size=8,
        target=Target("accuracy", 0.9),
        power_limits_w=[150],
    )
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    send("ready")
    for _line in sys.stdin:
        try:
            with recurring.run(window_s=0.05, settle_s=0.0) as run:
                for epoch in range(1, 4):
                    for _batch in run.steps([None] * 5):
                        time.sleep(0.01)
                    run.report({"accuracy": 0.3 * epoch + 0.05})
                send("trained")
                sys.stdin.readline()
        except HistoryError:
            send("HistoryError")
        else:
            send("told", run.plan.knobs.run_id)


def steps(uuid, *limits_w):
    """A run that sets the next limit whenever it is told a line; it says what happened."""
    manager = LeaseManager(NvmlGpu(uuid))
    lease = manager.acquire(HolderProcess.current("trial"), float(limits_w[0]))
    send("ready")
    for turn, _line in enumerate(sys.stdin, 1):
        try:
            manager.set_limit(lease.lease_id, float(limits_w[turn % len(limits_w)]))
        except DeviceError as error:
            send(type(error).__name__, error)
        else:
            send("set")
    reading = manager.release(lease.lease_id)
    send("released", reading.limit_changed_by_others)


def refused(uuid, limit_w):
    """A run whose driver says OK and does nothing."""
    manager = LeaseManager(NvmlGpu(uuid))
    lease = manager.acquire(HolderProcess.current("trial"))
    try:
        manager.set_limit(lease.lease_id, float(limit_w))
    except DeviceError as error:
        send("refused", error)
    manager.release(lease.lease_id)
    send("released")


def meter(uuid):
    """A run that is measured, and says so whenever it is told a line."""
    manager = LeaseManager(NvmlGpu(uuid))
    lease = manager.acquire(HolderProcess.current("trial"), 150.0)
    send("ready", lease.lease_id)
    for _line in sys.stdin:
        reading = manager.read(lease.lease_id)
        send(reading.energy_j, reading.energy_j_err, (reading.measured_by or "counter").replace(" ", "-"))


def full(uuid, limit_w):
    """A run on a full disk."""
    manager = LeaseManager(NvmlGpu(uuid))
    lease = manager.acquire(HolderProcess.current("trial"))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    try:
        manager.set_limit(lease.lease_id, float(limit_w))
    except DeviceError as error:
        send("refused", type(error).__name__)
    manager.release(lease.lease_id)


def manage(uuid, limit_w, trial_id, pid, started_s):
    """A lease manager for a trial in another process, like the GPU actor."""
    manager = LeaseManager(NvmlGpu(uuid))
    adopted = [entry.lease_id for entry in manager._table]
    holder = HolderProcess(trial_id=trial_id, pid=int(pid), started_s=float(started_s))
    lease_id = adopted[0] if adopted else manager.acquire(holder, float(limit_w)).lease_id
    send("ready", lease_id, manager.read(lease_id).energy_j)
    while True:
        manager.reap()
        if not manager.idle:
            send("reading", time.monotonic(), manager.read(lease_id).energy_j)
        time.sleep(0.1)


def trial(*_):
    """A trial that runs until its input ends."""
    send("ready", HolderProcess.current("trial").started_s)
    wait_for_end()


def locks(_uuid, path):
    """Take a file's lock as soon as it is free, and keep it."""
    with open(path) as file:  # noqa: PTH123
        send("waits")
        fcntl.flock(file, fcntl.LOCK_EX)
        send("locked")
        wait_for_end()


def clock(*_):
    """Send the time on this node."""
    send(time.time())


def wait_for_end():
    """Wait until the input ends. In steps: a Ctrl-C just before one long read would be ignored."""
    while not select.select([sys.stdin], [], [], 0.05)[0]:
        pass


if __name__ == "__main__":
    # A shell starts background jobs with Ctrl-C ignored, and their children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    roles = (
        train,
        full,
        manage,
        trial,
        clock,
        locks,
        forks,
        notebook,
        steps,
        refused,
        meter,
        trains,
        job,
        becomes,
    )
    {role.__name__: role for role in roles}[sys.argv[1]](*sys.argv[2:])
