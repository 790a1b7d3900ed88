"""The lease manager of one GPU: its leases, their energy, and the power limit that they set."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

from zeus_ray.errors import DeviceError, LeaseRefused
from zeus_ray.gpus.discovery import power_control, strictest
from zeus_ray.gpus.energy.bounded_power_trace import PowerTrace
from zeus_ray.gpus.energy.energy_meter_of_one_gpu import EnergyMeter
from zeus_ray.gpus.energy.readings import NO_READING, EnergyReading, Reading
from zeus_ray.gpus.energy.sampling_thread import SamplingThread
from zeus_ray.gpus.protocol import Gpu
from zeus_ray.gpus.virtual_gpu_base import VirtualGpu, as_virtual
from zeus_ray.leases.ended_lease_usage import ended_lease, keep_readings
from zeus_ray.leases.journal_record import LeaseEntry
from zeus_ray.leases.lease_and_gpu_status import GpuStatus, Lease
from zeus_ray.leases.leases_and_their_energy_shares import EnergyPrice, LeaseTable
from zeus_ray.leases.process import HolderProcess
from zeus_ray.leases.processes_measuring_the_same_gpu import Presence
from zeus_ray.leases.set_and_restore_limit import FORKED, LimitOwner
from zeus_ray.leases.state_dir import state_dir as find_state_dir
from zeus_ray.leases.watchdog_start_and_status import ensure_watchdog
from zeus_ray.records import NAN

POWER_SAMPLE_EVERY_S = 0.25
RECORD_ENERGY_EVERY_S = 1.0
"""How often energy is journalled: what a trial has used since is lost if it and its manager end at once."""

logger = logging.getLogger("zeus_ray")
_managers: weakref.WeakSet[LeaseManager] = weakref.WeakSet()


class LeaseManager:
    """The only one that sets one GPU's limit: in the GPU's Ray actor, or outside Ray in the user's process.

    Args:
        gpu: the GPU.
        state_dir: where the journal is kept (default: see :func:`zeus_ray.leases.state_dir.state_dir`).
        control: power control of this node, ``auto`` or ``off``; default: ``ZEUS_RAY_POWER_CONTROL``.
        sample_every_s: step of the power trace of a real GPU; None: only when ``sample`` is called.
        pause: waits on the GPU's clock, for GPUs whose clock does not run by itself.
        watchdog: start the watchdog (:mod:`zeus_ray.leases.watchdog`) before the first limit is set.
        price: emissions or price of energy at the time it was drawn.
        wall: the clock of ``price``.

    Every method may raise DeviceLost.
    """

    def __init__(
        self,
        gpu: Gpu,
        *,
        state_dir: Path | None = None,
        control: str | None = None,
        sample_every_s: float | None = POWER_SAMPLE_EVERY_S,
        pause: Callable[[float], None] = time.sleep,
        watchdog: bool = True,
        price: EnergyPrice = lambda *_: NAN,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._gpu = gpu
        self._control = power_control(os.environ) if control is None else strictest(control)
        self._lock = threading.RLock()
        _managers.add(self)
        self._meter = EnergyMeter(gpu, pause=pause)
        self._trace = PowerTrace()
        self._table = LeaseTable(price=price, wall=wall)
        self._state_dir = None if isinstance(gpu, VirtualGpu) else state_dir or find_state_dir()
        self._owner = LimitOwner(gpu, self._table, state_dir, watchdog=watchdog)
        self._presence = None if self._state_dir is None else Presence(self._state_dir, gpu.uuid)
        every_s = None if isinstance(gpu, VirtualGpu) else sample_every_s
        self._sampler = SamplingThread(self.sample, lambda: self.idle, every_s)
        self._owner.adopt(self._control)
        self._adopted = {(entry.holder, entry.control): entry.lease_id for entry in self._table}
        for entry in self._table:
            self._meter.resume(entry.charged_to)
        if self._adopted:
            self._learn_phase()
            self._sampler.start()

    @property
    def idle(self) -> bool:
        """Whether the GPU has no lease."""
        return not len(self._table)

    def acquire(
        self,
        holder: HolderProcess,
        limit_w: float | None = None,
        *,
        control: str = "auto",
        exclusive: bool = False,
        emissions: str = "",
    ) -> Lease:
        """Lease the GPU, and set ``limit_w`` if it is given.

        Args:
            holder: the trial, and the process with whose end the lease ends.
            limit_w: as in :meth:`set_limit`; where that raises, no lease remains.
            control: ``auto`` or ``off``, the strictest of driver and trial.
            exclusive: refuse a GPU that is leased, and any other lease as long as this one lasts.
            emissions: JSON of the :class:`~zeus_ray.records.EmissionsConfig` that prices the lease's energy,
                for ``price``; "": it is not priced.

        Raises:
            LeaseRefused: the GPU is leased, and one of the leases must be exclusive.
        """
        if self._owner.forked:
            raise LeaseRefused(FORKED)
        control = strictest(self._control, control)
        with self._lock:
            self.reap()
            lease_id = self._adopted.pop(
                (holder, control), ""
            )  # a repeated call, not answered before a crash
            if lease_id not in self._table:
                lease_id = self._begin(holder, control, exclusive, emissions)
            try:
                reading = self.read(lease_id) if limit_w is None else self.set_limit(lease_id, limit_w)
            except Exception:
                self.release(lease_id)
                raise
            self._sampler.start()
            return Lease.on(
                self._gpu,
                lease_id=lease_id,
                original_limit_w=self._owner.original_w,
                why_not=self._owner.why_not(self._table[lease_id]),
                reading=reading,
            )

    def set_limit(self, lease_id: str, limit_w: float) -> Reading:
        """Set the limit for this lease, and read back what is in force.

        Raises:
            BadInput: outside the GPU's range.
            NoPermission: power control is off, another process sets this GPU's limit, or rights are missing.
            LeaseRefused: another lease holds the GPU at a different limit.
        """
        with self._lock:
            entry = self._table[lease_id]
            self._owner.check(entry, limit_w)
            self._sample_power()
            self._owner.set(entry, limit_w)
            self._sample_power()
            return self._read(entry)

    def read(self, lease_id: str) -> Reading:
        """Energy, time and limit now; for an ended lease, as they were at its end."""
        with self._lock:
            if lease_id in self._table:
                return self._read(self._table[lease_id])
            last = self._table.last_readings.get(lease_id)
            if last is None and self._state_dir is not None:  # it ended with an earlier lease manager
                last = ended_lease(self._state_dir, lease_id)
            return last or self._read(self._table[lease_id])

    def release(self, lease_id: str) -> Reading:
        """End a lease. To end it again, or one that never existed, changes nothing.

        After an interrupt or an error in the middle, another call ends what the first has begun. In a forked
        child of the process that leased the GPU nothing happens.

        Raises:
            DeviceError: the original limit could not be restored; the journal keeps it.
        """
        if self._owner.forked:
            return NO_READING
        with self._lock:
            if lease_id in self._table:
                last, now = self._last_reading(self._table[lease_id])
                self._table.end(lease_id, now, last)
                if self._presence is not None and self.idle:
                    self._presence.leave()
            self._owner.release_unused()
            return self._table.last_readings.get(lease_id, NO_READING)

    def reap(self) -> list[str]:
        """End the leases whose holder process has ended; what they used is kept. Returns their ids."""
        if self._owner.forked:
            return []
        with self._lock:
            ended = [entry.lease_id for entry in self._table if not entry.holder.alive()]
            for lease_id in ended:
                logger.warning("zeus-ray: the process of a lease has ended: releasing %s", self._gpu.uuid)
                try:
                    self.release(lease_id)
                except DeviceError:
                    logger.exception("zeus-ray: %s keeps its limit, and its journal", self._gpu.uuid)
            if ended and self._state_dir is not None:
                readings = self._table.last_readings
                keep_readings(self._state_dir, {i: readings[i] for i in ended if i in readings})
            return ended

    def sample(self) -> None:
        """Add a point to the power trace; none where the GPU does not answer just now."""
        if self.idle or self._owner.forked:
            return
        try:
            with self._lock:
                watch = self._owner.keep()
            if watch is not None:  # without the lock: to start a process takes a moment
                ensure_watchdog(watch, wait=False)
            self._learn_phase()
            with self._lock:
                self._sample_power()
                self._meter.check_counter()
                if self._gpu.now_s() - self._owner.recorded_s > RECORD_ENERGY_EVERY_S:
                    self._table.charge(self._meter.read())
                    self._owner.record(sync=False)
        except DeviceError as error:
            logger.debug("zeus-ray: no sample: %s", error)

    def power_trace(self, lease_id: str) -> list[tuple[float, float, float]]:
        """(time_s since the lease began, power_w, enforced limit_w), its step doubled as it grows."""
        with self._lock:
            return self._trace.since(self._table[lease_id].start_s)

    def status(self) -> GpuStatus:
        """The limit in force, and the energy of every trial with a lease: for dashboards."""
        with self._lock:
            now = self._meter.read()
            return GpuStatus(
                uuid=self._gpu.uuid,
                power_limit_w=self._gpu.enforced_limit_w(),
                energy_j=tuple((e.holder.trial_id, self._table.energy_j(e, now)) for e in self._table),
            )

    def train(self, lease_id: str, samples: int, batch_size: int) -> Reading:
        """Train ``samples`` on a virtual GPU. Raises NotSupported on a real one."""
        with self._lock:
            as_virtual(self._gpu).train(samples, batch_size)
            return self._read_after_work(lease_id)

    def load(self, lease_id: str, wall_s: float) -> Reading:
        """Put ``wall_s`` of full load on a virtual GPU. Raises NotSupported on a real one."""
        with self._lock:
            as_virtual(self._gpu).load(wall_s)
            return self._read_after_work(lease_id)

    def time_per_sample_s(self, batch_size: int) -> float:
        """Seconds per sample of a virtual GPU at the limit in force. Raises NotSupported on a real one."""
        with self._lock:
            return as_virtual(self._gpu).time_per_sample_s(batch_size)

    def close(self) -> None:
        """End every lease, restore the original limit, and close the GPU."""
        with self._lock:
            for entry in self._table:
                self.release(entry.lease_id)
            self._gpu.close()

    def _begin(self, holder: HolderProcess, control: str, exclusive: bool, emissions: str) -> str:
        """Add a lease to the table and the journal. Returns its id."""
        self._table.check_exclusive(exclusive)
        self._learn_phase()
        try:
            self._owner.open(control)
            now = self._meter.read()
            entry = self._table.begin(holder, control, now, exclusive=exclusive, emissions=emissions)
        except DeviceError:
            self._owner.unlock_unused()
            raise
        if self._presence is not None and self._presence.enter():
            self._table.mark_shared()
        self._owner.record()
        return entry.lease_id

    def _learn_phase(self) -> None:
        """Watch the counter's updates without the lock, so that others can read meanwhile."""
        updates = self._meter.watch()
        with self._lock:
            self._meter.learn(updates)

    def _read(self, entry: LeaseEntry, now: EnergyReading | None = None) -> Reading:
        now = now or self._meter.read()
        self._owner.look()
        if self._table.priced:  # the price depends on when energy was drawn: charge it while that is known
            self._table.charge(now)
        if self._presence is not None and self._presence.met():
            self._table.mark_shared()
        return self._table.reading(
            entry.lease_id,
            now,
            self._gpu.enforced_limit_w(),
            limit_changed_by_others=self._owner.changed_by_others,
        )

    def _last_reading(self, entry: LeaseEntry) -> tuple[Reading, EnergyReading | None]:
        try:
            now = self._meter.read()
            return self._read(entry, now), now
        except DeviceError as error:
            logger.warning("zeus-ray: no last reading of %s: %s", self._gpu.uuid, error)
            return NO_READING, None

    def _sample_power(self) -> None:
        try:
            power_w = self._gpu.power_w()
            self._meter.sample(power_w)
            self._trace.add((self._gpu.now_s(), power_w, self._gpu.enforced_limit_w()))
        except DeviceError as error:
            logger.debug("zeus-ray: no power sample: %s", error)

    def _read_after_work(self, lease_id: str) -> Reading:
        self._sample_power()
        return self._read(self._table[lease_id])


def _new_locks_in_child() -> None:
    """A forked child may find a lock taken by a thread that it does not have."""
    for manager in tuple(_managers):
        manager._lock = threading.RLock()  # noqa: SLF001 — this module's own


os.register_at_fork(after_in_child=_new_locks_in_child)
