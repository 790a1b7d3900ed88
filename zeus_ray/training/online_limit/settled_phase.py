"""A settled run: the limit to hold from record to record, and when to look closer at a load that is known.

All decisions are changes of the ``ControllerState``, which the
processes of a job have in common by deciding alike.
"""

from __future__ import annotations

from zeus_ray.training.online_limit.choose_next_limit import LimitChoice
from zeus_ray.training.online_limit.load_change_detector import ChangeTest
from zeus_ray.training.online_limit.profiling_phase import LimitProfiling

REFINING_WORTH_S = 0.36
"""A closer look at a known load must be expected to save the cost of this many seconds from then on."""


class SettledLimit:
    """Follows the best limit by what is known, within ``max_slowdown``; begins closer looks and new profiles.

    Args:
        choice: chooses among the limits, and has the state.
        profiling: of the same run.
    """

    def __init__(self, choice: LimitChoice, profiling: LimitProfiling) -> None:
        self._choice = choice
        self._profiling = profiling

    def follow(self) -> None:
        """Hold the best limit by what is known now; with ``max_slowdown`` that changes with the time left."""
        self._hold(self._choice.best())

    def refine(self) -> None:
        """Follow; look closer where the time so far makes that worth it."""
        state = self._choice.state
        if state.shared:
            self._leave_shares_if_behind()
        if self._choice.eta == 0 or state.shared:
            return
        if self._choice.budget is not None:
            self.follow()
        if not self._profiling.affordable():
            return
        probe = self._closer_look()
        if probe is None or probe == state.pending:
            self.follow()
            return
        state.phase, state.pending = "profile", probe
        state.windows_in_profile = state.tries = 0

    def _closer_look(self) -> int | None:
        """The limit that is worth a window now, the one that may save most first."""
        state = self._choice.state
        horizon_s = max(self._choice.settings.expected_s - state.elapsed_s, state.elapsed_s)
        worth = REFINING_WORTH_S / horizon_s
        probe = self._choice.next_probe(worth)
        if probe is None:
            probe = self._choice.second_look(worth)
        return self._choice.neighbour_to_check() if probe is None else probe

    def profile_or_wait(self) -> None:
        """Profile again, once affordable; until then ``max_slowdown`` is kept by the highest limit."""
        if self._profiling.affordable():
            self._profiling.start()
        elif self._choice.budget is not None:
            self._hold(self._choice.top)

    def wait_within_slowdown(self) -> None:
        """While records cannot be used: a run that is behind ``max_slowdown`` holds the highest limit."""
        budget = self._choice.budget
        if budget is not None and budget.left_s < 0 and not self._choice.state.shared:
            self._hold(self._choice.top)

    def _leave_shares_if_behind(self) -> None:
        """Limits by stage do not change with the time left: a run that is behind gives them up."""
        budget = self._choice.budget
        if budget is not None and budget.is_broken:
            self._hold(self._choice.top)

    def _hold(self, k: int) -> None:
        """Hold this limit on all stages; what was suspected of another one's records does not count."""
        state = self._choice.state
        if k != state.pending or state.shared:
            state.pending, state.shared = k, ()
            state.time_test, state.power_test = ChangeTest(), ChangeTest()
