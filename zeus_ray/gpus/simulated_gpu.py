"""A simulated GPU with a clock of its own: hours of training take no time."""

from __future__ import annotations

from typing_extensions import Self

from zeus_ray.gpus import simulated_power_and_time as cards
from zeus_ray.gpus.virtual_gpu_base import VirtualGpu, VirtualSource
from zeus_ray.records import MeasuredBy

DEFAULT_CARD = "V100"


class SimulatedGpu(VirtualGpu):
    """A V100, A40, A100 or H100 that trains a generic vision model; see ``simulated_power_and_time``.

    Its numbers come from published fits, not from a measurement, and have no noise.

    Args:
        card: the model of the card.
        index: which of several such GPUs.
    """

    def __init__(self, card: cards.Card, *, index: int = 0) -> None:
        super().__init__(
            uuid=f"{_prefix(card)}-{index}",
            name=f"simulated {card.name}",
            limits=card.range,
            idle_w=card.idle_w,
        )
        self._card = card

    @classmethod
    def open(cls, name: str, index: int) -> Self:
        """The GPU with that card and index. Raises BadInput, which lists the cards there are."""
        return cls(cards.card(name), index=index)

    @property
    def measured_by(self) -> MeasuredBy:
        """A model, not a counter."""
        return MeasuredBy.SIMULATED

    def _sample(self, batch_size: int) -> tuple[float, float]:
        uncapped_w = cards.uncapped_power_w(self._card, batch_size)
        sample_s = cards.time_per_sample_s(self._card, batch_size, self._limit_w)
        return sample_s, cards.power_w(self._limit_w, uncapped_w)

    def _full_load(self) -> tuple[float, float]:
        peak_w = self._card.peak_w
        share = cards.throughput_share(self._card, self._limit_w, peak_w)
        return 1 / share, cards.power_w(self._limit_w, peak_w)


class SimulatedSource(VirtualSource):
    """Simulated GPUs of one card: ``simulated[:CARD]``, a V100 by default."""

    def __init__(self, options: str = "") -> None:
        self._card = cards.card(options or DEFAULT_CARD)
        super().__init__(_prefix(self._card))

    def make(self, index: int) -> SimulatedGpu:
        """The GPU with this index, at its default limit."""
        return SimulatedGpu(self._card, index=index)


def _prefix(card: cards.Card) -> str:
    """What the UUIDs of GPUs with this card begin with."""
    return f"SIM-{card.name}"
