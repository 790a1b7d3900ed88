"""Writes of a power limit to a GPU: with retries; the original one only where the limit was not changed."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from zeus_ray.errors import BadInput, DeviceError, DeviceLost, NoPermission, NotSupported
from zeus_ray.gpus.protocol import Gpu

SET_LIMIT_ATTEMPTS = 4
SET_LIMIT_PAUSE_S = 0.02
SAME_LIMIT_W = 0.6
"""Limits closer than this are equal: drivers round to whole watts."""

logger = logging.getLogger("zeus_ray")


def same_limit(a_w: float, b_w: float) -> bool:
    """Whether two limits are the same to a driver."""
    return abs(a_w - b_w) < SAME_LIMIT_W


def set_limit_with_retries(gpu: Gpu, limit_w: float) -> None:
    """Set a limit, up to ``SET_LIMIT_ATTEMPTS`` times where the driver fails without a lasting cause.

    Raises:
        BadInput, NoPermission, NotSupported, DeviceLost: at once.
        DeviceError: the driver's last error.
    """
    for attempts_left in reversed(range(SET_LIMIT_ATTEMPTS)):
        try:
            gpu.set_power_limit_w(limit_w)
        except (BadInput, NoPermission, NotSupported, DeviceLost):
            raise
        except DeviceError:
            if not attempts_left:
                raise
            time.sleep(SET_LIMIT_PAUSE_S)
        else:
            return


def restore_original_limit(gpu: Gpu, original_w: float, our_limits_w: Sequence[float]) -> bool:
    """Set ``original_w`` if the GPU is at one of ``our_limits_w``. Any other limit was set by someone else.

    Returns:
        Whether a limit was written.
    """
    now_w = gpu.power_limit_w()
    if same_limit(now_w, original_w):
        return False
    if not any(same_limit(now_w, limit_w) for limit_w in our_limits_w):
        logger.warning("zeus-ray: %s is at %g W, which zeus-ray did not set: left alone", gpu.uuid, now_w)
        return False
    set_limit_with_retries(gpu, original_w)
    return True
