"""The objective of a search from its arguments, and what is refused."""

import math
import time

import numpy as np
import pytest

from zeus_ray.carbon.constant_and_recorded_signal import ConstantSignal, RecordedSignal
from zeus_ray.carbon.objective_from_arguments import SearchObjective, resolve_objective
from zeus_ray.carbon.open_signal import open_signal
from zeus_ray.carbon.series import Series
from zeus_ray.errors import BadInput
from zeus_ray.objective import Prices, cost

HOURS = 24 * 28
NOW_S = int(time.time() // 3600) * 3600
GIVEN = {"eta": None, "max_power_w": None, "gpus": 1}


def at(value, history=100.0):
    """Four weeks of ``history``, then an hour of ``value``, which is now."""
    values = np.append(np.full(HOURS, history), value)
    return SearchObjective(RecordedSignal(Series(0.0, 3600.0, values)), clock=lambda: HOURS * 3600.0)


@pytest.mark.parametrize(
    ("objective", "price"),
    [
        (SearchObjective(), 1.0),
        (SearchObjective(ConstantSignal(400.0)), 1.0),
        (at(50.0), 0.5),
        (at(300.0), 3.0),
        (at(-10.0), -0.1),
        (at(50.0, history=-1.0), 1.0),  # nothing is relative to a mean below zero
        (at(50.0, history=math.nan), 1.0),
    ],
)
def test_the_price_of_energy_relative_to_its_mean(objective, price):
    assert objective.energy_price() == pytest.approx(price)


def test_prices_give_the_eta_of_equal_cost():
    """0.30 per kWh and 2 per hour: 1 kWh more is worth 9 minutes."""
    eta = Prices(energy=0.30, time=2.0).eta(max_power_w=250.0, gpus=2)
    base = cost(3.6e6, 3600.0, eta=eta, max_power_w=250.0, gpus=2)
    other = cost(2 * 3.6e6, 3600.0 - 0.15 * 3600, eta=eta, max_power_w=250.0, gpus=2)
    assert other == pytest.approx(base)
    assert (Prices(1, 0).eta(250.0, 1), Prices(0, 1).eta(250.0, 1)) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("objective", "signal", "more", "said"),
    [
        ("speed", None, {}, "'speed'; allowed: 'energy', 'carbon', 'price', or Prices"),
        ("carbon", None, {}, "needs a signal"),
        ("carbon", "coal", {}, "signal is 'coal'"),
        ("energy", "constant:400", {}, "objective is 'energy'"),
        ("price", "constant:400", {}, "needed: money per kWh"),
        ("carbon", "constant:0.3?unit=EUR/kWh", {}, "needed: gCO2eq/kWh"),
        (Prices(1, 1), None, {}, "needs max_power_w"),
        (Prices(1, 1), None, {"eta": 0.5, "max_power_w": 250.0}, "neither eta"),
    ],
)
def test_impossible_arguments_are_refused(objective, signal, more, said):
    with pytest.raises(BadInput, match=said):
        resolve_objective(objective, signal, **{**GIVEN, **more})


@pytest.mark.parametrize("prices", [(-1, 1), (0, 0), (math.nan, 1), (1, math.inf)])
def test_impossible_prices_are_refused(prices):
    with pytest.raises(BadInput, match="prices per kWh and per hour"):
        Prices(*prices)


def test_possible_arguments():
    objective, eta = resolve_objective("carbon", "constant:400", **{**GIVEN, "eta": 0.7})
    assert (objective.signal, eta) == (ConstantSignal(400.0), 0.7)
    assert resolve_objective("energy", None, **GIVEN) == (SearchObjective(), 0.5)
    assert resolve_objective(Prices(0.36, 0.09), None, **{**GIVEN, "max_power_w": 250.0})[1] == pytest.approx(
        0.5
    )


def test_a_provider_that_does_not_answer_changes_nothing(tmp_path):
    """The search goes on at the long-run price and does not wait. No server is on the discard port."""
    from zeus_ray.carbon.fetched_signal import RemoteSignal
    from zeus_ray.carbon.providers.uk import Uk

    signal = RemoteSignal(Uk(base_url="http://127.0.0.1:9"), cache=tmp_path / "x.json")
    objective, _eta = resolve_objective("carbon", signal, **GIVEN)
    assert objective.energy_price() == 1.0
    signal._thread.join()
    assert "no answer" in signal.note
    assert objective.energy_price() == 1.0


def test_a_file_that_has_ended_is_warned_of(tmp_path, caplog):
    """Its last value would silently count for ever."""
    rows = ["timestamp,carbon_intensity", *(f"2022-06-01T{hour:02}:00Z,{400 + hour}" for hour in range(24))]
    path = tmp_path / "old.csv"
    path.write_text("\n".join(rows))
    resolve_objective("carbon", f"csv:{path}", **GIVEN)
    assert "ended on" in caplog.text
    assert "its last value, 423 gCO2eq/kWh" in caplog.text
    caplog.clear()
    resolve_objective("carbon", "constant:400", **GIVEN)
    assert caplog.text == ""


@pytest.mark.parametrize("spec", ["csv:grid.csv", "  csv:grid.csv?unit=gCO2eq/kWh", "csv:sub/../grid.csv"])
def test_a_relative_file_is_found_from_another_working_directory(tmp_path, monkeypatch, spec):
    for name in ("driver/sub", "trial"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "driver" / "grid.csv").write_text(
        "timestamp,carbon_intensity\n" + "".join(f"{NOW_S + i * 3600},{100 + i}\n" for i in range(4))
    )
    monkeypatch.chdir(tmp_path / "driver")
    objective, _eta = resolve_objective("carbon", spec, **GIVEN)
    monkeypatch.chdir(tmp_path / "trial")
    assert open_signal(objective.emissions.signal).at(NOW_S + 3600) == 101.0


def test_a_signal_that_is_no_file_keeps_its_name():
    objective, _eta = resolve_objective("carbon", "constant:400", **GIVEN)
    assert objective.emissions.signal == "constant:400"
