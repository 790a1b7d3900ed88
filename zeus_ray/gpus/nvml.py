"""NVIDIA boards through NVML. The only file that knows pynvml: milliwatts and millijoules end here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pynvml
from typing_extensions import Self

from zeus_ray.errors import DeviceError, DeviceLost, NoDevice, NoPermission, NotSupported
from zeus_ray.gpus.protocol import LimitRange
from zeus_ray.records import MeasuredBy

ERRORS: dict[int, type[DeviceError]] = {
    pynvml.NVML_ERROR_NO_PERMISSION: NoPermission,
    pynvml.NVML_ERROR_NOT_SUPPORTED: NotSupported,
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: NotSupported,
    pynvml.NVML_ERROR_GPU_IS_LOST: DeviceLost,
    pynvml.NVML_ERROR_RESET_REQUIRED: DeviceLost,
    pynvml.NVML_ERROR_UNINITIALIZED: DeviceLost,
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: NoDevice,
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: NoDevice,
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: NoDevice,
    pynvml.NVML_ERROR_NOT_FOUND: NoDevice,
    pynvml.NVML_ERROR_GPU_NOT_FOUND: NoDevice,
    pynvml.NVML_ERROR_INVALID_ARGUMENT: NoDevice,
}
"""Whatever else NVML answers (a timeout, an unknown error) is a plain DeviceError: it may pass."""


@contextmanager
def _asking(what: str) -> Iterator[None]:
    """Map NVML's errors to ours, saying ``what`` was asked."""
    try:
        yield
    except pynvml.NVMLError as error:
        kind = ERRORS.get(error.value, DeviceError)
        raise kind(f"{what}: NVML says {error}") from error


class NvmlGpu:
    """One NVIDIA board. Reading needs no rights; setting a limit needs root or SYS_ADMIN.

    Raises:
        NoDevice: no driver here, or no such board.
    """

    def __init__(self, uuid: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.uuid = uuid
        self.now_s = clock
        with _asking(f"opening {uuid}"):
            pynvml.nvmlInit()
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
            self.name = _text(pynvml.nvmlDeviceGetName(self._handle))
            self.index = int(pynvml.nvmlDeviceGetIndex(self._handle))
        self.mig = self._has_mig()
        self.range = self._limit_range()
        self.measured_by = self._energy_source()

    @classmethod
    def open(cls, index: int) -> Self:
        """The board with NVML's index (PCI order, which need not be CUDA's)."""
        with _asking(f"opening GPU {index}"):
            pynvml.nvmlInit()
            try:
                handle = pynvml.nvmlDeviceGetHandleByIndex(index)
                return cls(_text(pynvml.nvmlDeviceGetUUID(handle)))
            finally:
                pynvml.nvmlShutdown()

    def power_limit_w(self) -> float:
        """The limit that is set."""
        return self._watts("reading the limit", pynvml.nvmlDeviceGetPowerManagementLimit)

    def enforced_limit_w(self) -> float:
        """The limit in force: the lowest of the one set, the board's own and the system's."""
        return self._watts("reading the enforced limit", pynvml.nvmlDeviceGetEnforcedPowerLimit)

    def set_power_limit_w(self, limit_w: float) -> None:
        """Set a limit. Outside the board's range nothing is written: BadInput."""
        if self.mig:
            raise NotSupported(f"{self.uuid} is cut into MIG slices: a limit would hold for all of them")
        limit_mw = round(self.range.check(limit_w) * 1000)
        with _asking(f"setting {limit_w:g} W on {self.uuid}"):
            pynvml.nvmlDeviceSetPowerManagementLimit(self._handle, limit_mw)

    def power_w(self) -> float:
        """Power drawn now (on Ampere and newer, except GA100, NVML's average over a second)."""
        return self._watts("reading power", pynvml.nvmlDeviceGetPowerUsage)

    def energy_j(self) -> float:
        """Joules since the driver was loaded, refreshed about every 100 ms."""
        with _asking(f"reading energy of {self.uuid}"):
            return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1000

    def persistent(self) -> bool:
        """Whether the driver stays when nobody uses the board; else it forgets its limit then."""
        with _asking(f"reading the persistence mode of {self.uuid}"):
            return bool(pynvml.nvmlDeviceGetPersistenceMode(self._handle))

    def close(self) -> None:
        """Let go of NVML; it counts who has opened it."""
        with _asking(f"closing {self.uuid}"):
            pynvml.nvmlShutdown()

    def _watts(self, what: str, function: Callable[[Any], int]) -> float:
        with _asking(f"{what} of {self.uuid}"):
            return float(function(self._handle)) / 1000

    def _has_mig(self) -> bool:
        try:
            with _asking("reading the MIG mode"):
                current, _pending = pynvml.nvmlDeviceGetMigMode(self._handle)
                return bool(current)
        except NotSupported:
            return False

    def _limit_range(self) -> LimitRange:
        with _asking(f"reading the limits of {self.uuid}"):
            low, high = pynvml.nvmlDeviceGetPowerManagementLimitConstraints(self._handle)
            default = pynvml.nvmlDeviceGetPowerManagementDefaultLimit(self._handle)
        return LimitRange(min_w=low / 1000, max_w=high / 1000, default_w=default / 1000)

    def _energy_source(self) -> MeasuredBy:
        try:
            self.energy_j()
        except NotSupported:
            return MeasuredBy.POWER_INTEGRAL
        return MeasuredBy.COUNTER


def count() -> int:
    """How many boards the driver knows, lost ones among them. Raises NoDevice where NVML does not answer."""
    with _asking("looking for GPUs"):
        pynvml.nvmlInit()
        try:
            return int(pynvml.nvmlDeviceGetCount())
        finally:
            pynvml.nvmlShutdown()


def uuids() -> list[str]:
    """UUIDs of the boards that answer, in NVML's order. Raises NoDevice where NVML does not."""
    found: list[str] = []
    for index in range(count()):
        try:
            board = NvmlGpu.open(index)
        except DeviceLost:
            continue
        found.append(board.uuid)
        board.close()
    return found


def board_of_slice(mig_uuid: str) -> str:
    """UUID of the board that a MIG slice is cut from."""
    with _asking(f"looking for {mig_uuid}"):
        pynvml.nvmlInit()
        try:
            handle = pynvml.nvmlDeviceGetHandleByUUID(mig_uuid)
            board = pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle)
            return _text(pynvml.nvmlDeviceGetUUID(board))
        finally:
            pynvml.nvmlShutdown()


def driver_version() -> str:
    """The driver's version, such as ``580.95.05``."""
    with _asking("reading the driver version"):
        pynvml.nvmlInit()
        try:
            return _text(pynvml.nvmlSystemGetDriverVersion())
        finally:
            pynvml.nvmlShutdown()


def _text(value: str | bytes) -> str:
    """NVML's strings: older bindings give bytes."""
    return value.decode() if isinstance(value, bytes) else value
