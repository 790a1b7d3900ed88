"""``zeus.session``, the context manager of a training function: its plan, its GPUs, its run."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, Literal

from zeus_ray.carbon.objective_from_arguments import resolve_objective
from zeus_ray.carbon.series import Signal
from zeus_ray.errors import BadInput
from zeus_ray.records import OnlineOptions, Plan, Target
from zeus_ray.training.frameworks import current_ranks, imported_frameworks, is_out_of_memory
from zeus_ray.training.online_limit.kept_limit_profile import DEFAULT_HISTORY
from zeus_ray.training.plan_from_config_or_arguments import plan_from_config, without_reserved
from zeus_ray.training.run_of_one_rank import RankContext, rank_run
from zeus_ray.training.training_run import TrainingRun
from zeus_ray.training.where_run_leases_and_reports import RunContext, lease_or_none

logger = logging.getLogger("zeus_ray")

_open: set[tuple[int, str]] = set()
"""Process and context of the sessions that are open now; a forked child may open its own."""


def session(
    config: Mapping[str, Any] | None = None,
    *,
    batch_size: int | None = None,
    power_limit_w: float | None = None,
    power_limits_w: Sequence[float] | None = None,
    eta: float | None = None,
    target: Target | None = None,
    accumulate: int | None = None,
    max_slowdown: float | None = None,
    power_budget_w: float | None = None,
    objective: Literal["energy", "carbon", "price"] = "energy",
    signal: Signal | str | None = None,
    unit: Literal["steps", "samples", "tokens"] = "steps",
    job: str = "",
    history: str | os.PathLike[str] = DEFAULT_HISTORY,
    stage: int = 0,
    gpus: int = 1,
    window_s: float = 5.0,
    settle_s: float = 1.0,
) -> AbstractContextManager[TrainingRun]:
    """Lease this run's GPUs, set or find the power limit, measure energy; restore everything at the end.

    In a trial of Ray Tune the run reports to Tune; elsewhere, such as in a script or a notebook, it is a run
    of its own. Under :class:`ZeusSearcher` the config says everything; the arguments are for other searchers
    and for runs without a search. Such a run chooses its limit while it trains, and again when its load
    changes. In a job of several processes (torchrun, accelerate, Slurm, MPI) every process opens the session.

    Args:
        config: the trial's config: ``config["zeus"]`` is the search's plan, ``config["batch_size"]`` the
            batch size without one.
        batch_size: samples per step over all GPUs and processes; None: ``config["batch_size"]``. Under a
            search the search's counts: ``run.batch_size``.
        power_limit_w: run at this limit (W per GPU).
        power_limits_w: choose among these limits (W per GPU); () leaves the limit as it is. With neither of
            the two and no plan, the GPU's own range is chosen from.
        eta: weight of energy against time, 0 to 1 (Zeus, Eq. 2); None: 0.5, or 1 with ``max_slowdown``.
        target: the metric value that counts as trained; reaching it sets ``run.stop``.
        accumulate: micro-batches per optimizer step, where the script accumulates gradients itself: it gives
            its loader ``run.micro_batch_size``, and steps the optimizer where ``run.step_ends``.
        max_slowdown: at most this many times the time at the highest limit, profiling included; without
            ``eta``, the least energy in it. None: any.
        power_budget_w: the most that the limits of all GPUs of the run may add up to (W).
        objective: "carbon" or "price" with a ``signal``: the limit is lower while a joule costs more than on
            average, and the results say what the energy emitted or cost.
        signal: as :func:`zeus_ray.open_signal` takes it, such as "uk" or "csv:prices.csv".
        unit: what the results count: ``zeus/energy_per_unit_j`` and the power profile are per step, sample or
            token.
        job: name under which the power profile is kept; a later run of that name on the same kind of GPU
            goes on at its limit.
        history: folder or URI in which jobs are kept.
        stage: the pipeline stage of this process, from 0.
        gpus: GPUs to lease in this process where neither Ray nor CUDA_VISIBLE_DEVICES says.
        window_s: seconds measured per probed limit, at least.
        settle_s: seconds discarded after each change of limit.

    Raises:
        BadInput: no batch size, a limit outside the GPU's range, a trial without GPU on a node with GPUs,
            arguments that do not go together, or a session that is open here already.
        LeaseRefused: another trial holds the GPU at another limit.
    """
    priced, _eta = resolve_objective(objective, signal, eta=eta, max_power_w=None, gpus=gpus)
    plan = plan_from_config(
        config or {},
        batch_size=batch_size,
        power_limit_w=power_limit_w,
        power_limits_w=power_limits_w,
        eta=eta,
        target=target,
        accumulate=accumulate,
        max_slowdown=max_slowdown,
        emissions=priced.emissions,
        online=OnlineOptions(
            unit=unit, power_budget_w=power_budget_w, stage=stage, job=job, history=os.fspath(history)
        ),
    )
    context = current_context()
    return open_session(plan, context, config=config, gpus=gpus, window_s=window_s, settle_s=settle_s)


def current_context() -> RunContext:
    """Where a run of this process takes place, as the imported frameworks and the environment know."""
    found = (framework.context() for framework in imported_frameworks())
    context = next((context for context in found if context is not None), None)
    if context is not None:
        return context
    ranks = current_ranks()
    return RunContext() if ranks is None else RankContext(ranks=ranks, run_type=partial(rank_run, ranks))


@contextmanager
def open_session(
    plan: Plan,
    context: RunContext,
    *,
    config: Mapping[str, Any] | None = None,
    gpus: int = 1,
    window_s: float = 5.0,
    settle_s: float = 1.0,
) -> Iterator[TrainingRun]:
    """:func:`session` for a known plan and context."""
    with _only_session(context.name):
        group = lease_or_none(context.lease, plan, gpus)
        try:
            group.measure_cpus()
            run = context.run_type(
                plan, group, attempts=context.attempts(), window_s=window_s, settle_s=settle_s
            )
            run.config = without_reserved(config or {})
            run.begin(from_checkpoint=context.from_checkpoint)
            run.warn_once(run.note)
            try:
                yield run
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                logger.warning("zeus-ray: batch size %d does not fit: %s", run.batch_size, error)
                run.out_of_memory(error)
            finally:
                for note in (run.unfinished, run.advice):
                    run.warn_once(note)
                run.store_power_trace()
            context.completed()
        finally:
            group.release()


@contextmanager
def _only_session(name: str) -> Iterator[None]:
    """Raise BadInput where one is open: both would book the same energy, and set limits of one GPU."""
    mine = os.getpid(), name
    if mine in _open:
        raise BadInput(
            "a session is open here already, and another one would count the same energy again: use the run "
            "of the first. A function that opens a session itself needs no zeus_ray.metered"
        )
    _open.add(mine)
    try:
        yield
    finally:
        _open.discard(mine)
