"""A GPU that replays recorded traces: time and power of each epoch, per batch size and power limit.

The format is that of the Zeus NSDI'23 traces (ml-energy/zeus, ``zeus_nsdi23/trace``): a folder of
``summary_power_{gpu}.csv`` with the columns of :data:`REPLAY_COLUMNS`.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import parse_qsl

from typing_extensions import Self

from zeus_ray.errors import BadInput
from zeus_ray.gpus.protocol import LimitRange
from zeus_ray.gpus.virtual_gpu_base import VirtualGpu, VirtualSource
from zeus_ray.records import MeasuredBy

REPLAY_COLUMNS = (
    "dataset",
    "network",
    "batch_size",
    "optimizer",
    "power_limit",
    "time_per_epoch",
    "average_power",
)

RecordedEpoch = tuple[float, float, float]
"""(power_limit_w, time_per_epoch_s, average_power_w)"""
ReplayTrace = dict[int, list[RecordedEpoch]]
"""Recorded epochs per batch size, by ascending limit."""


@dataclass(frozen=True, kw_only=True)
class ReplayedJob:
    """Which recording to replay. A field that is "" takes the value of the first row that matches the others.

    ``samples``: samples per epoch, which the traces do not record (default: CIFAR-100's).
    """

    folder: str
    gpu: str = "v100"
    dataset: str = ""
    network: str = ""
    optimizer: str = ""
    samples: int = 50_000

    def __post_init__(self) -> None:
        """Raise BadInput for an epoch without samples."""
        if self.samples < 1:
            raise BadInput(f"samples per epoch is {self.samples!r}; at least 1 is needed")

    @property
    def file(self) -> Path:
        """The file with the recordings of this GPU."""
        return Path(self.folder) / f"summary_power_{self.gpu}.csv"


def parse_replay(spec: str) -> ReplayedJob:
    """Read ``DIR`` or ``DIR?gpu=v100&dataset=cifar100&optimizer=adadelta&samples=50000``.

    Raises:
        BadInput: an unknown option, or a number of samples that is not one.
    """
    folder, _, query = spec.partition("?")
    options: dict[str, str] = dict(parse_qsl(query, keep_blank_values=True))
    allowed = [field.name for field in fields(ReplayedJob) if field.name != "folder"]
    for name in options:
        if name not in allowed:
            raise BadInput(f"replay has no option {name!r}; allowed: {', '.join(allowed)}")
    samples = options.pop("samples", "50000")
    if not samples.isdecimal():
        raise BadInput(f"replay: samples is {samples!r}; a whole number of samples per epoch is needed")
    return ReplayedJob(folder=folder, samples=int(samples), **options)


class ReplayGpu(VirtualGpu):
    """The recorded GPU of one job; limits between recorded ones are interpolated.

    A batch size that was recorded at fewer limits than others keeps its outermost values beyond them.

    Args:
        job: which recording.
        index: which of several such GPUs.

    Raises:
        BadInput: a missing file, a malformed line (named by its number), or a job that is not recorded.
    """

    def __init__(self, job: ReplayedJob, *, index: int = 0) -> None:
        self._trace = read_trace(job)
        self._samples = job.samples
        limits_w = [limit_w for epochs in self._trace.values() for limit_w, _, _ in epochs]
        super().__init__(
            uuid=f"{_prefix(job)}-{index}",
            name=f"replayed {job.gpu}",
            limits=LimitRange(min_w=min(limits_w), max_w=max(limits_w), default_w=max(limits_w)),
            idle_w=min(power_w for epochs in self._trace.values() for _, _, power_w in epochs),
        )

    @classmethod
    def open(cls, spec: str, index: int) -> Self:
        """The GPU of a folder, with options as :func:`parse_replay` reads them."""
        return cls(parse_replay(spec), index=index)

    @property
    def measured_by(self) -> MeasuredBy:
        """A recording, not a counter."""
        return MeasuredBy.REPLAY

    def _sample(self, batch_size: int) -> tuple[float, float]:
        if batch_size not in self._trace:
            known = ", ".join(map(str, sorted(self._trace)))
            raise BadInput(f"batch size {batch_size} is not in the trace; recorded: {known}")
        epoch_s, power_w = interpolate(self._trace[batch_size], self._limit_w)
        return epoch_s / self._samples, power_w

    def _full_load(self) -> tuple[float, float]:
        highest_power = max(self._trace.values(), key=lambda epochs: epochs[-1][2])
        epoch_s, power_w = interpolate(highest_power, self._limit_w)
        return epoch_s / interpolate(highest_power, self._range.max_w)[0], power_w


class ReplaySource(VirtualSource):
    """GPUs that replay one recording: ``replay:DIR[?OPTIONS]``, see :func:`parse_replay`."""

    def __init__(self, options: str) -> None:
        if not options:
            raise BadInput("ZEUS_RAY_GPU is 'replay'; allowed: replay:DIR, a folder of recorded traces")
        self._job = parse_replay(options)
        super().__init__(_prefix(self._job))

    def make(self, index: int) -> ReplayGpu:
        """The GPU with this index, at its default limit."""
        return ReplayGpu(self._job, index=index)


def interpolate(epochs: list[RecordedEpoch], limit_w: float) -> tuple[float, float]:
    """(time_per_epoch_s, average_power_w) at a limit, linear between the recorded limits around it."""
    below = [epoch for epoch in epochs if epoch[0] <= limit_w]
    above = [epoch for epoch in epochs if epoch[0] >= limit_w]
    low, high = (below or above[:1])[-1], (above or below[-1:])[0]
    share = (limit_w - low[0]) / (high[0] - low[0]) if high[0] > low[0] else 0.0
    return low[1] + share * (high[1] - low[1]), low[2] + share * (high[2] - low[2])


def read_trace(job: ReplayedJob) -> ReplayTrace:
    """The recorded epochs of one job. Raises BadInput."""
    chosen: tuple[str, str, str] | None = None
    found: dict[int, dict[float, RecordedEpoch]] = {}
    jobs: set[str] = set()
    for line, row in _rows(job):
        name = (row["dataset"], row["network"], row["optimizer"])
        jobs.add("/".join(name))
        if chosen is None and _fits(job, row):
            chosen = name
        if name == chosen:
            batch_size, epoch = _epoch(row, f"{job.file}, line {line}")
            found.setdefault(batch_size, {})[epoch[0]] = epoch
    if not found:
        wanted = "/".join(part or "*" for part in (job.dataset, job.network, job.optimizer))
        raise BadInput(f"{job.file} records no {wanted}; recorded: {', '.join(sorted(jobs)) or 'nothing'}")
    return {batch_size: sorted(epochs.values()) for batch_size, epochs in found.items()}


def _rows(job: ReplayedJob) -> Iterator[tuple[int, Mapping[str, str]]]:
    try:
        text = job.file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        there = ", ".join(sorted(path.name for path in job.file.parent.glob("summary_power_*.csv")))
        raise BadInput(f"cannot read {job.file} ({error}); recordings there: {there or 'none'}") from error
    reader = csv.DictReader(text.splitlines())
    missing = [name for name in REPLAY_COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise BadInput(
            f"{job.file}, line 1: no column {', '.join(missing)}; needed: {', '.join(REPLAY_COLUMNS)}"
        )
    for row in reader:
        if None in row or None in row.values():
            raise BadInput(f"{job.file}, line {reader.line_num}: as many values as columns are needed")
        yield reader.line_num, row


def _prefix(job: ReplayedJob) -> str:
    """What the UUIDs of this job's GPUs begin with."""
    return f"REPLAY-{job.gpu}"


def _fits(job: ReplayedJob, row: Mapping[str, str]) -> bool:
    return all(getattr(job, name) in ("", row[name]) for name in ("dataset", "network", "optimizer"))


def _epoch(row: Mapping[str, str], where: str) -> tuple[int, RecordedEpoch]:
    batch_size = _positive(row, "batch_size", where)
    if batch_size != int(batch_size):
        raise BadInput(f"{where}: batch_size is {row['batch_size']!r}; a whole number is needed")
    names = ("power_limit", "time_per_epoch", "average_power")
    limit_w, epoch_s, power_w = (_positive(row, name, where) for name in names)
    return int(batch_size), (limit_w, epoch_s, power_w)


def _positive(row: Mapping[str, str], name: str, where: str) -> float:
    try:
        value = float(row[name])
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise BadInput(f"{where}: {name} is {row[name]!r}; a number above 0 is needed")
    return value
