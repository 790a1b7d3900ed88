"""Records to JSON and back: the only serialiser for what crosses a process border or is stored.

Records are plain frozen dataclasses; pydantic reads their annotations. Unknown fields are ignored, so
that an older version reads what a newer one wrote. NaN and infinity are kept (as Python's ``json``
writes them), because an unknown measurement is NaN and not null.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from zeus_ray.errors import BadInput

if TYPE_CHECKING:
    from pydantic import TypeAdapter

RecordT = TypeVar("RecordT")
_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}
_SERIALIZERS: dict[type[Any], TypeAdapter[Any]] = {}


def to_plain(record: object) -> Any:  # noqa: ANN401 — JSON
    """The record as dicts, lists, numbers, strings and None."""
    return _serializer(type(record)).dump_python((record,), mode="json")[0]


def from_plain(kind: type[RecordT], raw: object) -> RecordT:
    """Inverse of :func:`to_plain`.

    Raises:
        BadInput: ``raw`` is not a ``kind``: a field is missing or has another type.
    """
    try:
        record: RecordT = _adapter(kind).validate_python(raw)
    except ValueError as error:  # pydantic's ValidationError is one
        raise BadInput(f"not a {kind.__name__}: {error}") from error
    return record


def to_json(record: object) -> str:
    """The record as one line of JSON. What is no text, as in the name of a file, becomes a question mark."""
    plain = to_plain(record)
    text = json.dumps(plain)
    if "\\ud" in text:  # half of a pair, with which it could not be read back
        readable = json.dumps(plain, ensure_ascii=False).encode(errors="replace")
        text = json.dumps(json.loads(readable))
    return text


def from_json(kind: type[RecordT], text: str | bytes) -> RecordT:
    """Inverse of :func:`to_json`.

    Raises:
        BadInput: ``text`` is not JSON, or not a ``kind``.
    """
    try:
        record: RecordT = _adapter(kind).validate_json(text)
    except ValueError as error:
        raise BadInput(f"not a {kind.__name__} in JSON: {error}") from error
    return record


def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    if kind not in _ADAPTERS:
        from pydantic import TypeAdapter  # noqa: PLC0415 — a tenth of a second that `import zeus_ray` need not take

        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def _serializer(kind: type[Any]) -> TypeAdapter[Any]:
    """Of a tuple of one record: pydantic takes no configuration for a dataclass itself.

    Without this one, pydantic before 2.14 writes NaN in a named tuple as null.
    """
    if kind not in _SERIALIZERS:
        from pydantic import ConfigDict, TypeAdapter  # noqa: PLC0415 — see above

        _SERIALIZERS[kind] = TypeAdapter(tuple[kind], config=ConfigDict(ser_json_inf_nan="constants"))  # type: ignore[valid-type]
    return _SERIALIZERS[kind]
