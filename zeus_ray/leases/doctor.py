"""What works on this node, board by board, and what to do about the rest: data for ``zeus-ray doctor``."""

from __future__ import annotations

import dataclasses
import enum
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zeus_ray.errors import BadInput, DeviceError, NoDevice, NoPermission
from zeus_ray.gpus import discovery as discover
from zeus_ray.gpus.protocol import Gpu, Persistent
from zeus_ray.leases import watchdog as guard
from zeus_ray.leases.journal import Journal, OtherVersion, check_private, state_dir
from zeus_ray.leases.limit_owner import set_firmly
from zeus_ray.records import MeasuredBy

GET_RIGHTS = (
    "setting a limit needs root or SYS_ADMIN: run as root, add the capability to the container, "
    "or have zeusd run on the node and name its socket in ZEUSD_SOCK_PATH"
)

OBSERVED = (
    "energy is measured, no limit is set; a run still says what one would have saved, where a profile of "
    "its batch size on this kind of GPU is known"
)


class Health(enum.IntEnum):
    """Exit codes of ``zeus-ray doctor``."""

    OK = 0
    LIMITED = 1
    BROKEN = 2


@dataclass(frozen=True, kw_only=True)
class BoardReport:
    """One board. ``may_set`` is None where it was not tried: it is held, or power control is off."""

    uuid: str
    name: str
    min_w: float
    max_w: float
    default_w: float
    limit_w: float
    enforced_limit_w: float
    power_w: float
    energy_counter: bool
    mig: bool
    persistent: bool | None
    may_set: bool | None
    way: str
    held_by: str
    problems: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class NodeReport:
    """One node. ``problems`` say what to do, too."""

    host: str
    source: str
    driver: str
    power_control: str
    state_dir: str
    guard: str
    boards: tuple[BoardReport, ...]
    problems: tuple[str, ...]
    health: Health

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**dataclasses.asdict(self), "health": self.health.name.lower()}


def examine(folder: Path | None = None) -> NodeReport:
    """Look at this node. Writes nothing but, where power control is on, the limit that is already set."""
    folder = folder or state_dir()
    problems: list[str] = []
    source, control = _settings(problems)
    boards = _boards(source, control, folder, problems)
    problems.extend(_left_behind(folder, boards))
    running = guard.running(folder)
    if control == "off":
        problems.append(f"{discover.CONTROL_VARIABLE}=off: {OBSERVED}")
    if guard.subreaper_on():
        problems.append(f"{guard.SUBREAPER} is on: it kills the guard too; run the guard as a service")
    return NodeReport(
        host=platform.node(),
        source=source,
        driver=_driver(source),
        power_control=control,
        state_dir=str(folder),
        guard=f"process {running.pid}" if running else "not running (it runs while a limit is set)",
        boards=boards,
        problems=tuple(problems),
        health=_health(boards, problems),
    )


def unexamined(host: str, error: Exception) -> NodeReport:
    """The report of a node that could not look at itself."""
    why = f"{type(error).__name__}: {_last_line(error)}"
    return NodeReport(
        host=host,
        source="unknown",
        driver="",
        power_control="unknown",
        state_dir="unknown",
        guard="unknown",
        boards=(),
        problems=(f"no answer ({why}): is zeus-ray installed there, in the Python that Ray runs?",),
        health=Health.BROKEN,
    )


def _settings(problems: list[str]) -> tuple[str, str]:
    """Source and power control; what makes no sense is a problem, and the safe reading of it is used."""
    try:
        source = discover.gpu_source()
    except BadInput as error:
        problems.append(str(error))
        source = "nvml"
    try:
        return source, discover.power_control()
    except BadInput as error:
        problems.append(str(error))
        return source, "off"


def _boards(source: str, control: str, folder: Path, problems: list[str]) -> tuple[BoardReport, ...]:
    try:
        opened = discover.open_boards(source)
    except (NoDevice, BadInput) as error:
        problems.append(str(error))
        return ()
    if discover.is_virtual(source):
        opened = opened[:1]
        problems.append(f"{discover.GPU_VARIABLE}={source}: figures come from a model, not from a GPU")
    else:
        problems.extend(_lost(len(opened)))
    reports = []
    for board in opened:
        try:
            reports.append(_board(board, control, folder))
        except DeviceError as error:
            problems.append(f"{board.uuid} does not answer: {error}; a reset or a reboot may bring it back")
        finally:
            board.close()
    return tuple(reports)


