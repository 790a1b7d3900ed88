"""``zeus.RecurringJob``: a job that is trained again and again, each run a step of one endless search."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from zeus_ray.carbon.search_objective import resolve_objective
from zeus_ray.decide import Search
from zeus_ray.errors import BadInput, TargetNotReached
from zeus_ray.jobs.job_log import AGAIN, JobLog
from zeus_ray.jobs.lost_runs import gpu_here
from zeus_ray.objective import Prices
from zeus_ray.records import Target, result_key
from zeus_ray.store.event_log import Events, folder_at
from zeus_ray.store.warm_start import warm_start_runs
from zeus_ray.training.run import TrainingRun
from zeus_ray.tune.session import is_out_of_memory, open_session

if TYPE_CHECKING:
    from zeus_ray.carbon.series import Signal

TRIES = 3
"""So many runs make a recurrence: all but the last may be stopped for their cost."""

Answer = TypeVar("Answer")


class RecurringJob(JobLog):
    """One job that comes back. Any number of its runs may be under way, on any machines.

    >>> job = zeus.RecurringJob("s3://bucket/zeus", job="resnet-nightly", batch_sizes=[64, 128, 256],
    ...                       default_batch_size=128, target=zeus.Target("accuracy", 0.95))
    >>> with job.run() as run: ...

    Each run asks the history what to try, and tells it how it went, however it ended. The search is
    read from the history each time, so that batch sizes, target, objective and eta may change between runs.

    Args:
        history: a folder, or a URI that pyarrow knows (``s3://…``, ``gs://…``). Jobs may share one.
        job: the name of the job: letters, digits, '.', '_' and '-'.
        batch_sizes: what to choose from (samples per step, over all GPUs of a run); "auto": the default
            times powers of two, as far as they fit.
        default_batch_size: the one in use today.
        target: the metric, and the value that counts as trained; without a value: what the default reaches.
        objective: "energy", "carbon", "price" or a Prices, as for :class:`zeus_ray.ZeusSearcher`: a run's
            power limit is lower while energy is dirty or dear; learning stays in joules and seconds.
        signal: of carbon or price, such as "uk" or "csv:PATH"; see :func:`zeus_ray.open_signal`. Given as
            a text, each result has ``zeus/carbon_g`` or ``zeus/price``.
        eta: 1 saves energy (or carbon, or money) alone, 0 time alone; None: 0.5.
        power_limits_w: limits to consider (W per GPU); None: each board's own range.
        max_power_w: MAXPOWER of Eq. 2 (W per GPU); None: as the first board says.
        gpus: GPUs of one run.
        beta: a run is stopped before it costs beta times the cheapest.
        max_epochs: a run that has not reached the target by then has failed.
        policy: "zeus-ray", or "nsdi23" for the published one.
        horizon_runs: how many more runs to expect: what knowing better is worth.
        window: only the newest this many runs of a batch size count (nsdi23; None: all).
        accumulate: a batch size that does not fit in memory runs as micro-batches (``run.micro_batch_size``).
        seed: the same seed and the same history ask the same.
        points_to_evaluate: batch sizes to try first, in this order.
        warm_start: histories to begin with: folders of jobs, or ``history_file`` of a ZeusSearcher. From
            another kind of GPU too: epochs carry over, profiles do not.

    Raises:
        BadInput: an argument that cannot be, naming what is allowed.
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
        beta: float = 2.0,
        max_epochs: float = 100,
        policy: Literal["zeus-ray", "nsdi23"] = "zeus-ray",
        horizon_runs: int = 50,
        window: int | None = None,
        accumulate: bool = False,
        seed: int = 0,
        points_to_evaluate: Sequence[int] = (),
        warm_start: Iterable[str | os.PathLike[str]] = (),
    ) -> None:
        if not isinstance(target, Target):
            raise BadInput(f"target is {target!r}; needed: Target(metric, value), or Target(metric)")
        saves, eta = resolve_objective(objective, signal, eta=eta, max_power_w=max_power_w, gpus=gpus)
        given = locals()
        options = {name: given[name] for name in OPTIONS}
        super().__init__(
            Events(folder_at(history, job)),
            job,
            partial(Search, **options, recurring=True),
            gpus=gpus,
            objective=saves,
            warm_start=warm_start_runs(warm_start, target),
        )

    # --- a run -------------------------------------------------------------------------------------

    @contextmanager
    def run(
        self, *, to_the_end: bool = False, window_s: float = 5.0, settle_s: float = 1.0
    ) -> Iterator[TrainingRun]:
        """Ask, open a session (see :func:`zeus_ray.session`), and tell at the end, however it ends.

        ``run.batch_size``, ``run.scale_lr``, ``run.steps`` and ``run.report`` are the training loop's;
        it ends when ``run.stop`` is set. If that is for its cost, the job is still to be done:
        :meth:`train` tries again by itself, and ``to_the_end`` runs without such stops.

        Raises:
            whatever the body raises, after telling it; running out of memory too.
        """
        plan = self.ask(gpu_here(self._gpus), to_the_end=to_the_end)
        run_id, began, failure = plan.knobs.run_id, False, None
        kind = partial(JobRun, self)
        try:
            with open_session(
                plan, None, gpus=self._gpus, window_s=window_s, settle_s=settle_s, kind=kind
            ) as run:
                began = True
                try:
                    yield run
                except Exception as error:
                    failure = error  # which the session swallows where it is a lack of memory
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
        function: Callable[[TrainingRun], Answer],
        *,
        tries: int = TRIES,
        window_s: float = 5.0,
        settle_s: float = 1.0,
    ) -> Answer:
        """Call ``function(run)`` until a run was not stopped; the last of ``tries`` is not, at any cost.

        Returns what the last call returned. Runs that do not fit in memory do not count as tries.

        Raises:
            TargetNotReached: no batch size fits in memory.
        """
        stopped = 0
        for _ in range(tries + len(self._search.batch_sizes)):
            try:
                with self.run(to_the_end=stopped >= tries - 1, window_s=window_s, settle_s=settle_s) as run:
                    answer = function(run)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                continue
            if run.stop not in AGAIN:
                return answer
            stopped += 1
        raise TargetNotReached(
            f"{self.job}: no batch size of {list(self._search.batch_sizes)} fits in memory"
        )


OPTIONS = (
    "batch_sizes",
    "default_batch_size",
    "target",
    "eta",
    "power_limits_w",
    "max_power_w",
    "gpus",
    "beta",
    "max_epochs",
    "policy",
    "horizon_runs",
    "window",
    "accumulate",
    "seed",
    "points_to_evaluate",
)
"""Arguments of a RecurringJob that are its search's."""


class JobRun(TrainingRun):
    """A run whose results go to the history's search, which may end it."""

    def __init__(self, job: RecurringJob, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 — Run's
        super().__init__(*arguments, **options)
        self._job = job

    def send(self, result: dict[str, Any], **options: Any) -> None:  # noqa: ANN401, ARG002 — as TrainingRun.send
        """Let the search see the result, and stop the run if it says so."""
        verdict = self._job.observe(self.plan.knobs.run_id, result)
        if self.stop is None and verdict is not None:
            self.stop = verdict
            result[result_key("stop_reason")] = verdict.value
