"""How a metric is read: names of nested results, and values of every kind."""

import math
from fractions import Fraction

import numpy as np
import pytest

from zeus_ray.errors import BadInput
from zeus_ray.records.read_metric import check_metric, metric_names, read_metric


class Tensor:
    """As torch's without a dimension: no ``numbers.Real``."""

    ndim = 0

    def __init__(self, value):
        self.value = value

    def item(self):
        return self.value


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (0.5, 0.5),
        (3, 3.0),
        (Fraction(1, 4), 0.25),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3.0),
        (np.array(0.5), 0.5),
        (Tensor(0.5), 0.5),
        (-0.0, 0.0),
    ],
)
def test_numbers_of_every_kind_are_read(value, number):
    read = read_metric({"accuracy": value}, "accuracy")
    assert (type(read), read) == (float, number)
    assert check_metric({"accuracy": value}, "accuracy") == ""


@pytest.mark.parametrize(
    "value", [math.inf, -math.inf, math.nan, None, 10**400, np.float32("inf"), Tensor(math.inf)]
)
def test_what_is_not_finite_is_nan_without_a_warning(value):
    assert math.isnan(read_metric({"accuracy": value}, "accuracy"))
    assert check_metric({"accuracy": value}, "accuracy") == ""


@pytest.mark.parametrize(
    "value", [True, np.bool_(1), Tensor(value=True), [0.9], np.array([0.9]), {"a": 1}, 1j, Tensor("0.9")]
)
def test_what_is_no_number_is_nan_and_said(value):
    assert math.isnan(read_metric({"accuracy": value}, "accuracy"))
    assert "no number but" in check_metric({"accuracy": value}, "accuracy")


@pytest.mark.parametrize("result", [{"accuracy": "0.9"}, {"acc": 0.9, "eval": {"loss": 1.0}}, {}])
def test_a_text_or_a_missing_metric_is_refused_with_what_was_reported(result):
    assert math.isnan(read_metric(result, "accuracy"))
    with pytest.raises(
        BadInput, match="reported: " + (", ".join(map(repr, metric_names(result))) or "nothing")
    ):
        check_metric(result, "accuracy")


@pytest.mark.parametrize(
    "result",
    [
        {"eval": {"top": {"accuracy": 0.9}}},
        {"eval/top/accuracy": 0.9},
        {"eval/top": {"accuracy": 0.9}},
        {"eval": {"top/accuracy": 0.9}},
        {"eval": 1.0, "eval/top": {"accuracy": 0.9}},
    ],
)
def test_nested_results_are_read_by_their_flattened_names(result):
    assert read_metric(result, "eval/top/accuracy") == 0.9
    assert "eval/top/accuracy" in metric_names(result)
    assert math.isnan(read_metric(result, "eval/top"))
    assert math.isnan(read_metric(result, "accuracy"))
