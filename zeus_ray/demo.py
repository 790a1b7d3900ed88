"""``zeus-ray demo``: a Ray Tune search that trains a small network on real data.

The data are scikit-learn's handwritten digits (1,797 images, shipped with the package); the search has eight
batch sizes, with the learning rate scaled to each. Energy is measured by NVML, or comes from a simulated GPU
where there is none, which the output states at the start, at the end and on the plot. The training is real
in both cases.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from zeus_ray.errors import BadInput, NoDevice
from zeus_ray.gpus import discovery
from zeus_ray.records import Target
from zeus_ray.reporting.show import show

if TYPE_CHECKING:
    from ray.tune import ExperimentAnalysis

    from zeus_ray.tune.searcher import ZeusSearcher

BATCH_SIZES = (8, 16, 32, 64, 128, 256, 512, 1024)
DEFAULT_BATCH_SIZE = 32
DEMO_TARGET = Target("accuracy", 0.95)
MAX_EPOCHS = 60
SIMULATED_GPU = "simulated:V100"
EXAMPLE = (
    "This search is an example. On a machine with an NVIDIA GPU run zeus-ray demo again; for a training of "
    "your own begin with notebooks/01_first_search.ipynb or with docs/index.md, the quick start."
)


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """The options of ``zeus-ray demo``.

    Attributes:
        eta: weight of energy against time, from 0 to 1.
        seed: of the search and of the trainings.
        trials: trainings at most.
        out: folder for Ray's results and the plot.
    """

    eta: float = 0.5
    seed: int = 0
    trials: int = 24
    out: Path = Path("zeus-ray-demo")


def run_demo(options: DemoOptions) -> None:
    """Search, then print the trials, what was saved and what the search took, and save the plot.

    Raises:
        BadInput: a package of the extra "demo" is not installed.
    """
    _choose_gpu()
    if missing := [name for name in ("torch", "sklearn") if importlib.util.find_spec(name) is None]:
        raise BadInput(f"the demo needs {' and '.join(missing)}: pip install zeus-ray[demo]")
    import ray  # noqa: PLC0415 — seconds to import

    console = Console()
    _announce(console)
    started_here = not ray.is_initialized()
    if started_here:
        ray.init(
            "local",
            include_dashboard=False,
            num_cpus=os.cpu_count(),
            logging_level="ERROR",
            log_to_driver=False,  # trials print nothing; what fails, Tune reports
        )
    try:
        searcher, result = run_search(options)
    finally:
        if started_here:
            ray.shutdown()
    _report(console, options, searcher, result)


def run_search(options: DemoOptions) -> tuple[ZeusSearcher, ExperimentAnalysis]:
    """Run the search; its first trial is the baseline: the default batch size at the limit found."""
    from ray import tune  # noqa: PLC0415 — seconds to import

    import zeus_ray as zeus  # noqa: PLC0415 — likewise: it needs Ray from here on

    searcher = zeus.ZeusSearcher(
        target=DEMO_TARGET,
        default_batch_size=DEFAULT_BATCH_SIZE,
        eta=options.eta,
        max_epochs=MAX_EPOCHS,
        seed=options.seed,
        baseline=True,
    )
    return searcher, tune.run(
        train_digits,
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


def train_digits(config: dict[str, Any]) -> None:
    """A user's training function; the lines with ``run`` are what zeus-ray adds."""
    import torch  # noqa: PLC0415 — only in the trial
    from torch import nn  # noqa: PLC0415
    from torch.utils.data import DataLoader  # noqa: PLC0415

    import zeus_ray as zeus  # noqa: PLC0415

    torch.manual_seed(config["seed"])
    torch.set_num_threads(1)  # two trials at a time on two cores
    device = "cuda" if torch.cuda.is_available() else "cpu"
    training, test_x, test_y = _load_data(device)
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


def _load_data(device: str) -> tuple[Any, Any, Any]:
    """The training set, the test images and the test labels; every fifth image is a test image."""
    import torch  # noqa: PLC0415 — only in the trial
    from sklearn.datasets import load_digits  # noqa: PLC0415

    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images / 16.0, dtype=torch.float32, device=device)
    y = torch.tensor(labels, dtype=torch.long, device=device)
    test = torch.arange(len(y), device=device) % 5 == 0
    return torch.utils.data.TensorDataset(x[~test], y[~test]), x[test], y[test]


def _choose_gpu() -> None:
    """Use NVML if it has a GPU, else the simulated one, unless the environment names a source."""
    if os.environ.get(discovery.GPU_VARIABLE):
        return
    try:
        for gpu in discovery.open_gpus("nvml"):
            gpu.close()
    except NoDevice:
        os.environ[discovery.GPU_VARIABLE] = SIMULATED_GPU


def _announce(console: Console) -> None:
    source = discovery.gpu_source()
    if discovery.is_virtual(source):
        console.print(
            f"[bold]The GPU is SIMULATED[/bold] ({source}): the training is real; watts, joules and the "
            "minutes of each trial are those of a model of that card at work on a large image network.\n"
        )
    console.print(
        f"Training a network on handwritten digits to {DEMO_TARGET.metric} {DEMO_TARGET.value}. Batch sizes: "
        f"{', '.join(map(str, BATCH_SIZES))}; the default to compare with: {DEFAULT_BATCH_SIZE}.\n"
    )


def _report(
    console: Console, options: DemoOptions, searcher: ZeusSearcher, result: ExperimentAnalysis
) -> None:
    """Print the table and the sentences; draw the plot and print its path."""
    console.print()
    picture = show(result, best=searcher.best(), example=EXAMPLE).pareto()
    if picture is not None:
        path = picture.save(options.out / "pareto.png")
        simulated = " (SIMULATED)" if discovery.is_virtual(discovery.gpu_source()) else ""
        console.print(f"\nPicture of energy against time{simulated}: {path.resolve()}", soft_wrap=True)
    console.print(
        "\nA training begins with random weights and needs more or fewer epochs, so another seed may end "
        "with another batch size: zeus-ray demo --seed 1"
    )
