"""The frozen records that cross borders: search to anyone, driver to trial, trial to driver.

Units are in the names: ``_w`` watts, ``_j`` joules, ``_s`` seconds, ``_g`` grams of CO2 equivalent.
A number that is not known is NaN, never 0.
"""

from __future__ import annotations

from zeus_ray.records.search import (
    BASELINE,
    NAN,
    Best,
    Estimate,
    Knobs,
    MeasuredBy,
    Measurement,
    Outcome,
    PowerProfile,
    ProfilePoint,
    Progress,
    StopReason,
    Target,
)
from zeus_ray.records.trial import (
    GRAMS,
    RESERVED,
    Footprint,
    Plan,
    Report,
    key,
)

__all__ = [
    "BASELINE",
    "GRAMS",
    "NAN",
    "RESERVED",
    "Best",
    "Estimate",
    "Footprint",
    "Knobs",
    "MeasuredBy",
    "Measurement",
    "Outcome",
    "Plan",
    "PowerProfile",
    "ProfilePoint",
    "Progress",
    "Report",
    "StopReason",
    "Target",
    "key",
]
