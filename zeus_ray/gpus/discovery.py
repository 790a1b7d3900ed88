"""Which boards are here, and which of them are meant: everything ends in UUIDs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from zeus_ray.errors import BadInput, NoDevice
from zeus_ray.gpus import cuda_order as cuda
from zeus_ray.gpus.protocol import Gpu

GPU_VARIABLE = "ZEUS_RAY_GPU"
CONTROL_VARIABLE = "ZEUS_RAY_POWER_CONTROL"
CONTROLS = ("auto", "off")
SOURCES = "nvml, simulated[:NAME] or replay:DIR"
DEFAULT_CARD = "V100"
VIRTUAL_BOARDS = 8
"""How many simulated boards are offered outside Ray: as many as a large machine has."""


def gpu_source(env: Mapping[str, str] = os.environ) -> str:
    """``ZEUS_RAY_GPU``, checked; "nvml" where it is not set."""
    source = env.get(GPU_VARIABLE) or "nvml"
    _parse(source)
    return source


def power_control(env: Mapping[str, str] = os.environ) -> str:
    """``ZEUS_RAY_POWER_CONTROL``, checked; "auto" where it is not set."""
    return strictest(env.get(CONTROL_VARIABLE) or "auto")


def strictest(*controls: str) -> str:
    """``off`` if any says so: driver, trial and node each have a veto."""
    for control in controls:
        if control not in CONTROLS:
            raise BadInput(f"{CONTROL_VARIABLE} is {control!r}; allowed: {' or '.join(CONTROLS)}")
    return "off" if "off" in controls else "auto"


def is_virtual(source: str) -> bool:
    """Whether ``source`` names boards that exist only in this program."""
    return _parse(source)[0] != "nvml"


def virtual_uuid(source: str, index: int) -> str:
    """UUID of a simulated or replayed board."""
    kind, name = _parse(source)
    if kind == "simulated":
        return f"SIM-{name}-{index}"
    from zeus_ray.gpus.replay import parse_replay  # noqa: PLC0415 — only what is asked for

    return f"REPLAY-{parse_replay(name).gpu}-{index}"


def open_boards(source: str = "nvml") -> list[Gpu]:
    """All boards of this node, in NVML's order.

    Raises:
        BadInput: a source that is none.
        NoDevice: no board here, in words for the user.
    """
    if is_virtual(source):
        return [_open_virtual(source, index) for index in range(VIRTUAL_BOARDS)]
    from zeus_ray.gpus import nvml  # noqa: PLC0415 — needs the driver's binding, simulation does not

    try:
        boards = [_open_nvml(uuid) for uuid in nvml.uuids()]
    except NoDevice as error:
        raise NoDevice(_nothing_here(str(error))) from error
    if not boards:
        raise NoDevice(_nothing_here(f"NVML answers, but of {nvml.count()} GPUs none does"))
    return boards


def open_board(source: str, uuid: str) -> Gpu:
    """One board by UUID. Raises NoDevice, BadInput."""
    if is_virtual(source):
        index = uuid.rpartition("-")[2]
        if not index.isdecimal() or virtual_uuid(source, int(index)) != uuid:
            raise NoDevice(f"{source} has no board {uuid!r}; its boards are {virtual_uuid(source, 0)}, …")
        return _open_virtual(source, int(index))
    return _open_nvml(uuid)


def visible(env: Mapping[str, str], boards: Sequence[Gpu]) -> list[Gpu]:
    """The boards this process may use by ``CUDA_VISIBLE_DEVICES``, in CUDA's order of them."""
    by_uuid = {board.uuid: board for board in boards}
    return [by_uuid[uuid] for uuid in visible_uuids(env, boards)]


def visible_uuids(env: Mapping[str, str], boards: Sequence[Gpu]) -> list[str]:
    """UUIDs of :func:`visible`: for "3", "2,0", "GPU-…" (a prefix will do), "MIG-…"; all where not set."""
    names = env.get("CUDA_VISIBLE_DEVICES")
    if names is None or not _physical(boards):
        return [board.uuid for board in boards]
    if names.strip() in ("", "-1", "NoDevFiles"):
        return []
    return resolve(names.split(","), boards)


def resolve(given: Sequence[str], boards: Sequence[Gpu]) -> list[str]:
    """UUIDs of the boards that CUDA or Ray names by index or UUID, each once.

    Raises:
        BadInput: a name that is no board here, or several.
    """
    return list(dict.fromkeys(_resolve_one(str(name).strip(), boards) for name in given))


def _resolve_one(name: str, boards: Sequence[Gpu]) -> str:
    known = [board.uuid for board in boards]
    if name.isdecimal():
        found = _cuda_order(known)[int(name) :][:1]
    elif name.startswith("MIG-") and _physical(boards):
        found = [uuid for uuid in known if uuid == _board_of_slice(name)]
    else:
        found = [uuid for uuid in known if name and uuid.startswith(name)]
    if len(found) != 1:
        raise BadInput(
            f"GPU {name!r} is {'several' if found else 'none'} of the boards here: {', '.join(known)}"
        )
    return found[0]


def _cuda_order(known: list[str]) -> list[str]:
    """``known`` in the order of CUDA's ordinals, which need not be NVML's."""
    if len(known) < 2 or not known[0].startswith("GPU-"):
        return known
    ordered = cuda.cuda_uuids()
    return ordered if set(ordered) <= set(known) and ordered else known


def _board_of_slice(mig_uuid: str) -> str:
    if mig_uuid.startswith("MIG-GPU-"):  # before driver 470: MIG-GPU-<board>/<gi>/<ci>
        return mig_uuid.removeprefix("MIG-").partition("/")[0]
    from zeus_ray.gpus import nvml  # noqa: PLC0415 — see open_boards

    try:
        return nvml.board_of_slice(mig_uuid)
    except NoDevice:
        return ""


def _physical(boards: Sequence[Gpu]) -> bool:
    return any(board.uuid.startswith("GPU-") for board in boards)


def _open_nvml(uuid: str) -> Gpu:
    """A board that NVML sets, or zeusd where one is named: see :class:`zeusd.ZeusdGpu`."""
    if os.environ.get("ZEUSD_SOCK_PATH"):
        from zeus_ray.gpus.zeusd import Zeusd, ZeusdGpu  # noqa: PLC0415 — httpx only where it is used

        daemon = Zeusd.from_env()
        if daemon is not None:
            return ZeusdGpu(uuid, daemon)
    from zeus_ray.gpus.nvml import NvmlGpu  # noqa: PLC0415 — see open_boards

    return NvmlGpu(uuid)


def _open_virtual(source: str, index: int) -> Gpu:
    kind, name = _parse(source)
    if kind == "simulated":
        from zeus_ray.gpus.simulated import SimulatedGpu  # noqa: PLC0415 — only what is asked for

        return SimulatedGpu.open(name, index)
    from zeus_ray.gpus.replay import ReplayGpu  # noqa: PLC0415 — only what is asked for

    return ReplayGpu.open(name, index)


def _parse(source: str) -> tuple[str, str]:
    kind, _, name = source.partition(":")
    if kind == "nvml" and not name:
        return kind, ""
    if kind == "simulated":
        return kind, name or DEFAULT_CARD
    if kind == "replay" and name:
        return kind, name
    raise BadInput(f"{GPU_VARIABLE} is {source!r}; allowed: {SOURCES}")


def _nothing_here(why: str) -> str:
    return (
        f"no GPU here ({why}): nothing will be measured and no limit set; "
        f"{GPU_VARIABLE}=simulated asks for a simulated one"
    )
