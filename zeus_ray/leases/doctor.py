"""What works on this node, GPU by GPU, and what to do about the rest: the data of ``zeus-ray doctor``."""

from __future__ import annotations

import enum
import platform
from dataclasses import dataclass
from pathlib import Path

from zeus_ray.errors import BadInput, DeviceError, NoDevice, NoPermission
from zeus_ray.gpus.ask_many_gpus_at_once import each_within
from zeus_ray.gpus.discovery import CONTROL_VARIABLE, GPU_VARIABLE, gpu_source, open_gpus, power_control
from zeus_ray.gpus.protocol import Gpu, PhysicalGpu
from zeus_ray.gpus.registry import DEFAULT_SOURCE, load_source
from zeus_ray.leases.journal_and_lock_of_one_gpu import Journal, limit_journals
from zeus_ray.leases.journal_record import OtherVersion
from zeus_ray.leases.limit_lock_and_note_of_all_users import GpuClaim
from zeus_ray.leases.read_and_replace_files import files_set_aside
from zeus_ray.leases.recovery import GPU_ANSWERS_WITHIN_S
from zeus_ray.leases.state_dir import check_private, state_dir
from zeus_ray.leases.watchdog_start_and_status import (
    SUBREAPER_VARIABLE,
    WATCHDOG_NAME,
    running_watchdog,
    subreaper_enabled,
    watchdog_problems,
)
from zeus_ray.leases.write_limit_and_read_back import set_limit_with_retries
from zeus_ray.records import MeasuredBy

HOW_TO_GET_RIGHTS = (
    "setting a limit needs root or SYS_ADMIN: run as root, add the capability to the container, "
    "or have zeusd run on the node and name its socket in ZEUSD_SOCK_PATH"
)
ONLY_MEASURED = (
    "energy is measured, no limit is set; a run still reports what one would have saved, where a profile of "
    "its batch size on this kind of GPU is known"
)


class Health(str, enum.Enum):
    """How a node is; its position is the exit code of ``zeus-ray doctor``."""

    OK = "ok"
    LIMITED = "limited"
    BROKEN = "broken"

    @property
    def exit_code(self) -> int:
        """0, 1 or 2."""
        return list(Health).index(self)


@dataclass(frozen=True, kw_only=True)
class GpuReport:
    """One GPU. ``may_set`` is None where it was not tried: the GPU is held, or power control is off.

    ``limit_setter``: what sets the limit ("NVML", "zeusd"; "" where it cannot be set).
    """

    uuid: str
    name: str
    min_w: float
    max_w: float
    default_w: float
    limit_w: float
    enforced_limit_w: float
    power_w: float
    energy_counter: bool
    partitioned: bool
    persistent: bool | None
    may_set: bool | None
    limit_setter: str
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
    watchdog: str
    gpus: tuple[GpuReport, ...]
    problems: tuple[str, ...]
    health: Health


def examine(folder: Path | None = None) -> NodeReport:
    """Examine this node. Where power control is on, each free GPU's limit is set to what it already is."""
    folder = folder or state_dir()
    problems: list[str] = []
    source, control = _settings(problems)
    gpus = _examine_gpus(source, control, folder, problems)
    problems.extend(_left_behind(folder, gpus))
    problems.extend(_kept_by_watchdog(folder))
    watchdog = running_watchdog(folder)
    if control == "off":
        problems.append(f"{CONTROL_VARIABLE}=off: {ONLY_MEASURED}")
    if subreaper_enabled():
        problems.append(
            f"{SUBREAPER_VARIABLE} is on: it kills the watchdog too; run the watchdog as a service"
        )
    return NodeReport(
        host=platform.node(),
        source=source,
        driver=_driver(source),
        power_control=control,
        state_dir=str(folder),
        watchdog=f"process {watchdog.pid}" if watchdog else "not running (it runs while a limit is set)",
        gpus=gpus,
        problems=tuple(problems),
        health=_health(gpus, problems),
    )


def unexamined(host: str, error: Exception) -> NodeReport:
    """The report of a node that could not be examined."""
    why = f"{type(error).__name__}: {_last_line(error)}"
    return NodeReport(
        host=host,
        source="unknown",
        driver="",
        power_control="unknown",
        state_dir="unknown",
        watchdog="unknown",
        gpus=(),
        problems=(f"no answer ({why}): is zeus-ray installed there, in the Python that Ray runs?",),
        health=Health.BROKEN,
    )


def _settings(problems: list[str]) -> tuple[str, str]:
    """GPU source and power control. An invalid one is a problem, and replaced by "nvml" or "off"."""
    try:
        source = gpu_source()
    except BadInput as error:
        problems.append(str(error))
        source = DEFAULT_SOURCE
    try:
        return source, power_control()
    except BadInput as error:
        problems.append(str(error))
        return source, "off"


def _examine_gpus(source: str, control: str, folder: Path, problems: list[str]) -> tuple[GpuReport, ...]:
    loaded = load_source(source)
    try:
        opened = open_gpus(source)
    except (NoDevice, BadInput) as error:
        problems.append(str(error))
        return ()
    lost = loaded.count() - len(opened)
    if lost:
        problems.append(f"{lost} GPU(s) are lost: a reset or a reboot may bring them back")
    if loaded.virtual:
        opened = opened[:1]
        problems.append(f"{GPU_VARIABLE}={source}: figures come from a model, not from a GPU")
    by_uuid = {gpu.uuid: gpu for gpu in opened}

    def examine_one(uuid: str) -> GpuReport | str:
        try:
            return _examine_gpu(by_uuid[uuid], control, folder)
        finally:
            by_uuid[uuid].close()

    reports = each_within(GPU_ANSWERS_WITHIN_S, by_uuid, examine_one, otherwise=_silent)
    problems.extend(report for report in reports if isinstance(report, str))
    return tuple(report for report in reports if isinstance(report, GpuReport))


