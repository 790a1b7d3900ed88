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
    _add_recur(commands)
    _add_report(commands)
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
    doctor.add_argument("--history", help="of recurring jobs: what limits would save where none may be set")
    doctor.add_argument("--json", action="store_true", help="for programs")
    doctor.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    from zeus_ray.cli import node as operate  # noqa: PLC0415 — see the module's docstring

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
    from zeus_ray.cli import node as operate  # noqa: PLC0415 — see the module's docstring

    return operate.restore(options)


CARBON = """\
Shows how much carbon a kilowatt-hour costs now, what the next two days should bring, and when a job
of some hours should run. The same signals work in your code: zeus_ray.open_signal("uk").

"""


class _SignalHelp(argparse.RawDescriptionHelpFormatter):
    """Lists the signals, with those of all providers, only when help is shown: they are imported for it."""

    def add_text(self, text: str | None) -> None:
        """The description, and the list after it."""
        if text == CARBON:
            from zeus_ray.carbon.signal import signal_specs  # noqa: PLC0415 — see the module's docstring

            text += "\n".join(f"  --signal {spec:<22}{about}" for spec, about in signal_specs())
        super().add_text(text)


def _add_carbon(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    carbon = commands.add_parser(
        "carbon",
        help="the grid now, what is expected, and when to run",
        description=CARBON,
        formatter_class=_SignalHelp,
    )
    carbon.add_argument("--signal", default="", help="of carbon or price, as above")
    carbon.add_argument("--hours", type=float, default=4.0, help="length of your job (default: 4)")
    carbon.add_argument("--deadline", help="when it must be done, such as 2026-12-01T08:00 (local time)")
    carbon.add_argument("--json", action="store_true", help="for programs")
    carbon.set_defaults(run=_carbon)


def _carbon(options: argparse.Namespace) -> int:
    from zeus_ray.cli import carbon as grid  # noqa: PLC0415 — see the module's docstring

    return grid.carbon(options)


RECUR = """\
For a training that comes back, nightly say, and whose code nobody wants to touch. Each call is one
recurrence: it asks the job's history what to try, runs the command with these knobs, reads the metric
from its output, and tells the history how it went. Power limits are profiled while it trains, one per
report. What was spent, saved and chosen, and why, goes to standard error.

  zeus-ray recur --history s3://bucket/zeus --job resnet-nightly \\
      --batch-sizes 64,128,256,512 --default-batch-size 128 --target accuracy=0.75 --lr 0.1 \\
      -- python train.py --batch-size {batch_size} --lr {lr}

The command prints its metric once per epoch, in a line such as "accuracy=0.71", "accuracy: 0.71" or
{"accuracy": 0.71}; or writes it as JSON to --metrics-file. At the target it gets SIGTERM, and SIGKILL
after --grace seconds: it should have saved its model by then, or saves it on SIGTERM; with --run-on it
goes on to its own end. A run that turns out too dear is stopped and the best known knobs run instead;
the last of --tries runs is stopped for nothing but the target, so that the job gets done.
"""
CODES = """\
exit code:
  0    trained to the target (without a value: trained)
  2    bad input
  3    ended by itself before the target, or no batch size fits in memory
  130, 143  interrupted, terminated: the command was stopped, limits are back, no batch size is blamed
  else the command's own, if it failed; 128 + n if signal n ended it
"""


def _add_recur(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    recur = commands.add_parser(
        "recur",
        help="one run of a job that comes back, around an unmodified command",
        description=RECUR,
        epilog=CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = recur.add_argument
    add("--history", required=True, help="folder, s3://… or gs://…: remembers all runs of all jobs")
    add("--job", required=True, help="name of this job in the history")
    add(
        "--batch-sizes", required=True, type=_sizes_or_auto, metavar="N,N,…", help="to choose from, or 'auto'"
    )
    add("--default-batch-size", required=True, type=int, metavar="N", help="the one in use today")
    add(
        "--target",
        required=True,
        metavar="NAME[=VALUE]",
        help="the metric, and the value to reach",
    )
    add("--mode", choices=("max", "min"), default="max", help="whether higher (default) or lower is better")
    add("--metrics-file", type=Path, metavar="FILE", help="JSON, or JSON lines, that the command writes")
    add("--lr", type=float, help="learning rate tuned for the default batch size, for {lr}")
    add(
        "--lr-rule",
        choices=("linear", "sqrt", "none"),
        default="linear",
        help="sqrt for Adam-like optimisers",
    )
    add(
        "--objective",
        default="energy",
        metavar="WHAT",
        help="what to save: energy (default), carbon or price; or energy=0.30,time=2.0: what a kWh and "
        "an hour cost you, with --max-power",
    )
    add("--signal", help="of carbon or price: uk, electricitymaps:DE, csv:FILE; see zeus-ray carbon --help")
    add("--eta", type=float, help="1 saves energy (or carbon, or money) alone, 0 time alone (default 0.5)")
    add("--power-limits", type=_watts, metavar="W,W,…", help="limits to consider (default: all)")
    add(
        "--max-power", type=float, metavar="W", help="the highest limit of a GPU (default: as the first says)"
    )
    add("--gpus", type=int, default=1, help="GPUs of the command (default 1)")
    add("--max-epochs", type=float, default=100, help="reports after which a run has failed (default 100)")
    add("--first", type=_sizes, default=(), metavar="N,N,…", help="batch sizes to try first")
    add(
        "--warm-start",
        action="append",
        default=[],
        metavar="HISTORY/JOB",
        help="begin with another job's runs",
    )
    add("--grace", type=float, default=30.0, metavar="S", help="seconds from SIGTERM to SIGKILL (default 30)")
    add("--tries", type=int, default=3, help="runs at most; the last is not stopped for its cost (default 3)")
    add("--run-on", action="store_true", help="at the target, let the command go on to its own end")
    add("command", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="with {batch_size} and {lr} in it")
    recur.set_defaults(run=_recur)


def _recur(options: argparse.Namespace) -> int:
    from zeus_ray.jobs import command_job as tonight  # noqa: PLC0415 — see the module's docstring

    return tonight.from_options(options)


def _add_report(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    report = commands.add_parser(
        "report",
        help="what the recurring jobs of a history have done and saved",
        description="The table of runs of each job in a history, oldest first: knobs, energy, time, metric, "
        "and why each ended; then what the job has taken in all, and what it has saved against its default "
        "batch size at the highest limit, all exploring included.",
    )
    report.add_argument("--history", required=True, help="folder, s3://… or gs://…")
    report.add_argument("--job", help="one job (default: all of them)")
    report.set_defaults(run=_report)


def _report(options: argparse.Namespace) -> int:
    from zeus_ray.cli import node as operate  # noqa: PLC0415 — see the module's docstring

    return operate.report(options)


def _sizes_or_auto(text: str) -> tuple[int, ...] | str:
    return text if text == "auto" else _sizes(text)


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _watts(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))
