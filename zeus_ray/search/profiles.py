"""Power profiles by kind of GPU and batch size: what one epoch costs at each limit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from zeus_ray.records import PowerProfile
from zeus_ray.search.power_limit import measured_points


class Profiles:
    """All profiles so far. A later measurement at the same limit replaces the earlier one."""

    def __init__(self, known: Iterable[PowerProfile] = ()) -> None:
        self._known: dict[tuple[str, int], PowerProfile] = {}
        self.last_gpu = ""
        self.version = 0
        """Incremented with each profile, for caches of what is computed from them."""
        for profile in known:
            self.add(profile)

    def add(self, new: PowerProfile) -> bool:
        """Merge a profile. Returns whether it had a usable point."""
        points = {point.power_limit_w: point for point in measured_points(new)}
        if not points:
            return False
        key = (new.gpu, new.batch_size)
        old = self._known.get(key)
        merged = {**({p.power_limit_w: p for p in old.points} if old else {}), **points}
        by_limit = tuple(merged[limit_w] for limit_w in sorted(merged, reverse=True))
        self.last_gpu = new.gpu
        if old is None or old.points != by_limit:
            self._known[key] = dataclasses.replace(new, points=by_limit)
            self.version += 1
        return True

    def all(self) -> tuple[PowerProfile, ...]:
        """Every profile, one per kind of GPU and batch size."""
        return tuple(self._known.values())

    def kinds(self) -> tuple[str, ...]:
        """The kinds of GPU profiled so far."""
        return tuple(dict.fromkeys(gpu for gpu, _size in self._known))

    def get(self, batch_size: int, gpu: str = "") -> PowerProfile | None:
        """The profile on ``gpu``; "" for the kind that was profiled last."""
        return self._known.get((gpu or self.last_gpu, batch_size))

    def of(self, gpu: str = "") -> list[PowerProfile]:
        """All profiles of one kind of GPU, by batch size; "" for the kind that was profiled last."""
        kind = gpu or self.last_gpu
        return sorted((p for (g, _b), p in self._known.items() if g == kind), key=lambda p: p.batch_size)
