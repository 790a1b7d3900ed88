"""NVIDIA GPUs through NVML. The only file that knows pynvml: milliwatts and millijoules end here."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import pynvml

from zeus_ray.errors import BadInput, DeviceError, DeviceLost, NoDevice, NoPermission, NotSupported
from zeus_ray.gpus.ask_driver_with_deadline import ask_driver
from zeus_ray.gpus.protocol import Gpu, GpuSource, LimitRange
from zeus_ray.gpus.uuids_in_cuda_order import cuda_uuids
from zeus_ray.records import MeasuredBy

NVML_ERRORS: dict[int, type[DeviceError]] = {
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
"""Every other NVML error (a timeout, an unknown error) is a plain DeviceError: it may be temporary."""
POWER_AT_MOST = 2.0
"""In units of its highest limit: no GPU draws more, so a higher reading is a wrong one."""
UNKNOWN_NAME = "GPU of an unknown name"
"""The name of a GPU whose driver gives one that is no text."""


@contextmanager
def _asking(what: str) -> Iterator[None]:
    """Raise NVML's errors as DeviceErrors whose message begins with ``what``."""
    try:
        yield
    except pynvml.NVMLError as error:
        kind = NVML_ERRORS.get(error.value, DeviceError)
        raise kind(f"{what}: NVML says {error}") from error
    except UnicodeDecodeError as error:
        raise DeviceError(f"{what}: NVML's answer is no text") from error


@contextmanager
def _nvml(what: str) -> Iterator[None]:
    """NVML opened for one question about the machine; errors as in :func:`_asking`."""
    with _asking(what):
        pynvml.nvmlInit()
        try:
            yield
        finally:
            pynvml.nvmlShutdown()


class NvmlGpu:
    """One NVIDIA GPU. Reading needs no rights; setting a limit needs root or SYS_ADMIN.

    Raises:
        NoDevice: there is no driver here, or no such GPU.
    """

    source = "nvml"
    limit_setter = "NVML"

    def __init__(self, uuid: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.uuid = uuid
        self.now_s = clock
        with _asking(f"opening {uuid}"):
            pynvml.nvmlInit()
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
            self.name = self._product_name()
            self.index = int(pynvml.nvmlDeviceGetIndex(self._handle))
        self.partitioned = self._has_mig_slices()
        self.range = self._limit_range()
        self.measured_by = self._energy_source()

    def power_limit_w(self) -> float:
        """The limit that is set."""
        return self._watts("reading the limit", pynvml.nvmlDeviceGetPowerManagementLimit)

    def enforced_limit_w(self) -> float:
        """The limit in force: the lowest of the one that is set, the GPU's own and the system's."""
        return self._watts("reading the enforced limit", pynvml.nvmlDeviceGetEnforcedPowerLimit)

    def set_power_limit_w(self, limit_w: float) -> None:
        """Set a limit; see :class:`Gpu`."""
        if self.partitioned:
            raise NotSupported(f"{self.uuid} is cut into MIG slices: a limit would apply to all of them")
        limit_mw = round(self.range.check(limit_w) * 1000)
        with _asking(f"setting {limit_w:g} W on {self.uuid}"):
            pynvml.nvmlDeviceSetPowerManagementLimit(self._handle, limit_mw)

    def power_w(self) -> float:
        """Power drawn now (on Ampere and newer, except GA100, NVML's average over a second)."""
        power_w = self._watts("reading power", pynvml.nvmlDeviceGetPowerUsage)
        if power_w > POWER_AT_MOST * self.range.max_w:
            raise DeviceError(f"reading power of {self.uuid}: {power_w:g} W is more than it can draw")
        return power_w

    def energy_j(self) -> float:
        """Joules since the driver was loaded, refreshed about every 100 ms."""
        with _asking(f"reading energy of {self.uuid}"):
            return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1000

    def persistent(self) -> bool:
        """Whether persistence mode is on: without it an idle driver is unloaded, and the limit is lost."""
        with _asking(f"reading the persistence mode of {self.uuid}"):
            return bool(pynvml.nvmlDeviceGetPersistenceMode(self._handle))

    def close(self) -> None:
        """Shut NVML down once; it counts how often it was opened."""
        with _asking(f"closing {self.uuid}"):
            pynvml.nvmlShutdown()

    def _product_name(self) -> str:
        try:
            return _text(pynvml.nvmlDeviceGetName(self._handle))
        except UnicodeDecodeError:  # by the binding
            return UNKNOWN_NAME

    def _watts(self, what: str, function: Callable[[Any], int]) -> float:
        with _asking(f"{what} of {self.uuid}"):
            return float(function(self._handle)) / 1000

    def _has_mig_slices(self) -> bool:
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


class NvmlSource(GpuSource):
    """All GPUs that NVML lists, lost ones among them, in NVML's order (PCI, which need not be CUDA's)."""

    visible_variable = "CUDA_VISIBLE_DEVICES"

    def __init__(self, options: str = "") -> None:
        if options:
            raise BadInput(f"ZEUS_RAY_GPU is 'nvml:{options}'; allowed: nvml, without options")

    def count(self) -> int:
        """How many GPUs NVML lists. Raises NoDevice where NVML does not answer."""
        return ask_driver("looking for GPUs", _count)

    def uuid(self, index: int) -> str:
        """UUID of the GPU with NVML's ``index``. Raises NoDevice, DeviceLost."""
        with _nvml(f"looking for GPU {index}"):
            return _text(pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetHandleByIndex(index)))

    def open(self, uuid: str) -> Gpu:
        """One GPU; zeusd sets its limit where this user may not and a daemon is named."""
        socket = os.environ.get("ZEUSD_SOCK_PATH")
        if not socket:
            return NvmlGpu(uuid)
        from zeus_ray.gpus.zeusd import Zeusd, ZeusdGpu  # noqa: PLC0415 — httpx only where it is used

        return ZeusdGpu(uuid, Zeusd(socket))

    def driver_version(self) -> str:
        """The driver's version, such as ``580.95.05``. Raises NoDevice where NVML does not answer."""
        return ask_driver("reading the driver version", _driver_version)

    def compute_order(self, uuids: Sequence[str]) -> list[str]:
        """``uuids`` in the order of CUDA's ordinals; in the given order where CUDA does not answer.

        A UUID that CUDA knows and NVML does not tell ("") takes its place among them.
        """
        ordered = cuda_uuids() if len(uuids) > 1 else []
        if not ordered or ("" not in uuids and not set(ordered) <= set(uuids)):
            return list(uuids)
        return ordered

    def parent_uuid(self, partition: str) -> str:
        """UUID of the GPU that the MIG slice is part of; "" if there is no such slice."""
        if not partition.startswith("MIG-"):
            return ""
        if partition.startswith("MIG-GPU-"):  # before driver 470: MIG-GPU-<uuid>/<gi>/<ci>
            return partition.removeprefix("MIG-").partition("/")[0]
        try:
            return ask_driver(f"looking for {partition}", partial(_parent_uuid, partition))
        except NoDevice:
            return ""


def _count() -> int:
    with _nvml("looking for GPUs"):
        return int(pynvml.nvmlDeviceGetCount())


def _driver_version() -> str:
    with _nvml("reading the driver version"):
        return _text(pynvml.nvmlSystemGetDriverVersion())


def _parent_uuid(partition: str) -> str:
    with _nvml(f"looking for {partition}"):
        slice_ = pynvml.nvmlDeviceGetHandleByUUID(partition)
        return _text(pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(slice_)))


def _text(value: str | bytes) -> str:
    """A string of NVML: older bindings return bytes."""
    return value.decode() if isinstance(value, bytes) else value
