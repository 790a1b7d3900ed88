"""Entries of nested configs by their path: ``"train/batch_size"`` is ``config["train"]["batch_size"]``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

NO_ENTRY = object()
"""What :func:`entry_at` returns where there is no entry."""


def entry_at(config: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 — the user's
    """The entry at ``path``, or :data:`NO_ENTRY`; a key that is spelt like the path comes first."""
    if path in config:
        return config[path]
    first, slash, rest = path.partition("/")
    inner = config.get(first)
    return entry_at(inner, rest) if slash and isinstance(inner, Mapping) else NO_ENTRY


def with_entry(config: Mapping[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy of ``config`` with ``value`` at ``path``; what it holds besides is not copied."""
    first, slash, rest = path.partition("/")
    if path in config or not slash:
        return {**config, path: value}
    inner = config.get(first)
    return {**config, first: with_entry(inner if isinstance(inner, Mapping) else {}, rest, value)}


def without_entry(config: Mapping[str, Any], path: str) -> dict[str, Any]:
    """A copy of ``config`` without the entry at ``path``."""
    first, slash, rest = path.partition("/")
    if path in config:
        return {key: value for key, value in config.items() if key != path}
    inner = config.get(first)
    if not slash or not isinstance(inner, Mapping):
        return dict(config)
    return {**config, first: without_entry(inner, rest)}


def overlaid(config: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``config`` with the entries of ``over``, dictionary by dictionary."""
    merged = dict(config)
    for key, value in over.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = overlaid(old, value) if both else value  # type: ignore[arg-type]  # both says so
    return merged


def entries(config: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Path and value of every entry that is no dictionary."""
    for key, value in config.items():
        path = f"{before}{key}"
        if isinstance(value, Mapping) and value:
            yield from entries(value, f"{path}/")
        else:
            yield path, value
