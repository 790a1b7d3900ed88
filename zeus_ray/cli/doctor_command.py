"""``zeus-ray doctor``: what works on a node or a cluster, and what to do about the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from zeus_ray.cli.ray_connection import ADDRESS_HELP, connected

if TYPE_CHECKING:
    from rich.console import Console

    from zeus_ray.leases.doctor import GpuReport, NodeReport

HEADINGS = ("GPU", "Card", "Range\nW", "Limit\nW", "Can be\nset?", "Energy\ncounter", "Held by")


def doctor_command(
    address: Annotated[str | None, typer.Option(metavar="HOST:PORT", help=ADDRESS_HELP)] = None,
    history: Annotated[
        str | None,
        typer.Option(
            metavar="URI",
            help="History of recurring jobs (a folder, s3://…, gs://…): estimate from its profiles what "
            "limits would save on GPUs where none can be set.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """List what works on this node, or on all nodes of a cluster.

    For each GPU: the card, the range of limits and the limit now (W), whether a limit can be set and how,
    whether there is an energy counter, MIG, and the trial that holds a lease; then each problem with its
    remedy.

    ```sh
    zeus-ray doctor --address auto --json
    ```

    Exit codes: 0 all works; 1 limited, such as no permission to set limits; 2 no GPU works, or bad input.
    """
    from zeus_ray.leases.doctor import Health, examine

    if address:
        with connected(address):
            from zeus_ray.actors.examine_or_restore_all_nodes import examine_all

            nodes: Mapping[str, NodeReport] = examine_all()
    else:
        nodes = {"this node": examine()}
    if json:
        _print_json(nodes)
    else:
        _print_nodes(nodes, history)
    raise typer.Exit(
        max(
            (node.health for node in nodes.values()),
            default=Health.BROKEN,
            key=lambda health: health.exit_code,
        ).exit_code
    )


def _print_json(nodes: Mapping[str, NodeReport]) -> None:
    from json import dumps

    from zeus_ray.records import to_plain

    typer.echo(dumps({name: to_plain(node) for name, node in nodes.items()}, indent=1))


def _print_nodes(nodes: Mapping[str, NodeReport], history: str | None) -> None:
    from rich.console import Console

    console = Console(markup=False, highlight=False)  # names of trials are printed as they are
    for name, node in nodes.items():
        _print_node(console, name, node)
    for line in _possible_savings(nodes, history) if history else ():
        console.print(f"  - {line}")


def _print_node(console: Console, name: str, node: NodeReport) -> None:
    from rich import box
    from rich.table import Table

    console.print(
        f"{name} ({node.host}): {node.health.value}; {node.source}, driver "
        f"{node.driver or 'none'}; power control {node.power_control}; watchdog {node.watchdog}"
    )
    if node.gpus:
        table = Table(*HEADINGS, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for gpu in node.gpus:
            table.add_row(*_gpu_cells(gpu))
        console.print(table)
    for problem in (*node.problems, *_grouped(node.gpus)):
        console.print(f"  - {problem}")
    console.print(f"  journals: {node.state_dir}")


def _gpu_cells(gpu: GpuReport) -> tuple[str, ...]:
    """One row of the table, below :data:`HEADINGS`."""
    can_be_set = {True: f"yes, by {gpu.limit_setter}", False: "no", None: "not tried"}[gpu.may_set]
    limit = f"{gpu.limit_w:.0f}"
    if gpu.enforced_limit_w < gpu.limit_w:
        limit += f" (in force: {gpu.enforced_limit_w:.0f})"
    return (
        gpu.uuid[:12],
        gpu.name + (" (MIG)" if gpu.partitioned else ""),
        f"{gpu.min_w:.0f}–{gpu.max_w:.0f}",
        limit,
        can_be_set,
        "yes" if gpu.energy_counter else "no",
        gpu.held_by or "–",
    )


def _grouped(gpus: Sequence[GpuReport]) -> list[str]:
    """Each problem once, with the GPUs that have it."""
    having: dict[str, list[str]] = {}
    for gpu in gpus:
        for problem in gpu.problems:
            having.setdefault(problem.replace(f" on {gpu.uuid}", ""), []).append(gpu.uuid[:12])
    return [f"{', '.join(uuids)}: {problem}" for problem, uuids in having.items()]


def _possible_savings(nodes: Mapping[str, NodeReport], history: str) -> list[str]:
    """What limits would save on GPUs where none can be set, by the profiles that jobs have recorded."""
    without = {gpu.name: gpu for node in nodes.values() for gpu in node.gpus if not gpu.may_set}
    return list(_savings_by_profile(without, history)) or [
        "no job of that history has a profile of a GPU here whose limit cannot be set"
    ]


def _savings_by_profile(gpus: Mapping[str, GpuReport], history: str) -> Iterator[str]:
    from zeus_ray.jobs.job_summary import merged_profiles
    from zeus_ray.search.power_limit import advise
    from zeus_ray.store.event_log import job_names, open_job_log
    from zeus_ray.training.savings_if_limit_were_set import in_words

    for job in job_names(history):
        for profile in merged_profiles(open_job_log(history, job).read()):
            if profile.gpu not in gpus:
                continue
            gpu = gpus[profile.gpu]
            found = advise(profile, gpu.enforced_limit_w, eta=0.5, max_power_w=gpu.max_w, gpus=1)
            if found is not None:
                yield f"{job} at batch size {profile.batch_size} on {profile.gpu}: {in_words(found)}"