def _board(gpu: Gpu, control: str, folder: Path) -> BoardReport:
    counter = gpu.measured_by is not MeasuredBy.POWER_INTEGRAL
    problems = [] if counter else ["no energy counter: power is integrated, which is less exact"]
    mig = bool(getattr(gpu, "mig", False))
    persistent = gpu.persistent() if isinstance(gpu, Persistent) else None
    if persistent is False:
        problems.append("persistence mode is off: an idle driver forgets limits; `nvidia-smi -pm 1` keeps it")
    may_set, held_by = _may_set(gpu, control, folder, problems)
    now_w, enforced_w = gpu.power_limit_w(), gpu.enforced_limit_w()
    if enforced_w < now_w - 1:
        problems.append(
            f"{enforced_w:g} W is in force though {now_w:g} W is set: the system or its cooling caps it"
        )
    return BoardReport(
        uuid=gpu.uuid,
        name=gpu.name,
        min_w=gpu.range.min_w,
        max_w=gpu.range.max_w,
        default_w=gpu.range.default_w,
        limit_w=now_w,
        enforced_limit_w=enforced_w,
        power_w=gpu.power_w(),
        energy_counter=counter,
        mig=mig,
        persistent=persistent,
        may_set=may_set,
        way=getattr(gpu, "way", "NVML") if may_set else "",
        held_by=held_by,
        problems=tuple(problems),
    )


def _may_set(gpu: Gpu, control: str, folder: Path, problems: list[str]) -> tuple[bool | None, str]:
    """Try, with the limit that is already set, while nobody else is at it. Also says who holds it."""
    journal = Journal(folder, gpu.uuid)
    may_set: bool | None = False
    try:
        held_by = _held_by(journal, problems)
        if held_by or control == "off":
            return None, held_by
        if not journal.lock():
            return None, "another process"
        try:
            set_firmly(gpu, gpu.power_limit_w())
            may_set = True
        finally:
            journal.unlock()
    except OtherVersion as error:
        problems.append(f"{journal.path}: {error}")
        may_set = None
    except OSError as error:
        problems.append(f"no journal can be kept, so no limit will be set: {error}")
    except NoPermission as error:
        problems.append(f"{error}; {GET_RIGHTS}")
    except (DeviceError, BadInput) as error:
        problems.append(str(error))
    return may_set, ""


def _held_by(journal: Journal, problems: list[str]) -> str:
    record = journal.read()
    if record is None:
        return ""
    if record.live() or record.keeper_alive():
        trials = ", ".join(entry.holder.trial_id for entry in record.live())
        return f"process {record.keeper.pid}, for {trials or 'no trial'}"
    problems.append(
        "a limit was left behind: `zeus-ray restore` on this node (--address: on all) gives it back"
    )
    return ""


def _left_behind(folder: Path, boards: tuple[BoardReport, ...]) -> list[str]:
    """What the journals owe to boards that are not here, and why they may not be read at all."""
    try:
        if folder.exists():
            check_private(folder)
    except OSError as error:
        return [str(error)]
    here = {Journal(folder, board.uuid).path.name for board in boards}
    return [
        f"a limit is owed to a board that does not answer here: {path} (`zeus-ray restore` says more)"
        for path in sorted(folder.glob("*.json"))
        if path.name not in here
    ]


def _lost(answering: int) -> list[str]:
    from zeus_ray.gpus import nvml  # noqa: PLC0415 — only where NVML is asked for

    missing = nvml.count() - answering
    return [f"{missing} GPU(s) are lost: a reset or a reboot may bring them back"] if missing else []


def _driver(source: str) -> str:
    if discover.is_virtual(source):
        return "none needed"
    from zeus_ray.gpus import nvml  # noqa: PLC0415 — only where NVML is asked for

    try:
        return nvml.driver_version()
    except DeviceError:
        return "none"


def _health(boards: tuple[BoardReport, ...], problems: list[str]) -> Health:
    if not boards:
        return Health.BROKEN
    held_back = problems or any(board.problems or board.may_set is False for board in boards)
    return Health.LIMITED if held_back else Health.OK


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "nothing more"
