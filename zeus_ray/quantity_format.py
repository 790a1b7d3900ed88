"""Quantities and times as text: three digits and a unit, "–" where unknown (NaN); ISO 8601 times."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

UNKNOWN = "–"
JOULES_PER_WH = 3600.0
J_PER_KWH = 3.6e6
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
WEEK_S = 7 * DAY_S
TIME_UNITS = ((86_400.0, "days"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"))
ENERGY_UNITS = ((1e9, "GJ"), (1e6, "MJ"), (1e3, "kJ"), (1.0, "J"))
COST_UNITS = tuple((size, f"{unit}-eq") for size, unit in ENERGY_UNITS)
"""Cost weighs energy against time (Zeus, Eq. 2): joule-equivalents, as no such joules are used."""


@dataclass(frozen=True)
class Scale:
    """One unit for a whole column or axis: ``size`` is how many J or s it has, ``unit`` its name."""

    size: float
    unit: str

    def text(self, value: float) -> str:
        """The value (J or s) in this unit, without the unit's name."""
        return three_digits(value / self.size)

    def span(self, low: float, high: float) -> str:
        """From one value to another, with the unit's name: "24.5 to 49.3 kJ"."""
        return f"{self.text(low)} to {self.text(high)} {self.unit}"


def energy_scale(joules: Iterable[float]) -> Scale:
    """The unit for these energies (J), by the largest."""
    return _scale(joules, ENERGY_UNITS, 1.0)


def cost_scale(costs_j: Iterable[float]) -> Scale:
    """The unit for these costs (J-eq), by the largest."""
    return _scale(costs_j, COST_UNITS, 1.0)


def time_scale(times_s: Iterable[float]) -> Scale:
    """The unit for these times (s), by the largest."""
    return _scale(times_s, TIME_UNITS, 2.0)


def energy(joules: float) -> str:
    """An energy (J) as J, kJ, MJ or GJ: "48.9 kJ"."""
    return _with_unit(joules, energy_scale([joules]))


def joule_equivalents(cost_j: float) -> str:
    """A cost (J-eq) of energy and time: "48.9 kJ-eq"."""
    return _with_unit(cost_j, cost_scale([cost_j]))


def watt_hours(joules: float) -> str:
    """An energy (J) as Wh, kWh or MWh: "238 Wh"."""
    sizes = ((1e6, "MWh"), (1e3, "kWh"), (1.0, "Wh"))
    scale = _scale([joules / JOULES_PER_WH], sizes, 1.0)
    return _with_unit(joules / JOULES_PER_WH, scale)


def power(watts: float) -> str:
    """A power (W) without decimals: "150 W"."""
    return UNKNOWN if math.isnan(watts) else f"{watts:.0f} W"


def seconds(time_s: float) -> str:
    """A time (s) as s, min, h or days: "2.50 min"."""
    return _with_unit(time_s, time_scale([time_s]))


def percent(share: float) -> str:
    """A share as a percentage without sign: 0.123 is "12.3 %"; "unknown" for NaN."""
    return "unknown" if math.isnan(share) else f"{abs(share) * 100:.1f} %"


def signed_percent(change: float) -> str:
    """A relative change with its sign: 0.123 is "+12.3 %", −0.123 is "−12.3 %"; "unknown" for NaN."""
    if math.isnan(change):
        return "unknown"
    text = f"{abs(change) * 100:.1f} %"
    return text if text == "0.0 %" else f"{'−' if change < 0 else '+'}{text}"


def grams(grams_co2e: float) -> str:
    """Emissions (g CO2 equivalent) as mg, g, kg or t: "120 g CO2e"."""
    sizes = ((1e6, "t"), (1e3, "kg"), (1.0, "g"), (1e-3, "mg"))
    scale = _scale([grams_co2e], sizes, 1.0)
    return UNKNOWN if math.isnan(grams_co2e) else f"{_with_unit(grams_co2e, scale)} CO2e"


def money(amount: float, currency: str) -> str:
    """An amount with its currency: "0.0123 EUR", "12.30 EUR"."""
    if math.isnan(amount):
        return UNKNOWN
    return f"{amount:,.2f} {currency}" if abs(amount) >= 1 else f"{amount:.3g} {currency}"


def less(share: float) -> str:
    """A share that was saved: 0.123 is "12.3 % less", −0.123 is "12.3 % more"."""
    return f"{percent(share)} {'less' if share >= 0 else 'more'}"


def counted(number: int, noun: str) -> str:
    """A number and a noun, in the plural unless it is one: "1 run", "2 runs"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def three_digits(value: float) -> str:
    """A number with three significant digits and no exponent."""
    if not math.isfinite(value):
        return UNKNOWN if math.isnan(value) else str(value)
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def parse_iso_time(text: str) -> datetime:
    """A time in ISO 8601, with "Z" for UTC too, which ``fromisoformat`` of Python 3.10 does not read.

    Raises:
        ValueError: ``text`` is no such time.
    """
    return datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text)


def _with_unit(value: float, scale: Scale) -> str:
    return UNKNOWN if math.isnan(value) else f"{scale.text(value)} {scale.unit}"


def _scale(values: Iterable[float], sizes: tuple[tuple[float, str], ...], from_: float) -> Scale:
    """The first unit of which the largest value is at least ``from_``, else the last."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    for size, unit in sizes:
        if largest >= from_ * size:
            return Scale(size, unit)
    return Scale(*sizes[-1])
