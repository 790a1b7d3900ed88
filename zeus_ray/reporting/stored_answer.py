"""The answer of a search, in a file of its experiment's folder: read where the searcher itself is not."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from zeus_ray.errors import BadInput
from zeus_ray.records import Best, from_json, to_json

ANSWER_FILE = "zeus-answer.json"

logger = logging.getLogger("zeus_ray")


def write_answer(folder: str, answer: Best) -> None:
    """Write the answer into an experiment's folder, in place of an earlier one. Raises OSError."""
    new = Path(folder, f".{ANSWER_FILE}")
    new.write_text(to_json(answer))
    new.replace(Path(folder, ANSWER_FILE))


def stored_answer(result: Any) -> Best | None:  # noqa: ANN401 — Ray is not typed
    """The answer of the search that ``result`` comes from.

    Args:
        result: what ``tune.run`` or ``Tuner.fit`` returned.

    Returns:
        None where the experiment has no such file, or its storage cannot be read from here.
    """
    folder = getattr(result, "experiment_path", None)
    if not isinstance(folder, str):
        return None
    files = getattr(result, "filesystem", None) or getattr(result, "_fs", None)
    path = f"{folder.rstrip('/')}/{ANSWER_FILE}"
    try:
        if files is None:
            return from_json(Best, Path(path).read_bytes())
        with files.open_input_stream(path) as stream:
            return from_json(Best, stream.read())
    except FileNotFoundError:
        return None
    except (OSError, BadInput) as error:
        logger.warning("zeus-ray: the answer of the search at %s cannot be read: %s", path, error)
        return None
