"""The operator's commands: ``zeus-ray doctor`` and ``restore``, on a node or a cluster, and ``report``."""

from __future__ import annotations

import argparse
import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from zeus_ray.decide.advice import advise
from zeus_ray.errors import BadInput, ZeusError
from zeus_ray.jobs.job_summary import merged_profiles, summarize
from zeus_ray.leases.doctor import GpuReport, NodeReport, examine
from zeus_ray.leases.recovery import RestoreOutcome, restore_all
from zeus_ray.leases.state_dir import state_dir
from zeus_ray.leases.watchdog import run_watchdog
from zeus_ray.records import to_plain
from zeus_ray.store.event_log import job_names, open_job_log
from zeus_ray.training.savings_estimate import in_words

ANSWER_WITHIN_S = 5.0


def doctor(options: argparse.Namespace) -> int:
    """Tell what works on each node and GPU and what to do about the rest. Exit code: the worst health."""
    nodes = _cluster_reports(options.address) if options.address else {"this node": examine()}
    if options.json:
        print(json.dumps({name: to_plain(node) for name, node in nodes.items()}, indent=1))  # noqa: T201 — for a pipe
    else:
        console = Console(markup=False, highlight=False)  # names of trials are shown as they are
        for name, node in nodes.items():
            _show(console, name, node)
        for line in _advice(nodes, options.history) if options.history else ():
            console.print(f"  - {line}", highlight=False)
    return max((node.health.exit_code for node in nodes.values()), default=2)


def restore(options: argparse.Namespace) -> int:
    """Give back every limit that was left behind. Exit code 1: something is still owed."""
    if options.watch:
        return _watch()
    found = _cluster_restore(options) if options.address else {"this node": restore_all(force=options.force)}
    console = Console(markup=False, highlight=False)
    for name, owed in found.items():
        if not owed:
            console.print(f"{name}: nothing was left behind")
        for one in owed:
            console.print(f"{name}: {one.uuid}: {one.message}")
    return int(any(not one.done for owed in found.values() for one in owed))


def _watch() -> int:
    try:
        run_watchdog(state_dir())
    except OSError as error:
        raise ZeusError(f"this node cannot be watched: {error}") from error
    return 0


@contextmanager
def _joined(address: str) -> Iterator[None]:
    """In a running cluster. Raises BadInput in words for whoever typed the address."""
    try:
        _reach(address)
        import ray  # noqa: PLC0415 — only for a cluster that answers

        ray.init(address, logging_level="ERROR", log_to_driver=False)
    except Exception as error:
        raise BadInput(
            f"no Ray cluster can be joined at --address {address!r} ({type(error).__name__}: {error}). "
            "Give 'auto' on a node of the cluster, or HOST:PORT as `ray start --head` printed it; where the "
            "cluster asks for a token, set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH as on its nodes"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Raise OSError or ValueError where nothing can be there: Ray itself would try for 20 s, noisily."""
    if address == "auto" or address.startswith("ray://"):
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("this is neither 'auto' nor HOST:PORT")
    socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_WITHIN_S).close()


def report(options: argparse.Namespace) -> int:
    """Show the past of one job of a history, or of all. Exit code 1: there is none."""
    jobs = [options.job] if options.job else job_names(options.history)
    pasts = [summarize(open_job_log(options.history, job).read(), job) for job in jobs]
    shown = [one for one in pasts if one.runs]
    console = Console()
    for one in shown:
        console.print(one)
    if not shown:
        console.print(f"no run is remembered in {options.history}", highlight=False)
        return 1
    return 0


def _advice(nodes: Mapping[str, NodeReport], history: str) -> list[str]:
    """What limits would save on boards where none may be set, by what jobs have recorded on their kind."""
    bound = {board.name: board for node in nodes.values() for board in node.gpus if not board.may_set}
    lines = []
    for job in job_names(history):
        recorded = merged_profiles(open_job_log(history, job).read())
        for profile in (p for p in recorded if p.gpu in bound):
            board = bound[profile.gpu]
            found = advise(profile, board.enforced_limit_w, eta=0.5, max_power_w=board.max_w, gpus=1)
            if found is not None:
                words = f"{job} at batch size {profile.batch_size} on {profile.gpu}: {in_words(found)}"
                lines.append(words)
    return lines or ["no job of that history has a profile of a board here that may not be set"]


def _cluster_reports(address: str) -> Mapping[str, NodeReport]:
    with _joined(address):
        from zeus_ray.actors.inventory import examine_all  # noqa: PLC0415 — only for a cluster

        return examine_all()


def _cluster_restore(options: argparse.Namespace) -> Mapping[str, list[RestoreOutcome]]:
    with _joined(options.address):
        from zeus_ray.actors.inventory import restore_everywhere  # noqa: PLC0415 — only for a cluster

        return restore_everywhere(force=options.force)


def _show(console: Console, name: str, node: NodeReport) -> None:
    console.print(
        f"{name} ({node.host}): {node.health.value}; {node.source}, driver "
        f"{node.driver or 'none'}; power control {node.power_control}; watchdog {node.watchdog}"
    )
    if node.gpus:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for heading in (
            "GPU",
            "Card",
            "Range\nW",
            "Limit\nW",
            "May we\nset it?",
            "Energy\ncounter",
            "Held by",
        ):
            table.add_column(heading)
        for board in node.gpus:
            table.add_row(*_cells(board))
        console.print(table)
    for problem in (*node.problems, *_grouped(node.gpus)):
        console.print(f"  - {problem}")
    console.print(f"  journals: {Path(node.state_dir)}")


def _grouped(boards: Sequence[GpuReport]) -> list[str]:
    """Each problem once, with the boards that have it."""
    having: dict[str, list[str]] = {}
    for board in boards:
        for problem in board.problems:
            having.setdefault(problem.replace(f" on {board.uuid}", ""), []).append(board.uuid[:12])
    return [f"{', '.join(uuids)}: {problem}" for problem, uuids in having.items()]


def _cells(board: GpuReport) -> tuple[str, ...]:
    may = {True: f"yes, by {board.limit_setter}", False: "no", None: "not tried"}[board.may_set]
    limit = f"{board.limit_w:.0f}"
    if board.enforced_limit_w < board.limit_w:
        limit += f" (in force: {board.enforced_limit_w:.0f})"
    return (
        board.uuid[:12],
        board.name + (" (MIG)" if board.partitioned else ""),
        f"{board.min_w:.0f}–{board.max_w:.0f}",
        limit,
        may,
        "yes" if board.energy_counter else "no",
        board.held_by or "–",
    )
