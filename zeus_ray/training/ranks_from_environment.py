"""Which process of a job this is: from the variables that launchers set."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from typing_extensions import Self

LAUNCHERS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "torchrun, accelerate or DeepSpeed": (
        ("RANK",),
        ("LOCAL_RANK",),
        ("WORLD_SIZE",),
        ("LOCAL_WORLD_SIZE",),
    ),
    "Slurm": (("SLURM_PROCID",), ("SLURM_LOCALID",), ("SLURM_STEP_NUM_TASKS",), ()),
    "Open MPI": (
        ("OMPI_COMM_WORLD_RANK",),
        ("OMPI_COMM_WORLD_LOCAL_RANK",),
        ("OMPI_COMM_WORLD_SIZE",),
        ("OMPI_COMM_WORLD_LOCAL_SIZE",),
    ),
    "MPI": (
        ("PMI_RANK", "PALS_RANKID", "MV2_COMM_WORLD_RANK"),
        ("MPI_LOCALRANKID", "PALS_LOCAL_RANKID", "MV2_COMM_WORLD_LOCAL_RANK"),
        ("PMI_SIZE", "PALS_SIZE", "MV2_COMM_WORLD_SIZE"),
        ("MPI_LOCALNRANKS", "PALS_LOCAL_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE"),
    ),
}
"""Names of rank, rank on the node, number of processes, and their number on the node. Slurm's variables of a
job, such as SLURM_NTASKS, are also set in a batch script, which is one process: those of a step count."""


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """One process of a job.

    Attributes:
        rank: its number, from 0.
        local_rank: its number on its machine, from 0.
        world_size: processes of the job.
        local_world_size: those on this machine; 0: not known.
        launcher: what started it, for messages.
    """

    rank: int
    local_rank: int
    world_size: int
    local_world_size: int = 0
    launcher: str = ""

    @classmethod
    def from_environment(cls, env: Mapping[str, str] = os.environ) -> Self | None:
        """The process as its launcher's variables say; None: they are not set, or it is the only one."""
        for launcher, names in LAUNCHERS.items():
            rank, local_rank, world_size, local_world_size = (_first(env, of) for of in names)
            if rank is None or world_size is None or world_size < 2:
                continue
            if local_rank is None:
                local_rank = rank % local_world_size if local_world_size else rank
            return cls(
                rank=rank,
                local_rank=local_rank,
                world_size=world_size,
                local_world_size=local_world_size or 0,
                launcher=launcher,
            )
        return None


def _first(env: Mapping[str, str], names: tuple[str, ...]) -> int | None:
    for name in names:
        if env.get(name, "").isdecimal():
            return int(env[name])
    return None
