"""``zeus-ray demo``: a search that runs in about a minute."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo_command(
    eta: Annotated[
        float, typer.Option(help="Weight of energy against time: 1 is energy alone, 0 is time alone.")
    ] = 0.5,
    seed: Annotated[int, typer.Option(help="Seed of the search and of the trainings.")] = 0,
    trials: Annotated[int, typer.Option(metavar="N", help="Trainings at most.")] = 24,
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder for Ray's results and the plot.")
    ] = Path("zeus-ray-demo"),
) -> None:
    """Run a Ray Tune search on real data, in about a minute.

    Trains a small network on scikit-learn's handwritten digits with eight batch sizes. Energy is measured
    by NVML if there is a GPU; otherwise the GPU is simulated, which the output states. Shows the table of
    trials, what was saved against the default batch size, what the search itself took, and a Pareto plot.

    ```sh
    zeus-ray demo --eta 1 --out results
    ```
    """
    from zeus_ray.demo import DemoOptions, run_demo

    run_demo(DemoOptions(eta=eta, seed=seed, trials=trials, out=out))
