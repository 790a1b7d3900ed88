"""``zeus.RecurringJob``: a job that is trained again and again, each run a step of one endless search."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from zeus_ray.carbon.objective_from_arguments import resolve_objective
from zeus_ray.errors import BadInput, DeviceError, NoDevice, TargetNotReached
from zeus_ray.gpus import discovery
from zeus_ray.jobs.job_search import STOPPED_EARLY, JobSearch
from zeus_ray.objective import Prices
from zeus_ray.records import Target, result_key
from zeus_ray.search.search import Search
from zeus_ray.store.event_log import open_job_log
from zeus_ray.store.warm_start import read_warm_start
from zeus_ray.training.frameworks import current_ranks, is_out_of_memory
from zeus_ray.training.session import open_session
from zeus_ray.training.training_run import TrainingRun
from zeus_ray.training.where_run_leases_and_reports import RunContext

if TYPE_CHECKING:
    from zeus_ray.carbon.series import Signal
    from zeus_ray.search.policies import Policy

DEFAULT_TRIES = 3
"""Runs until the job is done: all but the last may be stopped for their cost."""

Returned = TypeVar("Returned")


class RecurringJob(JobSearch):
    """A job that is trained again and again. Any number of its runs may be under way, on any machines.

    >>> job = zeus.RecurringJob("s3://bucket/zeus", job="resnet-nightly", batch_sizes=[64, 128, 256],
    ...                       default_batch_size=128, target=zeus.Target("accuracy", 0.95))
    >>> with job.run() as run: ...

    Each run asks the search what to try, and tells it how it ended, whatever happens. The search is read
    from the event log each time, so that batch sizes, target, objective and eta may change between runs.

    Args:
        history: a folder, or a URI that pyarrow knows (``s3://…``, ``gs://…``). Jobs may share one.
        job: the name of the job: letters, digits, '.', '_' and '-'.
        batch_sizes: what to choose from (samples per step, over all GPUs of a run); "auto": the default
            times powers of two, as far as they fit.
        default_batch_size: the one in use today.
        target: the metric, and the value that counts as trained; without a value: what the default reaches.
        objective: "energy", "carbon", "price" or a Prices, as for :class:`zeus_ray.ZeusSearcher`: a run's
            power limit is lower while energy is dirty or expensive; learning stays in joules and seconds.
        signal: of carbon or price, such as "uk" or "csv:PATH"; see :func:`zeus_ray.open_signal`. Given as
            a text, each result has ``zeus/carbon_g`` or ``zeus/price``.
        eta: 1 saves energy (or carbon, or money) alone, 0 time alone; None: 0.5, or 1 with ``max_slowdown``.
        power_limits_w: limits to consider (W per GPU); None: each GPU's own range.
        max_power_w: MAXPOWER of Eq. 2 (W per GPU); None: that of the first GPU.
        gpus: GPUs of one run.
        max_slowdown: consider only limits at most this many times as slow as the fastest one; without
            ``eta``, the least energy in at most that time. None: any.
        beta: a run is stopped before it costs beta times the cheapest.
        max_epochs: a run that has not reached the target by then has failed.
        policy: "zeus-ray", "nsdi23" for the published one, or an instance, of which each search gets a copy.
        exploration_budget: what the search may cost beyond running the default, in runs of the default, plus
            what it has saved; inf: no bound; None: the policy's own.
        horizon_runs: how many more runs to expect: what knowing better is worth.
        window: only the newest this many runs of a batch size count (nsdi23; None: all).
        accumulate: a batch size that does not fit in memory runs as micro-batches (``run.micro_batch_size``).
        seed: the same seed and the same event log give the same suggestions.
        points_to_evaluate: batch sizes to try first, in this order.
        warm_start: event logs to begin with: folders of jobs (``HISTORY/JOB``), or ``history`` of a
            ZeusSearcher. From another kind of GPU too: epochs carry over, profiles do not.

    Raises:
        BadInput: an argument that is not allowed, naming what is.
    """

    def __init__(
        self,
        history: str | os.PathLike[str],
        job: str,
        *,
        batch_sizes: Sequence[int] | Literal["auto"],
        default_batch_size: int,
        target: Target,
        objective: Literal["energy", "carbon", "price"] | Prices = "energy",
        signal: Signal | str | None = None,
        eta: float | None = None,
        power_limits_w: Sequence[float] | None = None,
        max_power_w: float | None = None,
        gpus: int = 1,
        max_slowdown: float | None = None,
        beta: float = 2.0,
        max_epochs: float = 100,
        policy: Literal["zeus-ray", "nsdi23"] | Policy = "zeus-ray",
        exploration_budget: float | None = None,
        horizon_runs: int = 50,
        window: int | None = None,
        accumulate: bool = False,
        seed: int = 0,
        points_to_evaluate: Sequence[int] = (),
        warm_start: Iterable[str | os.PathLike[str]] = (),
    ) -> None:
        if not isinstance(target, Target):
            raise BadInput(f"target is {target!r}; needed: Target(metric, value), or Target(metric)")
        priced, eta = resolve_objective(
            objective, signal, eta=eta, max_power_w=max_power_w, gpus=gpus, max_slowdown=max_slowdown
        )
        options = {
            "batch_sizes": batch_sizes,
            "default_batch_size": default_batch_size,
            "target": target,
            "eta": eta,
            "power_limits_w": power_limits_w,
            "max_power_w": max_power_w,
            "gpus": gpus,
            "max_slowdown": max_slowdown,
            "beta": beta,
            "max_epochs": max_epochs,
            "policy": policy,
            "exploration_budget": exploration_budget,
            "horizon_runs": horizon_runs,
            "window": window,
            "accumulate": accumulate,
            "seed": seed,
            "points_to_evaluate": points_to_evaluate,
        }
        super().__init__(
            open_job_log(history, job),
            job,
            partial(_new_search, options),
            gpus=gpus,
            objective=priced,
            warm_start=read_warm_start(warm_start, target),
        )

    @contextmanager
    def run(
        self, *, to_the_end: bool = False, window_s: float = 5.0, settle_s: float = 1.0
    ) -> Iterator[TrainingRun]:
        """Ask, open a session (see :func:`zeus_ray.session`), and tell at the end, however it ends.

        ``run.batch_size``, ``run.scale_lr``, ``run.steps`` and ``run.report`` are for the training loop;
        it ends when ``run.stop`` is set. If that is for its cost, the job is still to be done:
        :meth:`train` tries again by itself, and ``to_the_end`` runs without such stops.

        Raises:
            BadInput: this is one of several processes of a launcher, such as torchrun.
            Exception: whatever the body raises, after telling it; running out of memory too.
        """
        _refuse_one_of_several(self._gpus)
        plan = self.ask(_local_gpu_kind(self._gpus), to_the_end=to_the_end)
        run_id, began, failure = plan.knobs.run_id, False, None
        context = RunContext(run_type=partial(RecurringRun, self))
        try:
            with open_session(plan, context, gpus=self._gpus, window_s=window_s, settle_s=settle_s) as run:
                began = True
                try:
                    yield run
                except Exception as error:
                    failure = error  # which the session does not raise where memory was too small
                    raise
        except BaseException as error:
            if began and isinstance(error, Exception):
                self.tell(run_id, error=True)
            else:
                self.withdraw(run_id, f"{'interrupted' if began else 'never began'}: {error!r}")
            raise
        self.tell(run_id)
        if failure is not None:
            raise failure

    def train(
        self,
        function: Callable[[TrainingRun], Returned],
        *,
        tries: int = DEFAULT_TRIES,
        window_s: float = 5.0,
        settle_s: float = 1.0,
    ) -> Returned:
        """Call ``function(run)`` until a run was not stopped for its cost. Returns what the last call did.

        The last of ``tries`` is not stopped for its cost. Runs that do not fit in memory do not count as
        tries.

        Raises:
            TargetNotReached: no batch size fits in memory.
        """
        stopped = 0
        for _ in range(tries + len(self._recorder.search.batch_sizes)):
            try:
                with self.run(to_the_end=stopped >= tries - 1, window_s=window_s, settle_s=settle_s) as run:
                    returned = function(run)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                continue
            if run.stop not in STOPPED_EARLY:
                return returned
            stopped += 1
        raise TargetNotReached(
            f"{self.job}: no batch size of {list(self._recorder.search.batch_sizes)} fits in memory"
        )


class RecurringRun(TrainingRun):
    """A run whose results go to the search of its job, which may end it."""

    def __init__(self, job: RecurringJob, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 — TrainingRun's
        super().__init__(*arguments, **options)
        self._job = job

    def send(self, result: dict[str, Any], **options: Any) -> None:  # noqa: ANN401, ARG002 — as TrainingRun.send
        """Hand the result to the search, and stop the run if it says so."""
        stop = self._job.observe(self.plan.knobs.run_id, result)
        if self.stop is None and stop is not None:
            self.stop = stop
            result[result_key("stop_reason")] = stop.value


def _new_search(options: Mapping[str, Any]) -> Search:
    """A search that has seen nothing, with a policy of its own."""
    return Search(**{**options, "policy": copy.deepcopy(options["policy"])}, recurring=True)


def _refuse_one_of_several(gpus: int) -> None:
    """Each process would ask for a run of its own, and train another batch size."""
    ranks = current_ranks()
    if ranks is not None and ranks.world_size > 1 and (ranks.rank or gpus == 1):
        raise BadInput(
            f"this is process {ranks.rank} of {ranks.world_size}, and a RecurringJob is one process: start "
            "the launcher within it, as in zeus-ray job run --gpus 8 … -- torchrun train.py --batch-size "
            "{batch_size}; "
            "or open it in rank 0 alone, with gpus= all GPUs of the machine"
        )


def _local_gpu_kind(count: int) -> str:
    """The kind of GPU that a run in this process would be on; "" without one that answers."""
    try:
        source = discovery.gpu_source()
        gpus = discovery.open_gpus(source)
    except NoDevice:
        return ""
    try:
        visible = discovery.visible_gpus(source, os.environ, gpus, count)
        return " + ".join(dict.fromkeys(gpu.name for gpu in visible))
    except DeviceError:
        return ""
    finally:
        for gpu in gpus:
            gpu.close()
