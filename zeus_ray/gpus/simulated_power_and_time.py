"""Models of simulated cards: power and time of a training job against batch size and power limit.

The job is one generic small vision model. With u the share of a step in which the card is busy, for
batches of b:

- time per sample, no cap:   t(b) = a + c / b     a: the card's own work; c: the fixed cost of a step
- busy share:                u(b) = a / t(b)
- power, no cap:             P(b) = idle + (peak − idle) · u(b)
- with a limit, x = limit / P(b): throughput falls to f(x), power to min(P, 0.95 · limit)

Sources:

- ``throughput`` f(x) of V100 and A40: fits to the NSDI'23 traces of Zeus (You et al., ml-energy/zeus,
  ``zeus_nsdi23/trace``). A100 and H100 are not in them; V100's curve stands in, as the
  other card with HBM. Below x = 0.4, where nothing is recorded, f falls linearly to 0 at idle power.
- 0.95: median share of a binding limit that the cards of these traces draw. The few watts by which a
  card overshoots its lowest limit are left out.
- limits: NVML's constraints of V100-PCIe, A40, A100-SXM and H100-SXM. Idle: about 32 W (V100),
  62 W (A100), 80 to 95 W (H100); A40's is set to V100's.
- ``peak_w``: a saturated card draws its maximum limit, an A40 0.8 of it: with its f(x) that puts the limit
  of least energy where the traces have it (0.58 of the maximum; V100 one half).
- a: V100 trains 100 samples/s (a ResNet-50 on 448-pixel images in single precision: 49 GFLOP per sample
  at a third of 15.7 TFLOP/s). Others in proportion to memory bandwidth, which bounds such models:
  900, 696, 2039 and 3350 GB/s by the vendor's data sheets.
- c: half speed at batches of 64, the geometric mean of t(b) fitted to the V100 traces at 250 W: 15
  samples (DeepSpeech2) and 273 (ShuffleNetV2, two optimizers).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from zeus_ray.errors import BadInput
from zeus_ray.gpus.protocol import LimitRange

ThroughputCurve = tuple[tuple[float, float], ...]
"""Points (x = limit / uncapped power, share of the uncapped throughput), ascending."""

V100_CURVE: ThroughputCurve = (
    (0.4, 0.53),
    (0.5, 0.67),
    (0.6, 0.73),
    (0.7, 0.84),
    (0.8, 0.90),
    (0.9, 0.94),
    (1.0, 1.0),
)
A40_CURVE: ThroughputCurve = (
    (0.4, 0.27),
    (0.5, 0.40),
    (0.6, 0.58),
    (0.7, 0.83),
    (0.8, 0.94),
    (0.9, 0.97),
    (1.0, 1.0),
)

BINDING_LIMIT_POWER_SHARE = 0.95
HALF_SPEED_BATCH = 64
V100_SAMPLES_PER_S = 100.0
V100_BANDWIDTH_GB_S = 900.0


@dataclass(frozen=True, kw_only=True)
class Card:
    """One model of card (W, GB/s). ``peak_w``: power without a limit, saturated."""

    name: str
    min_limit_w: float
    max_limit_w: float
    idle_w: float
    peak_w: float
    bandwidth_gb_s: float
    throughput: ThroughputCurve

    @property
    def range(self) -> LimitRange:
        """The power limits it accepts; the highest is the default."""
        return LimitRange(min_w=self.min_limit_w, max_w=self.max_limit_w, default_w=self.max_limit_w)

    @property
    def sample_s(self) -> float:
        """a: seconds of the card's own work per sample."""
        return V100_BANDWIDTH_GB_S / (self.bandwidth_gb_s * V100_SAMPLES_PER_S)


CARDS = {
    card.name: card
    for card in (
        Card(
            name="V100",
            min_limit_w=100,
            max_limit_w=250,
            idle_w=32,
            peak_w=250,
            bandwidth_gb_s=900,
            throughput=V100_CURVE,
        ),
        Card(
            name="A40",
            min_limit_w=100,
            max_limit_w=300,
            idle_w=32,
            peak_w=240,
            bandwidth_gb_s=696,
            throughput=A40_CURVE,
        ),
        Card(
            name="A100",
            min_limit_w=100,
            max_limit_w=400,
            idle_w=62,
            peak_w=400,
            bandwidth_gb_s=2039,
            throughput=V100_CURVE,
        ),
        Card(
            name="H100",
            min_limit_w=200,
            max_limit_w=700,
            idle_w=88,
            peak_w=700,
            bandwidth_gb_s=3350,
            throughput=V100_CURVE,
        ),
    )
}


def card(name: str) -> Card:
    """The card of that name. Raises BadInput, which lists the cards there are."""
    if name not in CARDS:
        raise BadInput(f"no simulated card {name!r}; allowed: {', '.join(CARDS)}")
    return CARDS[name]


def busy_share(batch_size: int) -> float:
    """u(b): the share of a step in which the card works, 0 to 1."""
    return batch_size / (batch_size + HALF_SPEED_BATCH)


def uncapped_power_w(card: Card, batch_size: int) -> float:
    """P(b): power at batches of this size where no limit binds (W)."""
    return card.idle_w + (card.peak_w - card.idle_w) * busy_share(batch_size)


def throughput_share(card: Card, limit_w: float, uncapped_w: float) -> float:
    """f(x): samples per second as a share of those without a limit, 0 to 1."""
    x = limit_w / uncapped_w
    points = ((card.idle_w / uncapped_w, 0.0), *card.throughput)
    for (low_x, low), (high_x, high) in pairwise(points):
        if x < high_x:
            return low + (high - low) * (x - low_x) / (high_x - low_x)
    return 1.0


def power_w(limit_w: float, uncapped_w: float) -> float:
    """Power under a limit while the card works (W)."""
    return min(uncapped_w, BINDING_LIMIT_POWER_SHARE * limit_w)


def time_per_sample_s(card: Card, batch_size: int, limit_w: float) -> float:
    """Seconds per sample under a limit: t(b) / f(x)."""
    uncapped_s = card.sample_s / busy_share(batch_size)
    return uncapped_s / throughput_share(card, limit_w, uncapped_power_w(card, batch_size))
