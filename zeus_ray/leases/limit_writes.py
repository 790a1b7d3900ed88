"""Writes of a power limit to a GPU: with retries, and read back. A driver's "OK" alone proves nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from zeus_ray.errors import BadInput, DeviceError, DeviceLost, NoPermission, NotSupported
from zeus_ray.gpus.protocol import Gpu

SET_LIMIT_ATTEMPTS = 4
SET_LIMIT_PAUSE_S = 0.02
READ_BACK_WITHIN_S = 0.1
"""How long a driver or daemon may take until a limit that it has accepted can be read back."""
SAME_LIMIT_W = 0.6
"""Limits closer than this are equal: drivers round to whole watts."""
ROUNDED_W = 5.0
"""A driver may round a limit by less than this (W)."""

logger = logging.getLogger("zeus_ray")


def same_limit(a_w: float, b_w: float) -> bool:
    """Whether two limits are the same to a driver."""
    return abs(a_w - b_w) < SAME_LIMIT_W


def set_limit_with_retries(gpu: Gpu, limit_w: float) -> float:
    """Set a limit and read it back, up to ``SET_LIMIT_ATTEMPTS`` times without a lasting cause.

    Returns:
        The limit that the GPU reports now: ``limit_w``, or what the driver has rounded it to.

    Raises:
        BadInput, NoPermission, NotSupported, DeviceLost: at once.
        DeviceError: the driver's last error, or it has accepted the limit and does not have it.
    """
    for attempts_left in reversed(range(SET_LIMIT_ATTEMPTS)):
        try:
            before_w = gpu.power_limit_w()
            gpu.set_power_limit_w(limit_w)
            return _read_back(gpu, limit_w, before_w)
        except (BadInput, NoPermission, NotSupported, DeviceLost):
            raise
        except DeviceError:
            if not attempts_left:
                raise
            time.sleep(SET_LIMIT_PAUSE_S)
    raise AssertionError


def _read_back(gpu: Gpu, limit_w: float, before_w: float) -> float:
    until_s = time.monotonic() + READ_BACK_WITHIN_S
    while True:
        read_w = gpu.power_limit_w()
        rounded = abs(read_w - limit_w) < ROUNDED_W and not same_limit(read_w, before_w)
        if rounded or same_limit(read_w, limit_w):
            return read_w
        if time.monotonic() >= until_s:
            raise DeviceError(
                f"{gpu.uuid} has accepted {limit_w:g} W, and reports {read_w:g} W: it was not set"
            )
        time.sleep(SET_LIMIT_PAUSE_S)


def restore_original_limit(gpu: Gpu, original_w: float, our_limits_w: Sequence[float]) -> bool:
    """Set ``original_w`` if the GPU is at one of ``our_limits_w``. Any other limit was set by someone else.

    Returns:
        Whether a limit was written. The GPU is at the original limit, or at someone else's.

    Raises:
        DeviceError: the GPU does not answer, or is still at our limit.
    """
    now_w = gpu.power_limit_w()
    if same_limit(now_w, original_w):
        return False
    if not any(same_limit(now_w, limit_w) for limit_w in our_limits_w):
        logger.warning("zeus-ray: %s is at %g W, which zeus-ray did not set: left alone", gpu.uuid, now_w)
        return False
    set_limit_with_retries(gpu, original_w)
    return True
