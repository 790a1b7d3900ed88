"""Ray Tune's real controller, with the trials in the driver's process and no cluster: milliseconds a trial.

``tune.run`` itself is called; what it would ask of Ray's core is replaced: actors become objects, and a
call of one becomes an event that the next turn of the controller's loop handles.
"""

import collections
import contextlib
import os
import tempfile
from unittest import mock

import ray
from ray import tune
from ray.air.execution._internal.tracked_actor import TrackedActor
from ray.train._internal import storage
from ray.tune.analysis import ExperimentAnalysis
from ray.tune.execution import tune_controller
from ray.tune.experiment import Trial


class Events:
    def resolve_future(self, future):
        pass


class InProcessActors:
    """As ``RayActorManager``: what the controller asks of it. ``SLOTS`` actors live at a time."""

    SLOTS = 4

    def __init__(self, resource_manager=None):  # noqa: ARG002 — as Ray's
        self._actor_task_events = Events()
        self._live_actors_to_ray_actors_resources = {}
        self.waiting = collections.OrderedDict()
        self.tasks = collections.deque()
        self.failed = set()
        self.made = 0

    num_live_actors = property(lambda self: len(self._live_actors_to_ray_actors_resources))
    num_pending_actors = property(lambda self: len(self.waiting))
    num_total_actors = property(lambda self: self.num_live_actors + self.num_pending_actors)
    num_actor_tasks = property(lambda self: len(self.tasks))

    def get_live_actors_resources(self):
        return {}

    def add_actor(self, cls, *, resource_request, kwargs, on_start, on_stop, on_error):  # noqa: ARG002 — as Ray's
        self.made += 1
        actor = TrackedActor(self.made, on_start=on_start, on_stop=on_stop, on_error=on_error)
        self.waiting[actor] = (cls, kwargs)
        return actor

    def next(self, timeout=None):  # noqa: ARG002 — as Ray's
        """Start one actor, or do one task."""
        if self.waiting and self.num_live_actors < self.SLOTS:
            actor, (cls, kwargs) = self.waiting.popitem(last=False)
            self._live_actors_to_ray_actors_resources[actor] = (cls(**kwargs), None)
            actor._on_start(actor)
            return True
        if not self.tasks:
            return False
        actor, method, args, kwargs, on_result, on_error = self.tasks.popleft()
        made, _ = self._live_actors_to_ray_actors_resources[actor]
        try:
            result = getattr(made, method)(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 — whatever a trial raises
            on_error(actor, error)
        else:
            if on_result:
                on_result(actor, result)
        return True

    def schedule_actor_task(self, tracked_actor, method_name, *positional, _return_future=False, **named):
        """As Ray's; ``positional`` and ``named``: args, kwargs, on_result, on_error."""
        names = ("args", "kwargs", "on_result", "on_error")
        given = {**dict.fromkeys(names), **dict(zip(names, positional, strict=False)), **named}
        args, kwargs, on_result, on_error = (given[name] for name in names)
        if _return_future and not on_result:
            if tracked_actor in self._live_actors_to_ray_actors_resources:
                getattr(self._live_actors_to_ray_actors_resources[tracked_actor][0], method_name)()
            return object()
        self.tasks.append((tracked_actor, method_name, args or (), kwargs or {}, on_result, on_error))
        return object()

    def clear_actor_task_futures(self, tracked_actor):
        self.tasks = collections.deque(task for task in self.tasks if task[0] != tracked_actor)

    def remove_actor(self, tracked_actor, kill=False, stop_future=None):  # noqa: ARG002 — as Ray's
        if self.waiting.pop(tracked_actor, None) is not None:
            return False
        if self._live_actors_to_ray_actors_resources.pop(tracked_actor, None) is None:
            return False
        self.clear_actor_task_futures(tracked_actor)
        return False

    def is_actor_started(self, tracked_actor):
        return tracked_actor in self._live_actors_to_ray_actors_resources

    def is_actor_failed(self, tracked_actor):
        return tracked_actor in self.failed

    def cleanup(self):
        self.tasks.clear()


class ClassCache:
    """As Ray's, but the class itself is made, not an actor of it."""

    def get(self, trainable_cls):
        return trainable_cls


@contextlib.contextmanager
def in_this_process(gpus=0):
    """Within it, ``tune.run`` and ``Tuner.fit`` run everything here; the cluster seems to have ``gpus``."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(
            mock.patch.dict(
                os.environ,
                {
                    "TUNE_DISABLE_AUTO_INIT": "1",
                    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
                    "RAY_CHDIR_TO_TRIAL_DIR": "0",
                },
            )
        )
        stack.enter_context(mock.patch.object(tune_controller, "RayActorManager", InProcessActors))
        stack.enter_context(mock.patch.object(tune_controller, "_ActorClassCache", ClassCache))
        stack.enter_context(
            mock.patch.object(ray, "cluster_resources", return_value={"CPU": 4.0, "GPU": gpus})
        )
        stack.enter_context(mock.patch.object(Trial, "set_ray_actor", _set_actor))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(mock.patch.object(storage, "_get_ray_train_session_dir", return_value=folder))
        stack.enter_context(mock.patch("ray._common.usage.usage_lib.record_library_usage"))
        stack.enter_context(mock.patch("ray.tune.tune._setup_signal_catching", _never_interrupted))
        yield


def _set_actor(trial, actor):
    trial.temporary_state.ray_actor = actor
    if actor is not None:
        trial._default_result_or_future = actor.get_auto_filled_metrics(debug_metrics_only=True)


class _Never:
    def is_set(self):
        return False


def _never_interrupted():
    return _Never()


def run(trainable, tmp_path, **options):
    """``tune.run`` in this process; quiet, without log files unless asked for."""
    options = {
        "storage_path": str(tmp_path),
        "verbose": 0,
        "raise_on_failed_trial": False,
        "callbacks": [],
        **options,
    }
    gpus = options.pop("cluster_gpus", 0)
    quiet = mock.patch.dict(os.environ, {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1"})
    no_files = mock.patch.object(ExperimentAnalysis, "_fetch_trial_dataframes", return_value={})
    with in_this_process(gpus), quiet, no_files:
        return tune.run(trainable, **options)
