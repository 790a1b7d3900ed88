"""``zeus.metered(fn)``: power limit, energy and early stop for a training function that is not changed.

Ray Tune builds a class around a function trainable and puts the function's ``__mixins__`` in front of it.
The mixin of this file therefore sees every result, however it was reported: by ``tune.report``, by
``from ray.tune import report``, or as a returned dict. Class trainables take it as a base.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from zeus_ray.errors import BadInput
from zeus_ray.records import NAN, RESERVED, StopReason, read_carried, result_key
from zeus_ray.training.frameworks import is_out_of_memory
from zeus_ray.training.plan_from_config_or_arguments import (
    carried_settings,
    plan_from_config,
    without_reserved,
)
from zeus_ray.training.session import open_session
from zeus_ray.tune.run_in_tune_trial import TrialContext, TuneRun

if TYPE_CHECKING:  # the mixin stands in front of a Trainable, which it does not import
    from ray.tune import Trainable as Base
else:
    Base = object


class MeteredTrainable(Base):  # type: ignore[misc]  # Ray is not typed
    """Opens a session with the trial, adds the ``zeus/`` keys to every result, closes it at the end.

    Power limits are probed one per result. With ``reuse_actors`` one process serves many trials, each with a
    session of its own. The trainable never sees our entry of the config, which it may pass to a library that
    knows no such parameter.
    """

    _zeus_carried: Mapping[str, str] = {}
    config: dict[str, Any]
    _zeus_run: TuneRun
    _zeus_open: ExitStack
    _zeus_in_trainable = False
    """Whether the trainable's own code runs. What it calls on itself then, such as ``setup`` in its
    ``reset_config``, begins and ends no session."""

    def setup(self, config: dict[str, Any], **keywords: Any) -> None:  # noqa: ANN401 — of tune.with_parameters
        """A trial begins."""
        nested = self._zeus_in_trainable
        with self._zeus_hidden():
            super().setup(without_reserved(config), **keywords)
        if not nested:
            self._zeus_begin(config)

    def step(self) -> dict[str, Any]:
        """One result: the trial's own metrics and the ``zeus/`` keys."""
        with self._zeus_hidden():
            result = dict(super().step())
        self._zeus_run.stopped_by_tune = not result.get("done")
        if "__duplicate__" in result:  # Tune's sign that the function has returned
            return result
        if result.get(result_key("stop_reason")) == StopReason.OUT_OF_MEMORY:
            self._zeus_run.stop = StopReason.OUT_OF_MEMORY
        measured = self._zeus_run.measure(result)
        return {**measured, "done": True} if self._zeus_run.stop else measured

    def load_checkpoint(self, checkpoint: Any) -> None:  # noqa: ANN401 — Tune's own
        """The trial continues from a checkpoint, after it was paused or killed."""
        with self._zeus_hidden():
            super().load_checkpoint(checkpoint)
        self._zeus_run.begin(from_checkpoint=True)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """The process is reused for another trial."""
        if self._zeus_in_trainable:  # called by its own setup
            return bool(super().reset_config(new_config))
        self._zeus_open.close()
        with self._zeus_hidden():
            done = bool(super().reset_config(without_reserved(new_config)))
        if done:
            self._zeus_begin(new_config)
        return done

    def cleanup(self) -> None:
        """The trial ends, by itself or because it was stopped."""
        nested = self._zeus_in_trainable
        try:
            super().cleanup()
        finally:
            if not nested:
                self._zeus_open.close()

    @contextmanager
    def _zeus_hidden(self) -> Iterator[None]:
        """Our entry is not in ``self.config`` while the trainable's own code runs; Tune reports it after."""
        nested, self._zeus_in_trainable = self._zeus_in_trainable, True
        whole, self.config = self.config, without_reserved(self.config)
        try:
            yield
        finally:
            self.config, self._zeus_in_trainable = whole, nested

    def _zeus_begin(self, config: dict[str, Any]) -> None:
        config = {"batch_size": 1, RESERVED: self._zeus_carried, **config}
        plan = plan_from_config(config)
        if plan.knobs.accumulate > 1:
            raise BadInput(
                "accumulate=True needs a training function that uses zeus_ray.session and its "
                "run.micro_batch_size; zeus_ray.metered cannot divide the batches of an unchanged function"
            )
        context = TrialContext.of(self.trial_id, self._storage)
        self._zeus_open = ExitStack()
        run = self._zeus_open.enter_context(open_session(plan, context))
        assert isinstance(run, TuneRun)  # noqa: S101 — for the type checker: the context is a trial's
        self._zeus_run = run


def metered(trainable: Callable[..., Any]) -> Callable[..., Any]:
    """``trainable`` with its power limit set, its energy metered and its cost capped.

    Args:
        trainable: a function of a config that reports to Ray Tune, or a ``Trainable`` class.

    Raises:
        BadInput: a generator function, which Tune does not run under a wrapper, or no function at all.
    """
    if not callable(trainable):
        raise BadInput(
            f"metered was given {trainable!r}; allowed: a function or a Trainable class, not the name under "
            "which it is registered"
        )
    carried = {"_zeus_carried": carried_settings()}
    if inspect.isclass(trainable):
        return type(trainable.__name__, (MeteredTrainable, trainable), carried)
    if inspect.isgeneratorfunction(trainable):
        raise BadInput("a training function that yields cannot be metered: call tune.report instead of yield")

    @functools.wraps(trainable)
    def wrapped(config: dict[str, Any], **keywords: Any) -> Any:  # noqa: ANN401 — the user's
        try:
            return trainable(without_reserved(config), **keywords)
        except Exception as error:
            metric = _metric(config)
            if metric is None or not is_out_of_memory(error):
                raise
            return {metric: NAN, result_key("stop_reason"): StopReason.OUT_OF_MEMORY.value}

    wrapped.__mixins__ = (type("Meter", (MeteredTrainable,), carried),)  # type: ignore[attr-defined]
    return wrapped


def _metric(config: Mapping[str, Any]) -> str | None:
    """The metric that every result must hold, where the plan has a target."""
    target = read_carried(config).get("target")
    return str(target["metric"]) if target else None
