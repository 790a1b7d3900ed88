"""Which GPUs are here, and which of them a process may use: every name of a GPU ends in its UUID."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from zeus_ray.errors import BadInput, DeviceError, DeviceLost, NoDevice
from zeus_ray.gpus.ask_many_gpus_at_once import each_within
from zeus_ray.gpus.protocol import Gpu, GpuSource
from zeus_ray.gpus.registry import DEFAULT_SOURCE, load_source

GPU_VARIABLE = "ZEUS_RAY_GPU"
CONTROL_VARIABLE = "ZEUS_RAY_POWER_CONTROL"
OPENED_WITHIN_S = 8.0
"""A GPU that takes longer to open hangs."""
TOLD_WITHIN_S = 2.0
"""A GPU that takes longer to tell its UUID hangs."""
POWER_CONTROLS = ("auto", "off")
LAST_GPU = ("", "NoDevFiles")
"""With these, or a negative number, CUDA's list of visible GPUs ends: "1,-1,0" is GPU 1 alone."""


def gpu_source(env: Mapping[str, str] = os.environ) -> str:
    """``ZEUS_RAY_GPU``; "nvml" where it is not set.

    Raises:
        BadInput: no source has this name, or it does not take these options.
    """
    source = env.get(GPU_VARIABLE) or DEFAULT_SOURCE
    load_source(source)
    return source


def power_control(env: Mapping[str, str] = os.environ) -> str:
    """``ZEUS_RAY_POWER_CONTROL``; "auto" where it is not set. Raises BadInput for anything else."""
    return strictest(env.get(CONTROL_VARIABLE) or "auto")


def strictest(*controls: str) -> str:
    """``off`` if any of them is: driver, trial and node each have a veto. Raises BadInput."""
    for control in controls:
        if control not in POWER_CONTROLS:
            raise BadInput(f"{CONTROL_VARIABLE} is {control!r}; allowed: {' or '.join(POWER_CONTROLS)}")
    return "off" if "off" in controls else "auto"


def is_virtual(source: str) -> bool:
    """Whether the GPUs of ``source`` exist only in this program. Raises BadInput."""
    return load_source(source).virtual


def virtual_uuid(source: str, index: int) -> str:
    """UUID of the simulated or replayed GPU with this index. Raises BadInput."""
    return load_source(source).uuid(index)


def open_gpus(source: str) -> list[Gpu]:
    """All GPUs of this node that answer, in the driver's order.

    Args:
        source: as in ``ZEUS_RAY_GPU``.

    Raises:
        BadInput: no source has this name, or it does not take these options.
        NoDevice: there is no GPU here, or none that answers; the message says what follows from that.
    """
    loaded = load_source(source)
    try:
        indices = range(loaded.count())
        opened = each_within(
            OPENED_WITHIN_S,
            map(str, indices),
            partial(_open_if_it_answers, loaded),
            otherwise=_none_if_silent,
        )
    except NoDevice as error:
        raise NoDevice(_no_gpu(str(error))) from error
    gpus = [gpu for gpu in opened if gpu is not None]
    if not gpus:
        raise NoDevice(_no_gpu(f"the driver lists {len(indices)} GPUs, of which none answers"))
    return gpus


def open_gpu(source: str, uuid: str) -> Gpu:
    """One GPU by its UUID. Raises NoDevice, DeviceLost, BadInput."""
    return load_source(source).open(uuid)


