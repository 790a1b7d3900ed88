"""Parses a metric from a line of text that a training writes, in the forms that are usual."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass

from typing_extensions import Self

from zeus_ray.errors import BadInput
from zeus_ray.records import NAN
from zeus_ray.records.read_metric import as_number, is_number, metric_entry

NUMBER_PATTERN = (
    r"[+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][+-]?\d{1,9})?|[+-]?(?:nan|inf(?:inity)?)"
)
"""Repetitions are bounded here and below, so that no line takes more than linear time."""
RANK_PREFIX = re.compile(r"^\s*\[(?:default|rank)?\s?\d{1,6}\]:?\s+")
"""What torchrun and others put before the output of each process."""
_ENDS = r"(?![\w/]|\.\d)"
_BAR = re.compile(r"\d{1,3}%\|[^|]{0,999}\|\s{0,9}(\d+)/(\d+)|^\s{0,99}(\d+)/(\d+)\s{1,9}[\[━=>]")
"""A progress bar: tqdm's and Lightning's, or Keras's."""
_BATCH_OF_MANY = re.compile(r"\[\s{0,9}(\d+)/\s{0,9}(\d+)[\s\]].{0,999}\d\s{0,9}\(\s{0,9}[\d.]+\s{0,9}\)")
"""How far a loop with running averages is: timm's ``Test: [  78/78]``."""
_EPOCH_OF_MANY = re.compile(r"epoch:?\s{0,3}\[\s{0,9}\d+/", re.IGNORECASE)
_COLUMNS = re.compile(r"[\s|│┃]+")
_TIME = re.compile(r"\d+(?::\d+)+(?:\.\d+)?s?")


class MetricParser:
    """Finds ``name`` in lines of text, which are given to it in their order.

    - A line of JSON is read as such, nested names included.
    - ``name=0.91``, ``name: 0.91``, ``'name': 0.91``, ``'name': '0.91'`` (Transformers), with a call around
      the number such as ``tensor(0.91)`` or without; the last one in the line.
    - ``name: 0.90 (0.91)`` (timm): the average in parentheses, from the line of the last batch.
    - ``name 0.91``, also in a table's row, at the start of the line or after a number or punctuation.
    - A column called ``name`` (fastai), in rows of numbers below its heading.
    - A progress bar with one of these (tqdm, Keras, Lightning), once it is complete.

    What only ends in the name (``val_accuracy``), and counts (``10/100``), do not count. Numbers that are not
    finite are NaN.

    Args:
        name: the metric. Written in lower case, it is found in any case.
        regex: an expression with one group, the number, which replaces all these forms.

    Raises:
        BadInput: ``regex`` is none, or has not one group.
    """

    def __init__(self, name: str, regex: str | None = None) -> None:
        self.name = name
        self._regex = None if regex is None else _compiled(regex)
        self._ignores_case = name.islower()
        ignore = re.IGNORECASE if self._ignores_case else re.UNICODE
        known = re.escape(name)
        self._with_sign = re.compile(
            rf"(?<![\w./-]){known}[\"']?\s{{0,20}}[=:]\s{{0,20}}[\"']?"
            rf"(?:[A-Za-z_][\w.]{{0,60}}\()?({NUMBER_PATTERN}){_ENDS}",
            ignore,
        )
        self._with_average = re.compile(
            rf"(?<![\w./-]){known}:?\s{{0,20}}(?:{NUMBER_PATTERN})\s{{0,9}}\(\s{{0,9}}({NUMBER_PATTERN})\s{{0,9}}\)",
            ignore,
        )
        self._beside = re.compile(
            rf"(?:^|[\d\])|│┃,;:*%-])\s{{0,60}}(?<![\w./-]){known}(?:\s{{1,60}}|\s{{0,60}}[|│┃]\s{{0,60}})"
            rf"({NUMBER_PATTERN})(?![\w/]|\.\d)(?=%?\s{{0,60}}(?:$|[,;|│┃(\])]|[\w@/.-]{{1,60}}[\s:=]{{1,60}}[-+.\d]))",
            ignore,
        )
        self._mentioned = re.compile(rf"(?<![\w./-]){known}(?![\w])", ignore)
        self._column: tuple[int, int] | None = None

    def value(self, line: str) -> float | None:
        """The metric, or None where the line has none. After a carriage return only what follows counts."""
        found = self.found(line)
        return None if found is None or not is_complete(line) else found

    def found(self, line: str) -> float | None:
        """As :meth:`value`, also in a progress bar that is not complete."""
        text = _shown(line)
        if self._regex is not None:
            match = self._regex.search(text)
            return _finite(match[1]) if match and match[1] is not None else None
        if text.startswith("{"):
            try:
                return self._of_json(json.loads(text))
            except (ValueError, RecursionError):
                pass  # not JSON: a dictionary as Python prints it, perhaps
        if averages := self._with_average.findall(text):
            if _BATCH_OF_MANY.search(text):
                return _finite(averages[-1])
            return self._first_number_beside(text)
        found = self._with_sign.findall(text) or self._beside.findall(text)
        return _finite(found[-1]) if found else self._in_column(text)

    def mentions(self, line: str) -> bool:
        """Whether the name is in the line with a number behind it, and may be the metric."""
        mention = self._mentioned.search(line)
        return mention is not None and re.search(r"\d", line[mention.end() : mention.end() + 200]) is not None

    def _first_number_beside(self, text: str) -> float | None:
        """``Acc@1 77.930 (22.070)``: a number that is followed by another in parentheses, after a loop."""
        found = self._with_sign.search(text) or self._beside.search(text)
        return _finite(found[1]) if found else None

    def _in_column(self, text: str) -> float | None:
        """The number in the metric's column, where ``text`` is a row below a heading that has the name."""
        cells = _COLUMNS.split(RANK_PREFIX.sub("", text[:4000]).strip("|│┃ \t"))
        names = [cell.lower() for cell in cells] if self._ignores_case else cells
        if self.name in names and len(cells) > 1 and not any(map(_is_row_cell, cells)):
            self._column = (names.index(self.name), len(cells))
        elif self._column is not None and len(cells) == self._column[1] and all(map(_is_row_cell, cells)):
            cell = cells[self._column[0]]
            return _finite(cell) if re.fullmatch(NUMBER_PATTERN, cell, re.IGNORECASE) else None
        return None

    def values(self, text: str) -> list[float]:
        """All values in a file: JSON (an object, or a list of them), JSON lines, or lines of text."""
        try:
            whole = json.loads(text)
        except (ValueError, RecursionError):
            complete = text[: text.rfind("\n") + 1]  # a last line may be half written
            found = [self.value(line) for line in complete.split("\n")]
        else:
            found = [self._of_json(item) for item in (whole if isinstance(whole, list) else [whole])]
        return [value for value in found if value is not None]

    def _of_json(self, item: object) -> float | None:
        entry = metric_entry(item, self.name) if isinstance(item, dict) else None
        return as_number(entry) if is_number(entry) else None


