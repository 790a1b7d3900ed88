"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

CommandGpus = Annotated[
    str | None,
    typer.Option(
        metavar="0,1|UUIDs",
        help="GPUs of the command, set as its CUDA_VISIBLE_DEVICES (default: those that it sees).",
    ),
]
