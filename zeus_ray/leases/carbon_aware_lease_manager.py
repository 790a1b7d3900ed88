"""A lease manager whose power limits follow the carbon intensity of the grid, without the training loop."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from zeus_ray.carbon.energy_pricer import EnergyPricer
from zeus_ray.carbon.forecasts.provider_forecast_or_from_history import forecast_signal
from zeus_ray.carbon.open_signal import open_signal
from zeus_ray.carbon.planning.chase import Chase
from zeus_ray.carbon.series import Signal
from zeus_ray.errors import BadInput, DeviceError, LeaseRefused, NoPermission
from zeus_ray.gpus.energy.readings import Reading
from zeus_ray.gpus.protocol import Gpu
from zeus_ray.leases.journal_record import LeaseEntry
from zeus_ray.leases.lease_manager_of_one_gpu import LeaseManager
from zeus_ray.quantity_format import DAY_S
from zeus_ray.records import EmissionsConfig, PowerProfile, from_json

MAX_INTENSITY_OVER_S = 28 * DAY_S
"""MAXCI of Chase: the highest intensity of the last four weeks and of the forecast."""

logger = logging.getLogger("zeus_ray")


@dataclass
class CarbonAwareLimit:
    """The limit of one lease. ``next_s``: when it is decided again, in the signal's time."""

    profile: PowerProfile
    emissions: EmissionsConfig
    signal: Signal
    next_s: float

    def limit_w(self, now_s: float) -> float:
        """The limit that Chase chooses for the interval that begins now (W)."""
        rule = Chase(eta=self.emissions.eta or 0.0, every_s=self.emissions.every_s)
        ahead = forecast_signal(self.signal, now_s, max(DAY_S, rule.every_s))
        expected = ahead.at(now_s) if len(ahead) else self.signal.at(now_s)
        past = self.signal.history(now_s - MAX_INTENSITY_OVER_S, now_s)
        seen = np.concatenate([past.values, ahead.values])
        highest = float(np.max(seen, where=np.isfinite(seen), initial=expected))
        return rule.limit_w(self.profile, expected, highest)


class CarbonAwareLeaseManager(LeaseManager):
    """A :class:`LeaseManager` that prices energy, and decides carbon-aware limits again every interval.

    ``look`` is called several times per interval by the owner of this object; before the interval is over
    it does nothing.

    Args:
        gpu: the GPU.
        opener: opens a signal by its text.
        wall: the wall clock.
        options: as for :class:`LeaseManager`.
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
        self._carbon_limits: dict[str, CarbonAwareLimit] = {}
        self._wall = wall
        super().__init__(gpu, price=self._pricer, wall=wall, **options)
        with self._lock:
            for entry in self._table:  # adopted from an earlier process
                self._follow_signal(entry)

    def follow(self, lease_id: str, profile: str) -> Reading:
        """Let this lease's limit follow its carbon signal from now on.

        Args:
            lease_id: its ``emissions`` say which signal, and whether to follow it.
            profile: JSON of the power profile of what it trains.
        """
        with self._lock:
            self._table.note_profile(lease_id, profile)  # journalled with the first limit
            self._follow_signal(self._table[lease_id])
        self.look()
        return self.read(lease_id)

    def sample(self) -> None:
        """Add a point to the power trace, and decide the limits that are due."""
        super().sample()
        self.look()

    def look(self) -> None:
        """Decide the limits whose interval is over."""
        due = []
        with self._lock:
            for lease_id, limit in list(self._carbon_limits.items()):
                now_s = limit.emissions.grid_s(self._wall())
                if lease_id not in self._table:
                    del self._carbon_limits[lease_id]
                elif now_s >= limit.next_s:
                    limit.next_s = now_s + limit.emissions.every_s
                    due.append((lease_id, limit, now_s))
        for lease_id, limit, now_s in due:  # without the lock: the signal may have to be fetched
            self._decide(lease_id, limit, now_s)

    def _follow_signal(self, entry: LeaseEntry) -> None:
        """Start to follow the signal for a lease with a profile, if its emissions ask for it."""
        if not entry.profile:
            return
        emissions, signal = self._pricer.opened(entry.emissions)
        if signal is not None and emissions.eta is not None:
            profile, now_s = from_json(PowerProfile, entry.profile), emissions.grid_s(self._wall())
            self._carbon_limits[entry.lease_id] = CarbonAwareLimit(profile, emissions, signal, now_s)

    def _decide(self, lease_id: str, limit: CarbonAwareLimit, now_s: float) -> None:
        """Set one limit. A lease that may not set limits follows no longer; others try again."""
        try:
            wanted_w = limit.limit_w(now_s)
            before_w, allowed = self._gpu.enforced_limit_w(), self._gpu.range
            limit_w = min(max(wanted_w, allowed.min_w), allowed.max_w)
            self.set_limit(lease_id, limit_w)
        except (BadInput, NoPermission, LeaseRefused) as error:
            logger.info("zeus-ray: the limit of %s does not follow the grid: %s", self._gpu.uuid, error)
            self._carbon_limits.pop(lease_id, None)
        except DeviceError as error:
            logger.warning("zeus-ray: %s kept its limit: %s", self._gpu.uuid, error)
        else:
            logger.info(
                "zeus-ray: %s %g W -> %g W at %.0f %s",
                self._gpu.uuid,
                before_w,
                limit_w,
                limit.signal.at(now_s),
                limit.signal.unit,
            )
