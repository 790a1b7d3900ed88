"""The power profile of a long run, kept by job and kind of GPU: a requeued run goes on at its limit."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass

from typing_extensions import Self

from zeus_ray.records import OnlineOptions, from_json, to_json
from zeus_ray.store.storage import Storage, open_storage
from zeus_ray.training.online_limit.controller_settings_and_state import UnitPoint

PROFILE_FILE = "power-profile-{gpu}.json"
DEFAULT_HISTORY = "zeus-history"
"""The folder in which jobs are kept where the session does not say."""

logger = logging.getLogger("zeus_ray")


@dataclass(frozen=True, kw_only=True)
class KeptPoints:
    """What is stored: the limits measured last, per unit of work, for one batch size."""

    gpu: str
    batch_size: int
    unit: str
    points: tuple[UnitPoint, ...]
    version: int = 1


class KeptLimitProfile:
    """Reads and writes ``HISTORY/JOB/power-profile-GPU.json``. Without a job nothing is kept.

    A folder that cannot be read or written is said once, and the run goes on.

    Args:
        folder: the job's folder; None: nothing is kept.
        gpu: the kind of GPU. Another kind has a file of its own, and begins anew.
        batch_size: samples per step.
        unit: the unit of work.
    """

    def __init__(self, folder: Storage | None, *, gpu: str, batch_size: int, unit: str) -> None:
        self._folder = folder
        self._name = PROFILE_FILE.format(gpu=re.sub(r"[^\w.-]+", "-", gpu))
        self._gpu, self._batch_size, self._unit = gpu, batch_size, unit

    @classmethod
    def open(cls, options: OnlineOptions, *, gpu: str, batch_size: int) -> Self:
        """That of the job which ``options`` name.

        Raises:
            BadInput: the history is not a folder, or cannot be opened.
        """
        folder = (
            open_storage(options.history or DEFAULT_HISTORY).subfolder(options.job) if options.job else None
        )
        return cls(folder, gpu=gpu, batch_size=batch_size, unit=options.unit)

    def read(self) -> tuple[UnitPoint, ...]:
        """The points of an earlier run with this batch size and unit on this kind of GPU; () without one."""
        if self._folder is None:
            return ()
        try:
            if self._name not in self._folder.names():
                return ()
            kept = from_json(KeptPoints, self._folder.read(self._name))
        except (OSError, ValueError) as error:
            logger.warning("zeus-ray: the kept power profile cannot be read, and is measured anew: %s", error)
            return ()
        same = (kept.gpu, kept.batch_size, kept.unit) == (self._gpu, self._batch_size, self._unit)
        return kept.points if same else ()

    def write(self, points: Sequence[UnitPoint]) -> None:
        """Replace what is kept; nothing where there is nothing to keep."""
        if self._folder is None or not points:
            return
        kept = KeptPoints(gpu=self._gpu, batch_size=self._batch_size, unit=self._unit, points=tuple(points))
        try:
            self._folder.write(self._name, to_json(kept))
        except OSError as error:
            logger.warning(
                "zeus-ray: the power profile cannot be kept, so that a requeued run profiles again: %s", error
            )
            self._folder = None
