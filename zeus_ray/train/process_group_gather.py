"""PyTorch's process group: which process this is, and how small values are exchanged beside its collectives.

The exchange has a Gloo group of its own, on the processor: it neither waits for the GPU nor mixes with the
collectives of the training.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from zeus_ray.training.gpu_group_over_ranks import Gather
from zeus_ray.training.ranks_from_environment import Ranks

ANSWER_WITHIN = timedelta(seconds=300)
"""How long a process waits for the others: to open their sessions, while they may still load data, and at the
edge of a window, which some may not reach where their data ends earlier."""

logger = logging.getLogger("zeus_ray")


def ranks_of_process_group() -> Ranks | None:
    """This process in the initialised group; None: there is none, or it is the only process."""
    if not _initialised() or dist.get_world_size() < 2:
        return None
    told = Ranks.from_environment()
    rank, world_size = dist.get_rank(), dist.get_world_size()
    if told is not None and told.world_size == world_size:
        return told
    local_rank = torch.cuda.current_device() if torch.cuda.is_initialized() else rank
    return Ranks(rank=rank, local_rank=local_rank, world_size=world_size, launcher="torch.distributed")


def gather_of_process_group(ranks: Ranks) -> Gather | None:
    """The exchange between all processes of the group; None: there is none, or not all call this."""
    if not _initialised() or dist.get_world_size() != ranks.world_size:
        return None
    rank, world_size = dist.get_rank(), dist.get_world_size()
    if not _all_are_here(rank, world_size):
        return None
    group = dist.new_group(backend="gloo", timeout=ANSWER_WITHIN)

    def gather(value: Any) -> list[Any]:  # noqa: ANN401 — small values of any type
        values: list[Any] = [None] * world_size
        dist.all_gather_object(values, value, group=group)
        return values

    return gather


def _all_are_here(rank: int, world_size: int) -> bool:
    """Whether every process opens a session: a group that only some of them make would wait for ever."""
    global _sessions  # noqa: PLW0603 — the count of this process's sessions, which all processes share
    _sessions += 1
    store = dist.distributed_c10d._get_default_store()  # noqa: SLF001 — there is no public way
    names = [f"zeus-ray/{_sessions}/{one}" for one in range(world_size)]
    store.set(names[rank], "open")
    try:
        store.wait(names, ANSWER_WITHIN)
    except RuntimeError:
        logger.warning(
            "zeus-ray: only some of the %d processes have opened a session within %d s",
            world_size,
            ANSWER_WITHIN.total_seconds(),
        )
        return False
    return True


_sessions = 0


def _initialised() -> bool:
    return bool(dist.is_available() and dist.is_initialized())
