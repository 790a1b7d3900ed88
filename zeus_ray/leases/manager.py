"""Leases on one board: measure it, hold its limit, give it back when the last one that set it ends."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from zeus_ray.errors import DeviceError, NotSupported
from zeus_ray.gpus.discovery import power_control, strictest
from zeus_ray.gpus.energy.energy_meter import EnergyMeter
from zeus_ray.gpus.energy.power_trace import PowerTrace
from zeus_ray.gpus.energy.readings import NO_READING, EnergyReading, Reading
from zeus_ray.gpus.energy.sampling_thread import SamplingThread
from zeus_ray.gpus.protocol import Gpu, VirtualGpu
from zeus_ray.leases.claims import Claims
from zeus_ray.leases.journal import LeaseEntry
from zeus_ray.leases.lease import Lease, Status
from zeus_ray.leases.process import HolderProcess
from zeus_ray.leases.table import LeaseTable, Price
from zeus_ray.records import NAN

SAMPLE_EVERY_S = 0.25
SETTLE_EVERY_S = 10.0
"""How often what an integrating meter has seen, and what energy cost, is journalled: nothing else would
remember it."""

log = logging.getLogger("zeus_ray")


class LeaseManager:
    """The one owner of a board: in its Ray actor, or in the process itself outside Ray.

    Args:
        gpu: the board.
        state_dir: where the journal is kept (default: see :func:`journal.state_dir`).
        control: this node's say, ``auto`` or ``off``; default: ``ZEUS_RAY_POWER_CONTROL``.
        sample_every_s: step of the power timeline of a real board; None: only when ``sample`` is called.
        pause: waits on the board's clock, for boards whose clock does not run by itself.
        guarded: start the guard (:mod:`zeus_ray.leases.watchdog`) before the first limit is set.
        price: what energy cost when it was used, by a lease's footprint.
        wall: the clock of ``price``.

    Every method may raise DeviceLost.
    """

    def __init__(
        self,
        gpu: Gpu,
        *,
        state_dir: Path | None = None,
        control: str | None = None,
        sample_every_s: float | None = SAMPLE_EVERY_S,
        pause: Callable[[float], None] = time.sleep,
        guarded: bool = True,
        price: Price = lambda *_: NAN,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._gpu = gpu
        self._control = power_control(os.environ) if control is None else strictest(control)
        self._lock = threading.RLock()
        self._meter = EnergyMeter(gpu, pause=pause)
        self._timeline = PowerTrace()
        self._claims = Claims(
            gpu,
            state_dir,
            control=self._control,
            guarded=guarded,
            tenants=partial(LeaseTable, price=price, wall=wall),
        )
        self._tenants = self._claims.tenants
        every_s = None if isinstance(gpu, VirtualGpu) else sample_every_s
        self._sampler = SamplingThread(self.sample, lambda: self.idle, every_s)
        self._adopted = {(entry.holder, entry.control): entry.lease_id for entry in self._tenants}
        if self._adopted:
            self._go_on()

    @property
    def idle(self) -> bool:
        """Whether nobody holds the board."""
        return not len(self._tenants)

    def acquire(
        self,
        holder: HolderProcess,
        limit_w: float | None = None,
        *,
        control: str = "auto",
        exclusive: bool = False,
        emissions: str = "",
    ) -> Lease:
        """Lease the board, and set ``limit_w`` where one is given.

        Args:
            holder: the trial, and the process whose end ends the lease.
            limit_w: as :meth:`set_limit`; what that raises leaves no lease behind.
            control: ``auto`` or ``off``, the strictest of driver and trial.
            exclusive: refuse a board that somebody holds, and let nobody else in.
            emissions: what ``price`` reads: how this lease's energy is priced; "" for no price.

        Raises:
            LeaseRefused: the board is held, and one of the two wants it alone.
        """
        control = strictest(self._control, control)
        with self._lock:
            self.reap()
            adopted = self._adopted.pop((holder, control), "")
            if adopted in self._tenants:  # asked again: the answer died with the process before this one
                reading = self.read(adopted) if limit_w is None else self.set_limit(adopted, limit_w)
                return self._lease(self._tenants[adopted], reading)
            self._tenants.check_alone(exclusive)
            self._learn()
            self._claims.open(control)
            try:
                entry = self._tenants.enter(
                    holder, control, self._meter.read(), exclusive=exclusive, footprint=emissions
                )
            except DeviceError:
                self._claims.leave_if_free()
                raise
            self._claims.note()
            try:
                reading = self._read(entry) if limit_w is None else self.set_limit(entry.lease_id, limit_w)
            except Exception:
                self.release(entry.lease_id)
                raise
            self._sampler.start()
            return self._lease(entry, reading)

    def set_limit(self, lease_id: str, limit_w: float) -> Reading:
        """Set the limit for this lease, and read back what is in force.

        Raises:
            BadInput: outside the board's range.
            NoPermission: power control is off, the board is another process's, or rights are missing.
            LeaseRefused: another lease holds it at a different limit.
        """
        with self._lock:
            entry = self._tenants[lease_id]
            self._claims.check(entry, limit_w)
            self._note_power()
            self._claims.set(entry, limit_w)
            self._note_power()
            return self._read(entry)

    def read(self, lease_id: str) -> Reading:
        """Energy, time and limit now; of an ended lease, as they were at its end."""
        with self._lock:
            return self._tenants.ended.get(lease_id) or self._read(self._tenants[lease_id])

    def release(self, lease_id: str) -> Reading:
        """End a lease. Ending it again, or one that never was, changes nothing.

        Raises:
            DeviceError: the limit could not be given back; the journal keeps what is owed.
        """
        with self._lock:
            if lease_id not in self._tenants:
                return self._tenants.ended.get(lease_id, NO_READING)
            reading, edge = self._last_reading(self._tenants[lease_id])
            self._tenants.leave(lease_id, edge, reading)
            self._claims.let_go()
            return reading

    def reap(self) -> list[str]:
        """End the leases whose process is gone. Returns their ids."""
        with self._lock:
            dead = [entry.lease_id for entry in self._tenants if not entry.holder.alive()]
            for lease_id in dead:
                log.warning("zeus-ray: the process of lease %s is gone: giving its board back", lease_id)
                try:
                    self.release(lease_id)
                except DeviceError:
                    log.exception(
                        "zeus-ray: %s keeps a limit of ours; its journal says which", self._gpu.uuid
                    )
            return dead

    def sample(self) -> None:
        """Take one point of the power timeline. A board that does not answer just now gives none."""
        if self.idle:
            return
        try:
            self._learn()
            with self._lock:
                self._note_power()
                forgets = self._meter.integrates or self._tenants.priced
                if forgets and self._gpu.now_s() - self._claims.noted_s > SETTLE_EVERY_S:
                    self._tenants.settle(self._meter.read())
                    self._claims.note()
        except DeviceError as error:  # the next look is needed all the same
            log.debug("zeus-ray: nothing was sampled: %s", error)

    def power_trace(self, lease_id: str) -> list[tuple[float, float, float]]:
        """(time_s since the lease began, power_w, enforced limit_w), thinned as it grows."""
        with self._lock:
            return self._timeline.since(self._tenants[lease_id].origin_s)

    def status(self) -> Status:
        """The limit in force, and the energy of every trial that holds the board: for dashboards."""
        with self._lock:
            edge = self._meter.read()
            return Status(
                uuid=self._gpu.uuid,
                power_limit_w=self._gpu.enforced_limit_w(),
                energy_j=tuple((e.holder.trial_id, self._tenants.energy_j(e, edge)) for e in self._tenants),
            )

    def train(self, lease_id: str, samples: int, batch_size: int) -> Reading:
        """Put ``samples`` of work on a virtual board."""
        with self._lock:
            self._virtual.train(samples, batch_size)
            return self._worked(lease_id)

    def load(self, lease_id: str, wall_s: float) -> Reading:
        """Put ``wall_s`` of full load on a virtual board."""
        with self._lock:
            self._virtual.load(wall_s)
            return self._worked(lease_id)

    def time_per_sample_s(self, batch_size: int) -> float:
        """Seconds per sample of a virtual board at the limit in force."""
        with self._lock:
            return self._virtual.time_per_sample_s(batch_size)

    def close(self) -> None:
        """End every lease, give back, let go of the board."""
        with self._lock:
            for entry in self._tenants:
                self.release(entry.lease_id)
            self._gpu.close()

    @property
    def _virtual(self) -> VirtualGpu:
        if not isinstance(self._gpu, VirtualGpu):
            raise NotSupported(f"{self._gpu.uuid} is real: time passes on it by itself")
        return self._gpu

    def _go_on(self) -> None:
        """Measure on for the leases of a process before this one."""
        for entry in self._tenants:
            self._meter.resume(entry.mark)
        self._learn()
        self._sampler.start()

    def _learn(self) -> None:
        """Watch the counter's rhythm, the lock free for those who read meanwhile."""
        seen = self._meter.watch()
        with self._lock:
            self._meter.learn(seen)

    def _read(self, entry: LeaseEntry, edge: EnergyReading | None = None) -> Reading:
        edge = edge or self._meter.read()
        if self._tenants.priced:  # what it costs depends on when it was drawn: charged while that is known
            self._tenants.settle(edge)
        return self._tenants.reading(entry.lease_id, edge, self._gpu.enforced_limit_w())

    def _last_reading(self, entry: LeaseEntry) -> tuple[Reading, EnergyReading | None]:
        try:
            edge = self._meter.read()
            return self._read(entry, edge), edge
        except DeviceError as error:
            log.warning("zeus-ray: no last reading for %s: %s", entry.lease_id, error)
            return NO_READING, None

    def _lease(self, entry: LeaseEntry, reading: Reading) -> Lease:
        return Lease.on(
            self._gpu,
            lease_id=entry.lease_id,
            found_limit_w=self._claims.found_w,
            why_not=self._claims.why_not(entry),
            reading=reading,
        )

    def _note_power(self) -> None:
        try:
            power_w = self._gpu.power_w()
            self._meter.sample(power_w)
            self._timeline.add((self._gpu.now_s(), power_w, self._gpu.enforced_limit_w()))
        except DeviceError as error:
            log.debug("zeus-ray: no power sample: %s", error)

    def _worked(self, lease_id: str) -> Reading:
        self._note_power()
        return self._read(self._tenants[lease_id])