def visible_gpus(
    source: str, env: Mapping[str, str], gpus: Sequence[Gpu], most: int | None = None
) -> list[Gpu]:
    """The GPUs that a process with this environment may use, in the framework's order.

    Args:
        source: as in ``ZEUS_RAY_GPU``. NVML's GPUs are chosen by ``CUDA_VISIBLE_DEVICES``: indices ("2,0"),
            UUIDs or the beginnings of them ("GPU-8f3c"), MIG slices ("MIG-…"). Virtual GPUs all are visible.
        env: the process's environment.
        gpus: all GPUs of the node that answer.
        most: so many of them are needed; None: all.

    Raises:
        BadInput: the environment names a GPU that is not here, or several GPUs by one name.
        DeviceLost: one that is needed does not answer.
    """
    loaded, by_uuid = load_source(source), {gpu.uuid: gpu for gpu in gpus}
    value = env.get(loaded.visible_variable)
    if value is None:
        listed = _listed_uuids(loaded, gpus)
        if len({gpu.name for gpu in gpus}) > 1:  # equal ones have the same order in the driver and in CUDA
            listed = loaded.compute_order(listed)
        return [by_uuid[_answering(uuid, str(i), by_uuid)] for i, uuid in enumerate(listed[:most])]
    names = list(itertools.takewhile(_names_a_gpu, (name.strip() for name in value.split(","))))
    return [by_uuid[uuid] for uuid in resolve_uuids(source, names[:most], gpus)]


def _names_a_gpu(name: str) -> bool:
    return name not in LAST_GPU and not name.startswith("-")


def resolve_uuids(source: str, names: Sequence[str], gpus: Sequence[Gpu]) -> list[str]:
    """UUIDs of the GPUs that CUDA or Ray names by index or UUID, each once.

    Raises:
        BadInput: a name that fits none of the GPUs here, or several.
        DeviceLost: the GPU that is named does not answer.
    """
    loaded, answering = load_source(source), [gpu.uuid for gpu in gpus]
    listed = _listed_uuids(loaded, gpus)
    resolved = (_resolve_uuid(loaded, str(name).strip(), listed, answering) for name in names)
    return list(dict.fromkeys(resolved))


def _resolve_uuid(loaded: GpuSource, name: str, listed: list[str], answering: list[str]) -> str:
    if name.isdecimal():
        found = loaded.compute_order(listed)[int(name) :][:1]
    else:
        found = [uuid for uuid in listed if name and uuid.startswith(name)]
    if not found:
        parent = loaded.parent_uuid(name)
        found = [uuid for uuid in listed if uuid == parent]
    if not found and "" in listed and name:
        found = [""]
    if len(found) != 1:
        raise BadInput(
            f"GPU {name!r} is {'several' if found else 'none'} of the GPUs here: {', '.join(answering)}"
        )
    return _answering(found[0], name, answering)


def _answering(uuid: str, name: str, answering: Iterable[str]) -> str:
    if uuid not in answering:
        raise DeviceLost(f"GPU {name} ({uuid or 'of an unknown UUID'}) or its driver does not answer")
    return uuid


def _listed_uuids(loaded: GpuSource, gpus: Sequence[Gpu]) -> list[str]:
    """The UUID of each GPU that the driver lists; "" for one that does not tell it.

    A GPU that does not answer keeps its place: the ordinals of the others do not change.
    """
    uuids = [gpu.uuid for gpu in gpus]
    count = loaded.count()
    if count <= len(uuids):
        return uuids
    listed = each_within(
        TOLD_WITHIN_S, map(str, range(count)), lambda index: loaded.uuid(int(index)), otherwise=_unknown
    )
    return listed if set(uuids) <= set(listed) else uuids


def _unknown(_index: str, error: Exception) -> str:
    if not isinstance(error, DeviceError):
        raise error
    return ""


def _open_if_it_answers(loaded: GpuSource, index: str) -> Gpu | None:
    try:
        return loaded.open(loaded.uuid(int(index)))
    except DeviceLost:
        return None


def _none_if_silent(_index: str, error: Exception) -> None:
    """A GPU that does not answer in time is left out, as a lost one is."""
    if not isinstance(error, DeviceError) or isinstance(error, NoDevice):
        raise error


def _no_gpu(why: str) -> str:
    return (
        f"no GPU here ({why}): nothing will be measured and no limit set; "
        f"{GPU_VARIABLE}=simulated asks for a simulated one"
    )
