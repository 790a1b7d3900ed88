"""Parses how far a training is from a line that it prints: a step counter or a progress bar."""

from __future__ import annotations

import re
from dataclasses import dataclass

from zeus_ray.errors import BadInput
from zeus_ray.jobs.metric_parser import RANK_PREFIX

LONGEST_LABEL = 60
_FORMS = (
    re.compile(r"\d{1,3}%\|[^|]{0,999}\|\s{0,9}(\d{1,12})/(\d{1,12})\s"),
    re.compile(r"(?<![\w.])(\d{1,12})it\s{1,9}\["),
    re.compile(r"^\s{0,99}(\d{1,12})/(\d{1,12})\s{1,9}[\[━=>]"),
    re.compile(
        r"(?<![\w.])(?:global[_ ]?)?(?:step|iteration|iter|itr|it|batch|update)s?"
        r"[\"']?[\s:=#\[(]{1,6}(\d{1,12})(?:\s{0,3}(?:/|of)\s{0,3}(\d{1,12}))?(?![\w.]\w)",
        re.IGNORECASE,
    ),
    re.compile(r"\[\s{0,9}(\d{1,12})/\s{0,9}(\d{1,12})[\s\]]"),
    re.compile(
        r"(?<![\w.])epochs?[\"']?[\s:=#\[(]{1,6}(\d{1,12})(?:\s{0,3}(?:/|of)\s{0,3}(\d{1,12}))?(?![\w.]\w)",
        re.IGNORECASE,
    ),
)
"""In this order:

- tqdm with a total, ``45%|████  | 450/1000 [00:10<00:12, 40it/s]``, and without, ``450it [00:10, 40it/s]``
- Keras, ``45/100 [====>....] - ETA: 3s``
- a line on a step, ``step 300/1000``, ``iter 300:``, ``global_step=300``, ``"step": 300``
- timm and torchvision, ``Train: 0 [  50/1251 (  4%)]``
- epochs, where nothing counts steps
"""
_NO_TRAINING = re.compile(
    r"(?<![\w./-])(?:val|valid|validat\w{1,4}|eval|evaluat\w{1,4}|test|testing|predict\w{0,4}|sanity|download\w{0,3}|"
    r"loading|map|tokeniz\w{1,4}|filter\w{0,3}|fetching|generat\w{1,4}|sampling|preprocess\w{0,3})(?![\w.])",
    re.IGNORECASE,
)
"""Words before a count that is not of training steps."""
_NUMBER = re.compile(r"[+-]?\d[\d.,:eE+-]*")


@dataclass(frozen=True)
class ProgressCount:
    """A count in a line.

    Attributes:
        counter: which counter of the training it is: its form, the text before it, and its total.
        done: where it stands.
    """

    counter: str
    done: int


class ProgressParser:
    """Finds the count of steps in lines of text.

    Args:
        regex: an expression whose first group is the count, and whose second, if it has two, is the total;
            it replaces the usual forms.

    Raises:
        BadInput: ``regex`` is none, or has not one or two groups.
    """

    def __init__(self, regex: str | None = None) -> None:
        self._forms = _FORMS if regex is None else (_compiled_with_groups(regex),)
        self._by_user = regex is not None

    def count(self, line: str) -> ProgressCount | None:
        """The count, or None where the line has none, or one of an evaluation, a download or the like."""
        text = RANK_PREFIX.sub("", line.strip()[-4000:])
        for number, form in enumerate(self._forms):
            found = form.search(text)
            if found is None:
                continue
            total = found[2] if form.groups > 1 else None
            label = "" if self._by_user else text[: found.start()][-LONGEST_LABEL:]
            if _NO_TRAINING.search(label) or not (found[1] or "").isdecimal():
                return None
            return ProgressCount(f"{number} {_NUMBER.sub('#', label)} of {total}", int(found[1][:12]))
        return None


def _compiled_with_groups(regex: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(regex)
    except re.error as error:
        raise BadInput(f"{regex!r} is no regular expression: {error}") from None
    if compiled.groups not in {1, 2}:
        raise BadInput(
            f"{regex!r} has {compiled.groups} groups; needed: one around the count of steps, as in "
            r"'iter (\d+)', and perhaps a second one around the total"
        )
    return compiled
