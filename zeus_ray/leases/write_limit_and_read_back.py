"""Writes of a power limit to a GPU: with retries, and read back. A driver's "OK" alone proves nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from zeus_ray.errors import BadInput, DeviceError, DeviceLost, NoAnswer, NoPermission, NotSupported
from zeus_ray.gpus.protocol import Gpu

SET_LIMIT_ATTEMPTS = 4
SET_LIMIT_PAUSE_S = 0.02
READ_BACK_WITHIN_S = 0.1
"""How long a driver or daemon may take until a limit that it has accepted can be read back."""
READINGS_THAT_AGREE, READINGS_AT_MOST = 3, 9
"""A driver may give a wrong limit now and then."""
DONE_WITHIN_S = 1.0
"""A daemon that answers again has done by then what it was asked before."""
SAME_LIMIT_W = 0.6
"""Limits closer than this are equal: drivers round to whole watts."""
ROUNDED_W = 5.0
"""A driver may round a limit by less than this (W)."""

logger = logging.getLogger("zeus_ray")


def same_limit(a_w: float, b_w: float) -> bool:
    """Whether two limits are the same to a driver."""
    return abs(a_w - b_w) < SAME_LIMIT_W


def read_limit(gpu: Gpu, known_w: Sequence[float] = ()) -> float:
    """The limit that the GPU has. One that is not ``known_w`` counts once three readings agree.

    Raises:
        DeviceError: the GPU does not answer, or gives another limit each time.
    """
    readings_w: list[float] = []
    for _ in range(READINGS_AT_MOST):
        read_w = gpu.power_limit_w()
        if any(same_limit(read_w, limit_w) for limit_w in known_w):
            return read_w
        readings_w.append(read_w)
        last_w = readings_w[-READINGS_THAT_AGREE:]
        if len(last_w) == READINGS_THAT_AGREE and all(same_limit(read_w, other_w) for other_w in last_w):
            return read_w
        time.sleep(SET_LIMIT_PAUSE_S)
    raise DeviceError(f"{gpu.uuid} gives another limit at each reading: {readings_w} W")


def set_limit_with_retries(gpu: Gpu, limit_w: float) -> float:
    """Set a limit and read it back, up to ``SET_LIMIT_ATTEMPTS`` times without a lasting cause.

    Returns:
        The limit that the GPU reports now: ``limit_w``, or what the driver has rounded it to.

    Raises:
        BadInput, NoPermission, NotSupported, DeviceLost, NoAnswer: at once.
        DeviceError: the driver's last error, or it has accepted the limit and does not have it.
    """
    for attempts_left in reversed(range(SET_LIMIT_ATTEMPTS)):
        try:
            before_w = gpu.power_limit_w()
            gpu.set_power_limit_w(limit_w)
            return _read_back(gpu, limit_w, before_w)
        except (BadInput, NoPermission, NotSupported, DeviceLost, NoAnswer):
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

    A daemon may still set one of ours for a process that has ended or given up waiting. So where it sets
    limits, the original one is written in any case, after all that it was asked before.

    Returns:
        Whether a limit was written. The GPU is at the original limit, or at someone else's.

    Raises:
        DeviceError: the GPU does not answer, or is still at our limit.
    """
    late = getattr(gpu, "sets_late", False)
    now_w = read_limit(gpu, our_limits_w)
    restored = same_limit(now_w, original_w)
    if restored and not late:
        return False
    if not restored and not any(same_limit(now_w, limit_w) for limit_w in our_limits_w):
        logger.warning("zeus-ray: %s is at %g W, which zeus-ray did not set: left alone", gpu.uuid, now_w)
        return False
    try:
        set_limit_with_retries(gpu, original_w)
    except (NoPermission, NotSupported):
        if restored:  # no daemon is there: it does nothing later
            return False
        raise
    if late:
        time.sleep(DONE_WITHIN_S)
        now_w = read_limit(gpu, [original_w, *our_limits_w])
        if not same_limit(now_w, original_w):
            raise DeviceError(f"{gpu.uuid} was set to {now_w:g} W after its original limit, by a late daemon")
    return not restored
