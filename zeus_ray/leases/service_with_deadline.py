"""A lease service that answers in time, whatever its GPU does: a run never hangs because a driver hangs."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from zeus_ray.errors import DeviceError, DeviceLost
from zeus_ray.gpus.call_in_thread import CallInThread
from zeus_ray.gpus.energy.readings import NO_READING, Reading
from zeus_ray.leases.lease_and_gpu_status import Lease
from zeus_ray.leases.lease_service_protocol import GpuLeaseService
from zeus_ray.leases.process import HolderProcess

ANSWER_WITHIN_S = 10.0
RELEASE_WITHIN_S = 20.0

AnswerOf = TypeVar("AnswerOf")
logger = logging.getLogger("zeus_ray")


class AnsweringService(GpuLeaseService):
    """Calls ``service`` in a thread, and waits for ``ANSWER_WITHIN_S``.

    While a call hangs, no other is begun: readings have the time that has passed and an energy that is not
    known (NaN), limits are refused with a DeviceError. When it answers again, measuring goes on.
    """

    def __init__(
        self,
        service: GpuLeaseService,
        *,
        answer_within_s: float = ANSWER_WITHIN_S,
        acquire_within_s: float = RELEASE_WITHIN_S,
    ) -> None:
        self._service = service
        self._acquire_within_s = acquire_within_s
        self._within_s = answer_within_s
        self._hangs: CallInThread[Any] | None = None
        self._last, self._last_at_s = NO_READING, time.monotonic()

    def acquire(
        self,
        holder: HolderProcess,
        limit_w: float | None = None,
        *,
        control: str = "auto",
        exclusive: bool = False,
        emissions: str = "",
    ) -> Lease:
        """See :class:`GpuLeaseService`. Raises DeviceLost where there is no answer in time."""
        options: dict[str, Any] = {"control": control, "exclusive": exclusive, "emissions": emissions}
        lease = self._ask(lambda: self._service.acquire(holder, limit_w, **options), self._acquire_within_s)
        if lease is None:
            raise DeviceLost("the GPU's driver does not answer: it cannot be leased")
        self._note(lease.reading)
        return lease

    def set_limit(self, lease_id: str, limit_w: float) -> Reading:
        """See :class:`GpuLeaseService`. Raises DeviceError where there is no answer in time."""
        reading = self._ask(lambda: self._service.set_limit(lease_id, limit_w))
        if reading is None:
            raise DeviceError(f"{limit_w:g} W is not set: the GPU's driver does not answer")
        return self._note(reading)

    def follow(self, lease_id: str, profile: str) -> Reading:
        """See :class:`GpuLeaseService`."""
        return self._known(self._ask(lambda: self._service.follow(lease_id, profile)))

    def read(self, lease_id: str) -> Reading:
        """See :class:`GpuLeaseService`."""
        return self._known(self._ask(lambda: self._service.read(lease_id)))

    def release(self, lease_id: str) -> Reading:
        """See :class:`GpuLeaseService`. Without an answer in time the watchdog restores the limit."""
        return self._known(self._ask(lambda: self._service.release(lease_id), RELEASE_WITHIN_S))

    def power_trace(self, lease_id: str) -> list[tuple[float, float, float]]:
        """See :class:`GpuLeaseService`."""
        return self._ask(lambda: self._service.power_trace(lease_id)) or []

    def train(self, lease_id: str, samples: int, batch_size: int) -> Reading:
        """See :class:`GpuLeaseService`."""
        return self._service.train(lease_id, samples, batch_size)

    def load(self, lease_id: str, wall_s: float) -> Reading:
        """See :class:`GpuLeaseService`."""
        return self._service.load(lease_id, wall_s)

    def time_per_sample_s(self, batch_size: int) -> float:
        """See :class:`GpuLeaseService`."""
        return self._service.time_per_sample_s(batch_size)

    def _ask(self, call: Callable[[], AnswerOf], within_s: float = 0.0) -> AnswerOf | None:
        """What ``call`` returns or raises; None where that takes too long, or an earlier call hangs."""
        if self._hangs is not None and not self._hangs.ended():
            return None
        asked = CallInThread(call, name="zeus-ray-gpu")
        if not asked.ended(within_s or self._within_s):
            self._hangs = asked
            logger.warning("zeus-ray: a GPU's driver does not answer: its energy is not known meanwhile")
            return None
        return asked.answer()

    def _note(self, reading: Reading) -> Reading:
        self._last, self._last_at_s = reading, time.monotonic()
        return reading

    def _known(self, reading: Reading | None) -> Reading:
        """The reading; without one, the last one with the time of now, and nothing known of its energy."""
        if reading is not None:
            return self._note(reading)
        unknown = NO_READING
        time_s = self._last.time_s + time.monotonic() - self._last_at_s
        return dataclasses.replace(unknown, time_s=time_s, power_limit_w=self._last.power_limit_w)
