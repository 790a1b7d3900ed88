"""Zeus and Chase on Ray: train to your accuracy for the least energy, on the GPUs you have.

>>> import zeus_ray as zeus
>>> searcher = zeus.ZeusSearcher(target=zeus.Target("accuracy", 0.95), default_batch_size=128)

Nothing heavy is imported before it is used: neither Ray nor torch nor pynvml.
"""

from __future__ import annotations

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zeus_ray.carbon.open_signal import open_signal as open_signal
    from zeus_ray.errors import BadInput as BadInput
    from zeus_ray.errors import ZeusError as ZeusError
    from zeus_ray.jobs.recurring_job import RecurringJob as RecurringJob
    from zeus_ray.objective import Prices as Prices
    from zeus_ray.records import EmissionsConfig as EmissionsConfig
    from zeus_ray.records import Target as Target
    from zeus_ray.reporting.recommended_from_result import recommended as recommended
    from zeus_ray.reporting.show import show as show
    from zeus_ray.search.search import Search as Search
    from zeus_ray.training.session import session as session
    from zeus_ray.tune.metered_trainable import metered as metered
    from zeus_ray.tune.pause_trials_for_carbon import Elastic as Elastic
    from zeus_ray.tune.resources import resources as resources
    from zeus_ray.tune.scheduler import EnergyScheduler as EnergyScheduler
    from zeus_ray.tune.searcher import ZeusSearcher as ZeusSearcher
    from zeus_ray.tune.show_progress_callback import TrialReporter as TrialReporter
    from zeus_ray.tune.verify_final_metric import verify as verify

__version__ = metadata.version("zeus-ray")

_HOMES = {
    "Search": "zeus_ray.search.search",
    "Target": "zeus_ray.records",
    "EmissionsConfig": "zeus_ray.records",
    "Elastic": "zeus_ray.tune.pause_trials_for_carbon",
    "BadInput": "zeus_ray.errors",
    "ZeusError": "zeus_ray.errors",
    "ZeusSearcher": "zeus_ray.tune.searcher",
    "EnergyScheduler": "zeus_ray.tune.scheduler",
    "RecurringJob": "zeus_ray.jobs.recurring_job",
    "session": "zeus_ray.training.session",
    "metered": "zeus_ray.tune.metered_trainable",
    "resources": "zeus_ray.tune.resources",
    "TrialReporter": "zeus_ray.tune.show_progress_callback",
    "verify": "zeus_ray.tune.verify_final_metric",
    "recommended": "zeus_ray.reporting.recommended_from_result",
    "show": "zeus_ray.reporting.show",
    "Prices": "zeus_ray.objective",
    "open_signal": "zeus_ray.carbon.open_signal",
}
__all__ = ["__version__", *_HOMES]  # noqa: PLE0604 — the keys are strings


def __getattr__(name: str) -> Any:  # noqa: ANN401 — as many types as names
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'zeus_ray' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names, for completion."""
    return list(__all__)
