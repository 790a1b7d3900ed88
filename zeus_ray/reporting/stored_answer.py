"""The answer of a search, in a file of its experiment's folder: read where the searcher itself is not."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

from zeus_ray.records import Best, SearchAnswer, from_plain, to_json

ANSWER_FILE = "zeus-answer.json"

logger = logging.getLogger("zeus_ray")


def write_answer(folder: str, answer: SearchAnswer) -> None:
    """Write the answer into an experiment's folder, in place of an earlier one. Raises OSError."""
    new = Path(folder, f".{ANSWER_FILE}")
    new.write_text(to_json(answer))
    new.replace(Path(folder, ANSWER_FILE))


def stored_answer(result: Any) -> SearchAnswer | None:  # noqa: ANN401 — Ray is not typed
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
            return _read(Path(path).read_bytes())
        with files.open_input_stream(path) as stream:
            return _read(stream.read())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        logger.warning("zeus-ray: the answer of the search at %s cannot be read: %s", path, error)
        return None


def stored_best(result: Any) -> Best | None:  # noqa: ANN401 — Ray is not typed
    """The knobs of the :func:`stored_answer`; None without one, or where nothing reached the target."""
    answer = stored_answer(result)
    return None if answer is None or math.isnan(answer.best.time_s.mean) else answer.best


def _read(text: bytes) -> SearchAnswer:
    """The record; version 0 was the knobs alone. Raises ValueError."""
    raw = json.loads(text)
    return from_plain(SearchAnswer, raw if "best" in raw else {"best": raw, "version": 0})