@dataclass(frozen=True)
class ProgressBar:
    """A progress bar in a line: the text before it with its numbers left out, and its counts."""

    label: str
    done: int
    total: int

    @property
    def is_complete(self) -> bool:
        """Whether it is at its end."""
        return self.done >= self.total

    @classmethod
    def of(cls, line: str) -> Self | None:
        """The bar in ``line``; None where it has none."""
        text = _shown(line)
        bar = _BAR.search(text)
        if bar is None:
            return None
        done, total = (int(count[:18]) for count in bar.groups() if count is not None)
        return cls(re.sub(r"\d+", "#", text[: bar.start()][-99:]).strip(), done, total)

    def begins_anew(self, earlier: ProgressBar) -> bool:
        """Whether this one is the next pass of ``earlier``."""
        return not self.is_complete and (self.label, self.total) == (earlier.label, earlier.total)


def is_complete(line: str) -> bool:
    """Whether ``line`` is no bar, or one at its end, and not of one batch of many."""
    bar = ProgressBar.of(line)
    if bar is not None:
        return bar.is_complete
    text = _shown(line)
    batch = None if "100%" in text or _EPOCH_OF_MANY.search(text) else _BATCH_OF_MANY.search(text)
    return batch is None or int(batch[1][:18]) >= int(batch[2][:18])


def _shown(line: str) -> str:
    """What a terminal shows of a line in the end."""
    return line.rstrip("\r\n").rpartition("\r")[2].strip()


def _is_row_cell(cell: str) -> bool:
    return (
        re.fullmatch(NUMBER_PATTERN, cell.rstrip("%"), re.IGNORECASE) is not None
        or _TIME.fullmatch(cell) is not None
        or cell in {"None", "-", "--"}
    )


def _compiled(regex: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(regex)
    except re.error as error:
        raise BadInput(f"{regex!r} is no regular expression: {error}") from None
    if compiled.groups != 1:
        raise BadInput(
            f"{regex!r} has {compiled.groups} groups; needed: one, around the number, as in 'top1 ([0-9.]+)'"
        )
    return compiled


def _finite(number: str) -> float:
    try:
        value = float(number)
    except (ValueError, OverflowError):
        return NAN
    return value if math.isfinite(value) else NAN
