"""Emissions or price of energy at the time at which it was used."""

import math

import numpy as np
import pytest

from zeus_ray.carbon.constant_and_recorded_signal import ConstantSignal, RecordedSignal
from zeus_ray.carbon.energy_pricer import EnergyPricer, mean_between
from zeus_ray.carbon.series import Series
from zeus_ray.quantity_format import HOUR_S, J_PER_KWH
from zeus_ray.records import EmissionsConfig, to_json

HALVES = RecordedSignal(Series(0.0, HOUR_S, np.array([100.0, 300.0])))


def config(signal, **options):
    return to_json(EmissionsConfig(signal=signal, **options))


@pytest.mark.slow
def test_grams_and_money_are_in_the_unit_of_the_config():
    pricer = EnergyPricer()
    assert pricer(config("constant:400"), J_PER_KWH, 0.0, HOUR_S) == 400.0
    price = config("constant:0.3?unit=EUR/kWh", unit="EUR/kWh")
    assert pricer(price, 2 * J_PER_KWH, 0.0, HOUR_S) == pytest.approx(0.6)


def test_money_is_never_taken_for_grams(caplog):
    pricer = EnergyPricer()
    mislabelled = config("constant:0.3?unit=EUR/kWh")
    for _ in range(2):
        assert math.isnan(pricer(mislabelled, J_PER_KWH, 0.0, HOUR_S))
    assert "is in EUR/kWh, but its EmissionsConfig says unit='gCO2eq/kWh'" in caplog.text
    assert len(caplog.records) == 1


def test_energy_counts_at_the_signals_mean_while_it_was_drawn():
    pricer = EnergyPricer(lambda _spec: HALVES)
    assert pricer(config("x"), J_PER_KWH, 0.0, 2 * HOUR_S) == pytest.approx(200.0)
    assert pricer(config("x"), J_PER_KWH, HOUR_S, HOUR_S) == 300.0
    assert mean_between(HALVES, 0.5 * HOUR_S, 1.5 * HOUR_S) == pytest.approx(200.0)


def test_a_fast_clock_counts():
    pricer = EnergyPricer(lambda _spec: HALVES)
    fast = config("x", clock=(1000.0, HOUR_S, 60.0))  # a second of the real time is a minute on the grid
    assert pricer(fast, J_PER_KWH, 1000.0, 1001.0) == 300.0


def test_each_signal_is_opened_once():
    opened = []

    def opener(spec):
        opened.append(spec)
        return ConstantSignal(1.0)

    pricer = EnergyPricer(opener)
    for _ in range(3):
        pricer(config("a"), 1.0, 0.0, 1.0)
    assert opened == ["a"]


def test_a_signal_that_cannot_be_opened_is_warned_of_once(caplog):
    pricer = EnergyPricer()
    for _ in range(2):
        assert math.isnan(pricer(config("csv:/no/such/file"), 1.0, 0.0, 1.0))
    assert len(caplog.records) == 1
