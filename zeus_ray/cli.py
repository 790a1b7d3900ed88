"""``zeus-ray``: the command line. A command imports what it needs when it runs: ``--help`` is quick."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from zeus_ray import __version__
from zeus_ray.errors import ZeusError

DESCRIPTION = """\
Train to your accuracy for the least energy, with Ray.

In your code:      import zeus_ray; see the README for the fifteen lines.
To see it work:    zeus-ray demo
On a GPU machine:  zeus-ray doctor says what works, and what to do about the rest.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command. The exit code is the command's: 0 if it worked, 2 for bad input."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options) or 0)
    except ZeusError as error:
        print(f"zeus-ray: {error}", file=sys.stderr)  # noqa: T201 — this is the command line
        return 2
    except KeyboardInterrupt:
        print("zeus-ray: stopped; every limit has been given back", file=sys.stderr)  # noqa: T201 — likewise
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zeus-ray", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"zeus-ray {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_doctor(commands)
    _add_restore(commands)
    _add_carbon(commands)
    return parser


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    demo = commands.add_parser(
        "demo",
        help="a real search on real data, in a few minutes",
        description="Ray Tune trains a network on scikit-learn's handwritten digits over eight batch sizes, "
        "on NVML if there is a GPU and else on a simulated one (and says so). Ends with the table of trials, "
        "the saving against the default batch size, what the search cost, and a Pareto plot.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    demo.add_argument("--eta", type=float, default=0.5, help="1 saves energy alone, 0 time alone")
    demo.add_argument("--seed", type=int, default=0, help="another seed, another run: the figures change")
    demo.add_argument("--trials", type=int, default=24, help="run at most this many trainings")
    demo.add_argument(
        "--out", type=Path, default=Path("zeus-ray-demo"), help="folder for results and picture"
    )
    demo.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> None:
    from zeus_ray import demo  # noqa: PLC0415 — see the module's docstring

    demo.main(demo.DemoOptions(eta=options.eta, seed=options.seed, trials=options.trials, out=options.out))


def _add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    doctor = commands.add_parser(
        "doctor",
        help="what works on this node, or on a whole cluster",
        description="Tells, per node and GPU: driver, card, range, limit now, whether we may set it and by "
        "which way, energy counter, MIG, who holds a lease, and what to do about each problem. "
        "Exit code: 0 all well, 1 limited, 2 broken.",
    )
    doctor.add_argument("--address", help="a Ray cluster, such as 'auto': ask all its nodes")
    doctor.add_argument("--json", action="store_true", help="for programs")
    doctor.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    from zeus_ray import operate  # noqa: PLC0415 — see the module's docstring

    return operate.doctor(options)


def _add_restore(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    restore = commands.add_parser(
        "restore",
        help="give back every power limit that was left behind",
        description="Reads the journals of limits that were set, and gives back what was found, unless a "
        "trial that lives still holds the board. Exit code 1: something is still owed, and why is said.",
    )
    restore.add_argument("--address", help="a Ray cluster, such as 'auto': on all its nodes")
    restore.add_argument("--force", action="store_true", help="also from trials that still run")
    restore.add_argument("--watch", action="store_true", help="guard this node until nothing is owed")
    restore.set_defaults(run=_restore)


def _restore(options: argparse.Namespace) -> int:
    from zeus_ray import operate  # noqa: PLC0415 — see the module's docstring

    return operate.restore(options)


CARBON = """\
Shows how much carbon a kilowatt-hour costs now, what the next two days should bring, and when a job
of some hours should run. The same signals work in your code: zeus_ray.open_signal("uk").

  --zone uk                      Great Britain; no key
  --zone electricitymaps:DE      most of the world; token in ELECTRICITYMAPS_TOKEN
  --zone watttime:CAISO_NORTH    marginal intensity; WATTTIME_USER and WATTTIME_PASSWORD
  --zone constant:400            a grid of which only the mean is known
  --csv prices.csv               a file with a time and a value per row, intensity or price
"""


def _add_carbon(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    carbon = commands.add_parser(
        "carbon",
        help="the grid now, what is expected, and when to run",
        description=CARBON,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    carbon.add_argument("--zone", help="whose grid: a signal, as above")
    carbon.add_argument(
        "--csv", help="a file instead; csv options too, as in 'f.csv?column=price&unit=EUR/kWh'"
    )
    carbon.add_argument("--hours", type=float, default=4.0, help="length of your job (default: 4)")
    carbon.add_argument("--deadline", help="when it must be done, such as 2026-12-01T08:00 (local time)")
    carbon.add_argument("--json", action="store_true", help="for programs")
    carbon.set_defaults(run=_carbon)


def _carbon(options: argparse.Namespace) -> int:
    from zeus_ray import grid  # noqa: PLC0415 — see the module's docstring

    return grid.carbon(options)
