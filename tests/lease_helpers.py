"""Lease managers for tests, and the states in which killed processes leave a node."""

import dataclasses

from zeus_ray.gpus.nvml import NvmlGpu
from zeus_ray.leases.journal_and_lock_of_one_gpu import Journal
from zeus_ray.leases.lease_manager_of_one_gpu import LeaseManager
from zeus_ray.leases.process import HolderProcess

ENDED = HolderProcess(trial_id="ended", pid=2**22 - 1, started_s=-1.0)
"""A holder process that does not run any more."""


def manager_of(node, index=0, kind=LeaseManager, **options):
    """A lease manager of one of the node's GPUs, without a sampling thread or a watchdog."""
    manual = node.state.manual_clock
    gpu = NvmlGpu(node.uuids[index], **({"clock": node.now_s} if manual else {}))
    if manual:
        options = {"pause": node.advance, **options}
    return kind(gpu, **{"sample_every_s": None, "watchdog": False, **options})


def this_process(trial="trial"):
    """This process, as the holder process of a trial."""
    return HolderProcess.current(trial)


def crash(manager):
    """As when the manager's process is killed: the kernel releases its locks, the journals stay."""
    manager._owner._journals.rights.give_back()
    manager._owner._journals.measured.unlock()


def leave_behind(node, state_dir, index=0):
    """A GPU at 150 W, originally at 270 W, whose processes have all ended. Returns its journal."""
    NvmlGpu(node.uuids[index]).set_power_limit_w(270)
    manager = manager_of(node, index)
    manager.acquire(ENDED, 150)
    crash(manager)
    journal = Journal(state_dir, node.uuids[index])
    journal.write(dataclasses.replace(journal.read(), manager=ENDED))
    return journal
