"""The frozen records that cross borders: search to its driver, driver to trial, trial to driver.

Units are in the names: ``_w`` watts, ``_j`` joules, ``_s`` seconds, ``_g`` grams of CO2 equivalent.
A number that is not known is NaN, never 0.
"""

from __future__ import annotations

from zeus_ray.records.exploration_account import Exploration, RunAccount
from zeus_ray.records.knobs_progress_outcome_best import (
    BASELINE,
    NAN,
    STOPPED_BY_SEARCH,
    VIRTUAL_ENERGY,
    Best,
    Estimate,
    Knobs,
    MeasuredBy,
    Measurement,
    Outcome,
    Progress,
    StopReason,
)
from zeus_ray.records.plan_given_to_trial import (
    GRAMS,
    RESERVED,
    EmissionsConfig,
    OnlineOptions,
    Plan,
    PlanText,
    read_carried,
)
from zeus_ray.records.power_profile import PowerProfile, ProfilePoint
from zeus_ray.records.read_metric import check_metric, read_metric
from zeus_ray.records.search_answer import (
    LEAST_ENERGY,
    MODELLED,
    NOTHING_LEFT,
    PROFILED,
    TIME_USED,
    TRAINED,
    TRIALS_USED,
    ExpectedCost,
    SearchAnswer,
    SearchGoal,
    TradeOff,
)
from zeus_ray.records.serialization import from_json, from_plain, to_json, to_plain
from zeus_ray.records.target import Target
from zeus_ray.records.trial_report import TrialReport, result_key

__all__ = [
    "BASELINE",
    "GRAMS",
    "LEAST_ENERGY",
    "MODELLED",
    "NAN",
    "NOTHING_LEFT",
    "PROFILED",
    "RESERVED",
    "STOPPED_BY_SEARCH",
    "TIME_USED",
    "TRAINED",
    "TRIALS_USED",
    "VIRTUAL_ENERGY",
    "Best",
    "EmissionsConfig",
    "Estimate",
    "ExpectedCost",
    "Exploration",
    "Knobs",
    "MeasuredBy",
    "Measurement",
    "OnlineOptions",
    "Outcome",
    "Plan",
    "PlanText",
    "PowerProfile",
    "ProfilePoint",
    "Progress",
    "RunAccount",
    "SearchAnswer",
    "SearchGoal",
    "StopReason",
    "Target",
    "TradeOff",
    "TrialReport",
    "check_metric",
    "from_json",
    "from_plain",
    "read_carried",
    "read_metric",
    "result_key",
    "to_json",
    "to_plain",
]
