"""A lease manager in a process of its own, forked so that it starts in milliseconds; it does as told."""

import ctypes
import json
import os
import signal
from pathlib import Path

from lease_helpers import manager_of

from zeus_ray.errors import ZeusError
from zeus_ray.gpus.nvml import NvmlGpu
from zeus_ray.leases.process import HolderProcess

PR_SET_PDEATHSIG = 1


class OwnerProcess:
    """A process with a lease manager; its journals are in ``folder``.

    ``leases``: the limit of each, by its id; ``trials``: the pids of their holders; ``may_set``: the limit.
    """

    def __init__(self, node, folder):
        self.folder, self.leases, self.may_set = folder, {}, False
        self.adopted = set()
        self.trials = {}
        ours, theirs = os.pipe(), os.pipe()
        self.pid = os.fork()
        if not self.pid:
            end_with_the_test()
            _serve(node, folder, os.fdopen(theirs[0]), os.fdopen(ours[1], "w"))
        os.close(ours[1])
        os.close(theirs[0])
        self._answers, self._orders = os.fdopen(ours[0]), os.fdopen(theirs[1], "w")

    def tell(self, order, *arguments, crash_before=None):
        """What the process answers; None where it has ended before one of its steps, as it was told."""
        self._orders.write(json.dumps([order, arguments, crash_before]) + "\n")
        self._orders.flush()
        answer = self._answers.readline()
        if not answer:
            self.wait()
            return None
        return json.loads(answer)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def wait(self):
        os.waitpid(self.pid, 0)
        self._answers.close()
        self._orders.close()


def trial_process():
    """A process that is the holder of a lease, until it is killed."""
    pid = os.fork()
    if not pid:
        end_with_the_test()
        signal.pause()
        os._exit(0)
    return pid


def end_with_the_test():
    """This process is killed when the one that forked it ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _serve(node, folder, orders, answers):
    try:
        manager = manager_of(node, state_dir=folder, control="auto")
        steps = _count_steps()
        adopted = {entry.lease_id: (entry.holder.pid, entry.limit_w) for entry in manager._table}
        for line in orders:
            order, arguments, steps["left"] = json.loads(line)
            try:
                answer = _do(manager, order, adopted, *arguments)
            except ZeusError as error:
                answer = {"error": type(error).__name__}
            steps["left"] = None
            print(json.dumps(answer), file=answers, flush=True)
    finally:
        os._exit(0)


def _do(manager, order, adopted, *arguments):
    if order == "adopted":
        return adopted
    if order == "acquire":
        holder = HolderProcess.current("trial") if arguments[0] is None else _holder(arguments[0])
        lease = manager.acquire(holder, arguments[1])
        return {"lease_id": lease.lease_id, "may_set": lease.may_set}
    if order == "keep":
        manager._owner._check_at_s = 0.0  # it looks once a second
        manager.sample()
        manager._owner.record()  # it writes once a second
        return {"ended": manager.reap()}
    return {"limit_w": getattr(manager, order)(*arguments).power_limit_w}


def _holder(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return HolderProcess(trial_id="trial", pid=pid, started_s=int(fields[19]) / os.sysconf("SC_CLK_TCK"))


def _count_steps():
    """Each write to the disk and to the GPU is a step, before which the process may end."""
    steps = {"left": None}
    for owner, name in (
        (os, "fsync"), (Path, "replace"), (Path, "unlink"), (NvmlGpu, "set_power_limit_w")
    ):  # fmt: skip
        original = getattr(owner, name)

        def step(*arguments, original=original, **options):
            if steps["left"] is not None:
                if not steps["left"]:
                    os.kill(os.getpid(), signal.SIGKILL)
                steps["left"] -= 1
            return original(*arguments, **options)

        setattr(owner, name, step)
    return steps
