"""Every source of GPUs by its name in ``ZEUS_RAY_GPU``. A new vendor is one file and one line here."""

from __future__ import annotations

from importlib import import_module

from zeus_ray.errors import BadInput
from zeus_ray.gpus.protocol import GpuSource

DEFAULT_SOURCE = "nvml"
GPU_SOURCES = {
    "nvml": "zeus_ray.gpus.nvml:NvmlSource",
    "simulated": "zeus_ray.gpus.simulated_gpu:SimulatedSource",
    "replay": "zeus_ray.gpus.replayed_gpu:ReplaySource",
}
"""Name to ``module:class``, a :class:`GpuSource`. The module is imported when the source is used."""


def load_source(text: str) -> GpuSource:
    """The source that ``text`` names, such as ``nvml`` or ``simulated:A100``.

    Raises:
        BadInput: no source has this name, or it does not take these options.
    """
    name, _, options = text.partition(":")
    if name not in GPU_SOURCES:
        raise BadInput(f"ZEUS_RAY_GPU is {text!r}; allowed: {', '.join(GPU_SOURCES)}")
    module, _, kind = GPU_SOURCES[name].partition(":")
    source: GpuSource = getattr(import_module(module), kind)(options)
    return source
