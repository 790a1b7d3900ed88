"""``zeus-ray demo``: a real Ray Tune search that trains a real model on real data.

Scikit-learn's handwritten digits (1,797 images, shipped with the package), a small network, eight
batch sizes with the learning rate scaled to each. Energy comes from NVML, or from a simulated GPU
where there is none, which the demo says; the learning is real in both cases.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from zeus_ray.errors import NoDevice
from zeus_ray.gpus import discovery as discover
from zeus_ray.records import Target
from zeus_ray.reporting import html

if TYPE_CHECKING:
    from ray.tune import ExperimentAnalysis

    from zeus_ray.tune.searcher import ZeusSearcher

BATCH_SIZES = (8, 16, 32, 64, 128, 256, 512, 1024)
DEFAULT_BATCH_SIZE = 32
TARGET = Target("accuracy", 0.95)
MAX_EPOCHS = 60
SIMULATED = "simulated:V100"


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What ``zeus-ray demo`` can be told. ``out``: the folder for results and the picture."""

    eta: float = 0.5
    seed: int = 0
    trials: int = 24
    out: Path = Path("zeus-ray-demo")


def train(config: dict[str, Any]) -> None:
    """The user's training function: the lines with ``run`` are what zeus-ray adds."""
    import torch  # noqa: PLC0415 — only in the trial
    from torch import nn  # noqa: PLC0415
    from torch.utils.data import DataLoader  # noqa: PLC0415

    import zeus_ray as zeus  # noqa: PLC0415

    torch.manual_seed(config["seed"])
    torch.set_num_threads(1)  # two trials at a time on two cores
    device = "cuda" if torch.cuda.is_available() else "cpu"
    training, test_x, test_y = _digits(device)
    with zeus.session(config) as run:
        loader = DataLoader(training, batch_size=config["batch_size"], shuffle=True)
        model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10)).to(device)
        optimiser = torch.optim.SGD(model.parameters(), lr=run.scale_lr(0.02), momentum=0.9)
        for _epoch in range(MAX_EPOCHS):
            model.train()
            for x, y in run.steps(loader):
                optimiser.zero_grad()
                nn.functional.cross_entropy(model(x), y).backward()
                optimiser.step()
            model.eval()
            with torch.no_grad():
                accuracy = (model(test_x).argmax(1) == test_y).float().mean().item()
            run.report({"accuracy": accuracy})


def _digits(device: str) -> tuple[Any, Any, Any]:
    """Training set, test images, test labels; every fifth image is for the test."""
    import torch  # noqa: PLC0415 — only in the trial
    from sklearn.datasets import load_digits  # noqa: PLC0415

    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images / 16.0, dtype=torch.float32, device=device)
    y = torch.tensor(labels, dtype=torch.long, device=device)
    test = torch.arange(len(y), device=device) % 5 == 0
    return torch.utils.data.TensorDataset(x[~test], y[~test]), x[test], y[test]


def search(options: DemoOptions) -> tuple[ZeusSearcher, ExperimentAnalysis]:
    """Run the search; the first trial is the baseline: the default batch size at the limit found."""
    from ray import tune  # noqa: PLC0415 — seconds to import

    import zeus_ray as zeus  # noqa: PLC0415

    searcher = zeus.ZeusSearcher(
        target=TARGET,
        default_batch_size=DEFAULT_BATCH_SIZE,
        eta=options.eta,
        max_epochs=MAX_EPOCHS,
        seed=options.seed,
        baseline=True,
    )
    return searcher, tune.run(
        train,
        config={
            "batch_size": tune.choice(list(BATCH_SIZES)),
            "seed": tune.randint(0, 2**31),
        },
        search_alg=searcher,
        scheduler=zeus.EnergyScheduler(searcher),
        num_samples=options.trials,
        resources_per_trial=zeus.resources(),
        storage_path=str(options.out.resolve()),
        callbacks=[zeus.TrialReporter()],
        reuse_actors=True,
        verbose=0,
    )


def run_demo(options: DemoOptions) -> None:
    """Search, then say what it found and what it cost."""
    import ray  # noqa: PLC0415 — seconds to import

    # Tune's own progress would drown ours.
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    console = Console()
    _say_which_gpu(console)
    started_here = not ray.is_initialized()
    if started_here:
        ray.init("local", include_dashboard=False, num_cpus=os.cpu_count(), logging_level="ERROR")
    try:
        searcher, result = search(options)
    finally:
        if started_here:
            ray.shutdown()
    _tell(console, options, searcher, result)


def _say_which_gpu(console: Console) -> None:
    """NVML where there is one; else the simulated GPU, said in words nobody can miss."""
    if not os.environ.get(discover.GPU_VARIABLE):
        try:
            for board in discover.open_boards("nvml"):
                board.close()
        except NoDevice:
            os.environ[discover.GPU_VARIABLE] = SIMULATED
    if discover.is_virtual(discover.gpu_source()):
        console.print(
            f"[bold]No NVIDIA GPU is measured here: it is SIMULATED[/bold] ({discover.gpu_source()}). The "
            "training is real; watts, joules and seconds are not.\n"
        )
    console.print(
        f"Training a network on handwritten digits to {TARGET.metric} {TARGET.value}, "
        f"over batch sizes {', '.join(map(str, BATCH_SIZES))}; yours would be {DEFAULT_BATCH_SIZE}.\n"
    )


def _tell(console: Console, options: DemoOptions, searcher: ZeusSearcher, result: ExperimentAnalysis) -> None:
    """The table, the saving, the price of the search, and the picture by path."""
    from zeus_ray.reporting import plots  # noqa: PLC0415 — matplotlib, once there is something to draw

    console.print()
    shown = html.show(result, best=searcher.best())
    figure = shown.pareto()
    if figure is not None:
        path = plots.save(figure, options.out / "pareto.png")
        console.print(f"Energy against time, every trial: {path.resolve()}", soft_wrap=True)
