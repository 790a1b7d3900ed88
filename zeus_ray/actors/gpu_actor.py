"""One Ray actor per GPU: it alone sets the limit, measures, and gives back what it found.

It lives on the board's node, outlives the trial that asked for it first, and leaves when idle. The
trial's lease ends with the trial however that ends: the actor watches the trial's process.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import ray

from zeus_ray.actors.gpu_metrics import GpuMetrics
from zeus_ray.actors.signal_actor import open_shared_signal
from zeus_ray.gpus import discovery as discover
from zeus_ray.leases.carbon_aware_limit import CarbonAwareLeaseManager

LOOK_EVERY_S = 0.25
METRICS_EVERY_S = 5.0
LEAVE_AFTER_IDLE_S = 60.0

log = logging.getLogger("zeus_ray")


class GpuActor:
    """A board's :class:`CarbonAwareLeaseManager` behind Ray. All its methods are reached through ``call``."""

    def __init__(self, source: str, uuid: str) -> None:
        self._keeper = CarbonAwareLeaseManager(discover.open_board(source, uuid), opener=open_shared_signal)
        self._uuid = uuid
        self._myself = ray.get_runtime_context().current_actor
        self._busy_at_s = time.monotonic()
        self._ended = threading.Event()
        threading.Thread(target=self._watch, name="zeus-ray-watch", daemon=True).start()

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 — CarbonAwareLeaseManager's own types
        """Call a method of the CarbonAwareLeaseManager; its errors come back as they are."""
        self._busy_at_s = time.monotonic()
        return getattr(self._keeper, method)(*arguments, **options)

    @ray.method(max_task_retries=0)  # type: ignore[untyped-decorator]  # it ends itself: doing that again would create it again
    def leave_if_idle(self) -> None:
        """End this actor for good, unless somebody has come meanwhile. It can be created again."""
        if self._idle():
            self._ended.set()
            self._keeper.close()
            ray.actor.exit_actor()

    def _idle(self) -> bool:
        return self._keeper.idle and time.monotonic() - self._busy_at_s > LEAVE_AFTER_IDLE_S

    def _watch(self) -> None:
        """Until this actor ends: look after the leases, now and then tell Ray's metrics."""
        metrics, told_at_s = GpuMetrics(), 0.0
        while not self._ended.wait(LOOK_EVERY_S):
            try:
                self._keeper.reap()
                self._keeper.look()
                if time.monotonic() - told_at_s > METRICS_EVERY_S:
                    told_at_s = time.monotonic()
                    metrics.update(self._keeper.status())
                if self._idle():
                    # From here, not from this thread: exit_actor works only inside an actor's task.
                    self._myself.leave_if_idle.remote()
            except Exception:
                # Whatever a board or Ray answers just now, the next look is needed: the guard outside Ray
                # leaves a board alone while its actor lives.
                log.exception("zeus-ray: looking after %s", self._uuid)
