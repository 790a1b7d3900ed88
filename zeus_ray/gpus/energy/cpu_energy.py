"""Energy of the CPUs and their memory, from RAPL: the counters that Linux shows below /sys/class/powercap.

Since Linux 5.10 only root may read them (CVE-2020-8694); where they cannot be read, energy is NaN. It is
never added to the energy of GPUs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zeus_ray.records import NAN

POWERCAP = Path("/sys/class/powercap")
J_PER_UJ = 1e-6


@dataclass(frozen=True, kw_only=True)
class CpuEnergy:
    """Energy (J) since the meter began, of CPU packages and of DRAM; NaN where it cannot be read."""

    cpu_energy_j: float = NAN
    dram_energy_j: float = NAN


class CpuEnergyMeter:
    """Sums the counters of all packages, and those of DRAM. A counter that wraps is continued.

    A kind of which one counter cannot be read is NaN as a whole: the others alone would be too little.

    To be read every few minutes at least: a counter wraps after 2^32 µJ to 2^38 µJ.

    Args:
        root: where the kernel shows its power zones.
    """

    def __init__(self, root: Path = POWERCAP) -> None:
        self._counters: list[_Counter] = []
        self._unreadable: set[str] = set()
        for zone in sorted(root.glob("*:*")):
            kind = _kind(zone)
            try:
                if kind:
                    self._counters.append(_Counter(kind, zone))
            except (OSError, ValueError):
                self._unreadable.add(kind)

    def read(self) -> CpuEnergy:
        """Energy since the meter began. A counter that fails later makes its sum NaN from then on."""
        return CpuEnergy(cpu_energy_j=self._sum("package"), dram_energy_j=self._sum("dram"))

    @property
    def has_counters(self) -> bool:
        """Whether any counter can be read."""
        return bool(self._counters)

    def _sum(self, kind: str) -> float:
        if kind in self._unreadable:
            return NAN
        drawn_j = [counter.read_j() for counter in self._counters if counter.kind == kind]
        return sum(drawn_j) if drawn_j else NAN


class _Counter:
    """Raises OSError or ValueError where it cannot be read."""

    def __init__(self, kind: str, zone: Path) -> None:
        self.kind = kind
        self._file = zone / "energy_uj"
        self._range_uj = int((zone / "max_energy_range_uj").read_text()) + 1
        self._last_uj = int(self._file.read_text())
        self._drawn_j = 0.0

    def read_j(self) -> float:
        try:
            now_uj = int(self._file.read_text())
        except (OSError, ValueError):
            self._drawn_j = NAN
            return NAN
        self._drawn_j += (now_uj - self._last_uj) % self._range_uj * J_PER_UJ
        self._last_uj = now_uj
        return self._drawn_j


def _kind(zone: Path) -> str:
    """What a zone measures; "": a part of a CPU, more than the CPUs (psys), or what is shown twice (mmio)."""
    try:
        name = (zone / "name").read_text()
    except OSError:
        return ""
    return "" if "mmio" in zone.name else next((k for k in ("package", "dram") if name.startswith(k)), "")
