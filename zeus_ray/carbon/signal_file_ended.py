"""A warning where the file of a signal has ended: its last value holds for every hour since."""

from __future__ import annotations

import logging

from zeus_ray.carbon.constant_and_recorded_signal import RecordedSignal
from zeus_ray.carbon.planning.start_advice import local_time
from zeus_ray.carbon.series import Signal

logger = logging.getLogger("zeus_ray")


def warn_if_outdated(signal: Signal, name: str, now_s: float) -> bool:
    """Log a warning where ``signal`` is a file that ended before ``now_s``. Returns whether it is.

    Args:
        signal: of carbon intensity or price.
        name: as the user wrote it.
        now_s: the time in the signal (s since 1970).
    """
    if not isinstance(signal, RecordedSignal) or not signal.series.end_s < now_s:
        return False
    logger.warning(
        "zeus-ray: the file of the signal %s ended on %s, in the past: its last value, %.3g %s, holds for "
        "every hour since, so that emissions and prices are wrong, and no hour is cleaner or cheaper than "
        "another. Give a file that reaches beyond the end of the job, or a provider such as 'uk'",
        name,
        local_time(signal.series.end_s),
        signal.at(now_s),
        signal.unit,
    )
    return True
