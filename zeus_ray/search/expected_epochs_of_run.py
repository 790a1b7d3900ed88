"""How many epochs a run is expected to need, from what it has shown so far."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from zeus_ray.quantity_format import percent, three_digits
from zeus_ray.records import Estimate, Progress
from zeus_ray.search.models.cost_model import CostModel, references
from zeus_ray.search.models.learning_curve import Curve
from zeus_ray.search.state import SearchState


@dataclass(frozen=True, kw_only=True)
class ExpectedEpochs:
    """Epochs that a run needs to the target if it gets there, and the chance that it never does."""

    epochs: Estimate
    never: float

    @property
    def text(self) -> str:
        """For people."""
        return (
            f"expected then: the target after {self.epochs.text(three_digits)} epochs; chance of never: "
            f"{percent(self.never)}"
        )


def epochs_of_run(
    state: SearchState, model: CostModel | None, progress: Progress, curve: Curve
) -> ExpectedEpochs | None:
    """What is expected of a run now; None where nothing has reached the target, or its size is not known."""
    size = progress.knobs.batch_size
    if model is None or size not in model.sizes:
        return None
    compared = references(state, model.ranked()[0])
    probability, never = model.of_run(size, curve, progress.epoch, compared, state)
    now = math.log(max(progress.epoch, 1e-9))
    ahead = np.where(model.log_grid > now, probability, 0.0)
    ahead = ahead / ahead.sum() if ahead.sum() > 0 else probability
    below = np.cumsum(ahead)
    low, high = (math.exp(float(np.interp(share, below, model.log_grid))) for share in (0.05, 0.95))
    mean = math.exp(float(ahead @ model.log_grid))
    return ExpectedEpochs(epochs=Estimate(mean=mean, low=low, high=high), never=never)
