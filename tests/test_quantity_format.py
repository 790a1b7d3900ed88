"""Quantities, formatted for people."""

import math

import pytest

from zeus_ray import quantity_format as units

NAN = math.nan


@pytest.mark.parametrize(
    ("joules", "text"),
    [
        (0, "0.00 J"),
        (5, "5.00 J"),
        (999, "999 J"),
        (1_000, "1.00 kJ"),
        (48_870, "48.9 kJ"),
        (-2.5e6, "-2.50 MJ"),
        (1.2e10, "12.0 GJ"),
        (NAN, "–"),
    ],
)
def test_energy(joules, text):
    assert units.energy(joules) == text


@pytest.mark.parametrize(
    ("time_s", "text"),
    [
        (0, "0.00 s"),
        (90, "90.0 s"),
        (150, "2.50 min"),
        (3_000, "50.0 min"),
        (9_000, "2.50 h"),
        (400_000, "4.63 days"),
        (NAN, "–"),
    ],
)
def test_seconds(time_s, text):
    assert units.seconds(time_s) == text


@pytest.mark.parametrize(
    ("joules", "text"), [(3_600, "1.00 Wh"), (856_000, "238 Wh"), (7.2e6, "2.00 kWh"), (NAN, "–")]
)
def test_watt_hours(joules, text):
    assert units.watt_hours(joules) == text


def test_power_and_percent():
    assert (units.power(149.6), units.power(NAN)) == ("150 W", "–")
    assert (units.percent(0.1234), units.percent(-0.5), units.percent(NAN)) == ("12.3 %", "50.0 %", "unknown")


def test_the_unit_of_a_column_ignores_unknown_values():
    scale = units.energy_scale([NAN, 500, 20_000, math.inf])
    assert scale.unit == "kJ"
    assert [scale.text(joules) for joules in (500, 20_000, 1_234_000, NAN)] == ["0.50", "20.0", "1,234", "–"]
    assert units.energy_scale([NAN]).unit == "J"
    assert units.time_scale([]).unit == "s"


@pytest.mark.parametrize(
    "text", ["2026-01-01T00:00Z", "2026-01-01T00:00:00.000Z", "2026-01-01 01:00:00+01:00"]
)
def test_times_with_a_zone_are_read_by_every_python(text):
    assert units.parse_iso_time(text).timestamp() == 1_767_225_600