def _silent(uuid: str, error: Exception) -> GpuReport | str:
    """A GPU that gave an error, or does not answer in time, is a problem of the node."""
    if not isinstance(error, DeviceError):
        raise error
    return f"{uuid} does not answer: {error}; a reset or a reboot may bring it back"


def _examine_gpu(gpu: Gpu, control: str, folder: Path) -> GpuReport:
    physical = gpu if isinstance(gpu, PhysicalGpu) else None
    counter = gpu.measured_by is not MeasuredBy.POWER_INTEGRAL
    problems = [] if counter else ["no energy counter: power is integrated, which is less exact"]
    persistent = physical.persistent() if physical else None
    if persistent is False:
        problems.append("persistence mode is off: an idle driver forgets limits; `nvidia-smi -pm 1` keeps it")
    may_set, held_by = _may_set(gpu, control, folder, problems)
    limit_w, enforced_w = gpu.power_limit_w(), gpu.enforced_limit_w()
    if enforced_w < limit_w - 1:
        problems.append(
            f"{enforced_w:g} W is in force though {limit_w:g} W is set: the system or its cooling caps it"
        )
    return GpuReport(
        uuid=gpu.uuid,
        name=gpu.name,
        min_w=gpu.range.min_w,
        max_w=gpu.range.max_w,
        default_w=gpu.range.default_w,
        limit_w=limit_w,
        enforced_limit_w=enforced_w,
        power_w=gpu.power_w(),
        energy_counter=counter,
        partitioned=physical.partitioned if physical else False,
        persistent=persistent,
        may_set=may_set,
        limit_setter=(physical.limit_setter if physical else "its model") if may_set else "",
        held_by=held_by,
        problems=tuple(problems),
    )


def _may_set(gpu: Gpu, control: str, folder: Path, problems: list[str]) -> tuple[bool | None, str]:
    """Whether a limit can be set, tried with the one that is set already; and what holds the GPU."""
    journal = Journal(folder, gpu.uuid)
    may_set: bool | None = False
    try:
        held_by = _held_by(journal, problems)
        if held_by or control == "off":
            return None, held_by
        claim = GpuClaim(gpu.uuid, folder)
        if not journal.lock() or not claim.take():
            journal.unlock()
            return None, "another process, or another user"
        try:
            limit_w = gpu.power_limit_w()
            note = claim.noted_by_others(limit_w)
            if note is not None:
                problems.append(f"at {limit_w:g} W, which is not its own limit: {note.remedy()}")
                return None, ""
            set_limit_with_retries(gpu, limit_w)
            may_set = True
        finally:
            claim.release()
            journal.unlock()
    except OtherVersion as error:
        problems.append(f"{journal.path}: {error}")
        may_set = None
    except OSError as error:
        problems.append(f"no journal can be kept, so no limit will be set: {error}")
    except NoPermission as error:
        problems.append(f"{error}; {HOW_TO_GET_RIGHTS}")
    except (DeviceError, BadInput) as error:
        problems.append(str(error))
    return may_set, ""


def _held_by(journal: Journal, problems: list[str]) -> str:
    record = journal.read()
    if record is None:
        return ""
    if record.live():
        silent = (
            "" if journal.manager_answers(record) or not record.manager_alive() else ", which does not answer"
        )
        return record.held_by() + silent
    if record.entries and record.manager_alive() and journal.manager_answers(record):
        return record.held_by()
    record.check_version()
    if not record.of_this_boot:
        return ""
    problems.append(
        "a limit was left behind: `zeus-ray restore` on this node (--address: on all) restores the original"
    )
    return ""


def _left_behind(folder: Path, gpus: tuple[GpuReport, ...]) -> list[str]:
    """The journals of GPUs that are not here, and why the journals cannot be read at all."""
    try:
        if folder.exists():
            check_private(folder)
    except OSError as error:
        return [str(error)]
    here = {Journal(folder, gpu.uuid).path for gpu in gpus}
    return [
        f"{path} has the original limit of a GPU that does not answer here (`zeus-ray restore` says more)"
        for path in limit_journals(folder)
        if path not in here
    ]


def _kept_by_watchdog(folder: Path) -> list[str]:
    """What the watchdog could not restore, and what could not be read and was moved out of the way.

    What it says of a limit whose journal is gone is out of date: that limit has been restored since.
    """
    left = {path.stem for path in limit_journals(folder)}
    problems = [
        f"{name} is still to be restored; the watchdog tries again: {why} (more in {WATCHDOG_NAME}.log)"
        for name, why in watchdog_problems(folder).items()
        if name in left
    ]
    aside = files_set_aside(folder)
    if aside:
        names = ", ".join(path.name for path in aside)
        problems.append(
            f"could not be read and was set aside in {folder}: {names}; compare the GPUs' limits with what "
            "they should be, then delete it"
        )
    return problems


def _driver(source: str) -> str:
    try:
        return load_source(source).driver_version()
    except DeviceError:
        return "none"


def _health(gpus: tuple[GpuReport, ...], problems: list[str]) -> Health:
    if not gpus:
        return Health.BROKEN
    limited = problems or any(gpu.problems or gpu.may_set is False for gpu in gpus)
    return Health.LIMITED if limited else Health.OK


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "no message"
