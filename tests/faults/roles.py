"""The processes that die in the fault campaign: python roles.py ROLE UUID …"""

import resource
import select
import signal
import sys
import time

from zeus_ray.errors import DeviceError
from zeus_ray.gpus.nvml import NvmlGpu
from zeus_ray.leases.manager import LeaseManager
from zeus_ray.leases.process import HolderProcess


def say(*words):
    print(*words, flush=True)  # noqa: T201 — how a process of the campaign talks to it


def train(uuid, *limits_w):
    """A driver outside Ray: keeps its own board, until its input ends. Several limits: sets them in turn."""
    keeper = LeaseManager(NvmlGpu(uuid))
    lease = keeper.acquire(HolderProcess.current("trial"))
    try:
        if lease.may_set:
            keeper.set_limit(lease.lease_id, float(limits_w[0]))
        say("ready", lease.may_set, lease.why_not)
        turn = 0
        while len(limits_w) > 1:
            turn += 1
            keeper.set_limit(lease.lease_id, float(limits_w[turn % len(limits_w)]))
        wait_for_end()
    finally:
        keeper.release(lease.lease_id)
    say("released")


def full(uuid, limit_w):
    """The disk takes not one byte more."""
    keeper = LeaseManager(NvmlGpu(uuid))
    lease = keeper.acquire(HolderProcess.current("trial"))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    try:
        keeper.set_limit(lease.lease_id, float(limit_w))
    except DeviceError as error:
        say("refused", type(error).__name__)
    keeper.release(lease.lease_id)


def keep(uuid, limit_w, trial, pid, started_s):
    """An actor: keeps the board for another process, and watches that."""
    keeper = LeaseManager(NvmlGpu(uuid))
    held = [entry.lease_id for entry in keeper._tenants]
    holder = HolderProcess(trial_id=trial, pid=int(pid), started_s=float(started_s))
    lease_id = held[0] if held else keeper.acquire(holder, float(limit_w)).lease_id
    say("ready", lease_id, keeper.read(lease_id).energy_j)
    while True:
        keeper.reap()
        if not keeper.idle:
            say("energy", keeper.read(lease_id).energy_j)
        time.sleep(0.1)


def live(*_):
    """A trial: it is there, until its input ends."""
    say("ready", HolderProcess.current("trial").started_s)
    wait_for_end()


def clock(*_):
    """What the time is on this node."""
    say(time.time())


def wait_for_end():
    """Until the input ends. In steps: a Ctrl-C just before one long read would not be heard in it."""
    while not select.select([sys.stdin], [], [], 0.05)[0]:
        pass


if __name__ == "__main__":
    # A shell starts its background jobs deaf to Ctrl-C, and so would be whatever the campaign starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    {"train": train, "full": full, "keep": keep, "live": live, "clock": clock}[sys.argv[1]](*sys.argv[2:])
