"""A simulated GPU on a clock of its own, so that hours of training cost no waiting."""

from __future__ import annotations

from typing_extensions import Self

from zeus_ray.gpus import card_models as cards
from zeus_ray.gpus.virtual_gpu import VirtualBoard
from zeus_ray.records import MeasuredBy


class SimulatedGpu(VirtualBoard):
    """A V100, A40, A100 or H100 that trains a generic vision model; see :mod:`zeus_ray.gpus.card_models`.

    Its numbers come from published fits, not from a measurement, and without noise: what a real run
    would scatter is the learning, which is real.

    Args:
        card: the kind of card.
        index: which of several such boards.
    """

    def __init__(self, card: cards.Card, *, index: int = 0) -> None:
        super().__init__(
            uuid=f"SIM-{card.name}-{index}",
            name=f"simulated {card.name}",
            limits=card.range,
            idle_w=card.idle_w,
        )
        self._card = card

    @classmethod
    def open(cls, name: str, index: int) -> Self:
        """The board of that card and number. Raises BadInput listing the cards there are."""
        return cls(cards.card(name), index=index)

    @property
    def measured_by(self) -> MeasuredBy:
        """A model, not a counter."""
        return MeasuredBy.SIMULATED

    def _sample(self, batch_size: int) -> tuple[float, float]:
        uncapped_w = cards.uncapped_power_w(self._card, batch_size)
        each_s = cards.time_per_sample_s(self._card, batch_size, self._limit_w)
        return each_s, cards.power_w(self._limit_w, uncapped_w)

    def _full_load(self) -> tuple[float, float]:
        peak_w = self._card.peak_w
        share = cards.throughput_share(self._card, self._limit_w, peak_w)
        return 1 / share, cards.power_w(self._limit_w, peak_w)
