"""``zeus_emissions.csv``: what is written can be read and summed; no run twice; no damage by a torn line."""

import csv
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeus_ray.errors import BadInput
from zeus_ray.reporting.emissions_csv import EMISSIONS_COLUMNS, EmissionsRow, append_rows

CODECARBON = {
    *("timestamp", "project_name", "run_id", "experiment_id", "duration", "emissions", "emissions_rate"),
    *("cpu_power", "gpu_power", "ram_power", "cpu_energy", "gpu_energy", "ram_energy", "energy_consumed"),
    *("os", "python_version", "gpu_count", "gpu_model", "tracking_mode"),
}
NUMBERS = st.floats(0, 1e12) | st.just(math.nan)


def row(run_id="a", **known):
    return EmissionsRow(
        ended_at_s=1.8e9, project="nightly", run_id=run_id, **{"time_s": 10.0, "energy_j": 3.6e6, **known}
    )


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_units_are_those_of_codecarbon(tmp_path):
    path = tmp_path / "zeus_emissions.csv"
    used = row(carbon_g=200.0, cpu_energy_j=1.8e6, gpus=2.0, gpu="V100", batch_size=64.0)
    assert append_rows(path, [used]) == 1
    (found,) = read(path)
    assert set(EMISSIONS_COLUMNS) >= CODECARBON
    assert float(found["gpu_energy"]) == 1.0  # kWh
    assert float(found["cpu_energy"]) == 0.5
    assert float(found["energy_consumed"]) == 1.5
    assert float(found["emissions"]) == 0.2  # kg
    assert float(found["emissions_rate"]) == 0.02
    assert float(found["gpu_power"]) == 3.6e5  # W
    assert (found["ram_energy"], found["gpu_count"], found["zeus_batch_size"]) == ("", "2.0", "64.0")
    assert found["timestamp"] == "2027-01-15T08:00:00+00:00"


def test_a_run_has_one_row_however_often_it_is_written(tmp_path):
    path = tmp_path / "zeus_emissions.csv"
    assert append_rows(path, [row("a"), row("b")]) == 2
    assert append_rows(path, [row("b"), row("c")]) == 1
    assert [found["run_id"] for found in read(path)] == ["a", "b", "c"]


def test_a_torn_line_swallows_no_row(tmp_path):
    path = tmp_path / "zeus_emissions.csv"
    append_rows(path, [row("a")])
    path.write_bytes(path.read_bytes()[:-20])
    append_rows(path, [row("b")])
    assert [found["run_id"] for found in read(path)] == ["a", "b"]


def test_another_file_is_left_alone(tmp_path):
    path = tmp_path / "emissions.csv"
    path.write_text("timestamp,emissions\n1,2\n")
    with pytest.raises(BadInput, match="other columns"):
        append_rows(path, [row()])
    assert path.read_text() == "timestamp,emissions\n1,2\n"


@given(energy_j=NUMBERS, time_s=NUMBERS, carbon_g=NUMBERS, name=st.text(max_size=20))
def test_anything_is_read_as_it_was_written(tmp_path_factory, energy_j, time_s, carbon_g, name):
    path = tmp_path_factory.mktemp("emissions") / "zeus_emissions.csv"
    name = name.replace("\r", "").replace("\n", "").replace("\x00", "")
    written = EmissionsRow(
        ended_at_s=0.0, project=name, run_id=name, time_s=time_s, energy_j=energy_j, carbon_g=carbon_g
    )
    if any(0xD800 <= ord(letter) < 0xE000 for letter in name):
        return
    append_rows(path, [written])
    (found,) = read(path)
    assert found["project_name"] == name
    assert found["duration"] == ("" if math.isnan(time_s) else repr(time_s))
    if not math.isnan(energy_j):
        assert float(found["gpu_energy"]) == pytest.approx(energy_j / 3.6e6)
