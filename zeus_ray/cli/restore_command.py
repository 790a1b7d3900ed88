"""``zeus-ray restore``: set power limits back to what they were, on a node or a cluster."""

from __future__ import annotations

from typing import Annotated

import typer

from zeus_ray.cli.ray_connection import ADDRESS_HELP, connected


def restore_command(
    address: Annotated[str | None, typer.Option(metavar="HOST:PORT", help=ADDRESS_HELP)] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also take GPUs from trials that still run.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Run the watchdog of this node until no limit is left to restore.")
    ] = False,
) -> None:
    """Restore every power limit that a trial left behind.

    Reads the journals of the limits that were set, and sets each GPU back to the limit it had, unless a
    running trial holds the GPU.

    ```sh
    zeus-ray restore --address auto
    ```

    Exit codes: 0 all restored; 1 a limit could not be restored, for the reason that is printed; 2 bad input.
    """
    from rich.console import Console

    from zeus_ray.leases.recovery import restore_all

    if watch:
        _watch()
        return
    if address:
        with connected(address):
            from zeus_ray.actors.examine_or_restore_all_nodes import restore_everywhere

            found = restore_everywhere(force=force)
    else:
        found = {"this node": restore_all(force=force)}
    console = Console(markup=False, highlight=False)
    for node, limits in found.items():
        if not limits:
            console.print(f"{node}: no limit was left behind")
        for limit in limits:
            console.print(f"{node}: {limit.uuid}: {limit.message}")
    if any(not limit.done for limits in found.values() for limit in limits):
        raise typer.Exit(1)


def _watch() -> None:
    from zeus_ray.errors import ZeusError
    from zeus_ray.leases.state_dir import state_dir
    from zeus_ray.leases.watchdog import run_watchdog

    try:
        run_watchdog(state_dir())
    except OSError as error:
        raise ZeusError(f"the watchdog cannot run on this node: {error}") from error
