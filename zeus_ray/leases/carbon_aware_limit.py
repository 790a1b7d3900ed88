"""A board's keeper that lets the power limit follow the grid, without the training loop's help."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from zeus_ray.carbon.emissions import EnergyPricer
from zeus_ray.carbon.forecasts.signal_forecast import forecast_signal
from zeus_ray.carbon.planning.chase import Chase
from zeus_ray.carbon.series import Signal
from zeus_ray.carbon.signal import open_signal
from zeus_ray.errors import BadInput, DeviceError, LeaseRefused, NoPermission
from zeus_ray.gpus.energy.readings import Reading
from zeus_ray.gpus.protocol import Gpu
from zeus_ray.leases.journal import LeaseEntry
from zeus_ray.leases.manager import LeaseManager
from zeus_ray.records import EmissionsConfig, PowerProfile, from_json
from zeus_ray.units import DAY_S

log = logging.getLogger("zeus_ray")


@dataclass
class CarbonAwareLimit:
    """One lease whose limit follows the grid. ``next_s``: when it is decided again, on the grid's clock."""

    profile: PowerProfile
    footprint: EmissionsConfig
    signal: Signal
    next_s: float

    def limit_w(self, now_s: float) -> float:
        """The rule's limit for the interval that begins now."""
        rule = Chase(eta=self.footprint.eta or 0.0, every_s=self.footprint.every_s)
        ahead = forecast_signal(self.signal, now_s, max(DAY_S, rule.every_s))
        expected = ahead.at(now_s) if len(ahead) else self.signal.at(now_s)
        # MAXCI: the dirtiest of the last four weeks and the next day.
        seen = np.concatenate([self.signal.history(now_s - 28 * DAY_S, now_s).values, ahead.values])
        highest = float(np.max(seen, where=np.isfinite(seen), initial=expected))
        return rule.limit_w(self.profile, expected, highest)


class CarbonAwareLeaseManager(LeaseManager):
    """A :class:`LeaseManager` that prices energy, and decides followers' limits again every interval.

    ``look`` is called now and then by whoever owns it; it does nothing until an interval is over, so a
    limit never changes more often than that.
    """

    def __init__(
        self,
        gpu: Gpu,
        *,
        opener: Callable[[str], Signal] = open_signal,
        wall: Callable[[], float] = time.time,
        **options: Any,  # noqa: ANN401 — LeaseManager's own
    ) -> None:
        self._pricer = EnergyPricer(opener)
        self._followers: dict[str, CarbonAwareLimit] = {}
        self._wall = wall
        super().__init__(gpu, price=self._pricer, wall=wall, **options)
        with self._lock:
            for entry in self._tenants:  # of a process before this one
                self._take_up(entry)

    def follow(self, lease_id: str, profile: str) -> Reading:
        """Let this lease's limit follow the grid from now on.

        Args:
            lease_id: its footprint says how.
            profile: JSON of the power profile of what it trains.
        """
        with self._lock:
            self._tenants.follow(lease_id, profile)  # journalled with the first limit
            self._take_up(self._tenants[lease_id])
        self.look()
        return self.read(lease_id)

    def _take_up(self, entry: LeaseEntry) -> None:
        """Follow the grid for a lease that has said by which profile, where its footprint asks for it."""
        if not entry.profile:
            return
        footprint, signal = self._pricer.opened(entry.footprint)
        if signal is not None and footprint.eta is not None:
            profile, now_s = from_json(PowerProfile, entry.profile), footprint.grid_s(self._wall())
            self._followers[entry.lease_id] = CarbonAwareLimit(profile, footprint, signal, now_s)

    def sample(self) -> None:
        """One point of the power timeline, and a look at the grid."""
        super().sample()
        self.look()

    def look(self) -> None:
        """Decide the limits whose interval is over."""
        due = []
        with self._lock:
            for lease_id, follower in list(self._followers.items()):
                now_s = follower.footprint.grid_s(self._wall())
                if lease_id not in self._tenants:
                    del self._followers[lease_id]
                elif now_s >= follower.next_s:
                    follower.next_s = now_s + follower.footprint.every_s
                    due.append((lease_id, follower, now_s))
        for lease_id, follower, now_s in due:  # the grid is asked with the lock free
            self._decide(lease_id, follower, now_s)

    def _decide(self, lease_id: str, follower: CarbonAwareLimit, now_s: float) -> None:
        """Set the limit of one follower. One that may not set limits follows no more; others try again."""
        try:
            wanted_w = follower.limit_w(now_s)
            before_w, allowed = self._gpu.enforced_limit_w(), self._gpu.range
            limit_w = min(max(wanted_w, allowed.min_w), allowed.max_w)
            self.set_limit(lease_id, limit_w)
        except (BadInput, NoPermission, LeaseRefused) as error:
            log.info("zeus-ray: the limit of %s does not follow the grid: %s", self._gpu.uuid, error)
            self._followers.pop(lease_id, None)
        except DeviceError as error:
            log.warning("zeus-ray: %s kept its limit: %s", self._gpu.uuid, error)
        else:
            log.info(
                "zeus-ray: %s %g W -> %g W at %.0f %s",
                self._gpu.uuid,
                before_w,
                limit_w,
                follower.signal.at(now_s),
                follower.signal.unit,
            )
