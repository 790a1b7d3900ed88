"""A recurring job for carbon or money: the price of energy moves its power limit, and nothing else."""

import dataclasses
import itertools
import math
import time

import pytest
from jobs import TARGET, job, train, train_both

import zeus_ray as zeus
from zeus_ray.cli.job_run_command import parsed_objective
from zeus_ray.cli.main import main
from zeus_ray.search.search import Search

HOURS = 24 * 28
ONE = {"batch_sizes": [256], "default_batch_size": 256}
"""A job with one batch size: only the limit is searched, and its GPU is busy, so that the limit binds."""


@pytest.fixture
def grid(tmp_path):
    """Makes a CSV signal: four weeks of 100 g/kWh up to now, then a day of another value."""

    def make(value):
        path, began_s = tmp_path / f"{value:g}.csv", time.time() - HOURS * 3600.0 - 60.0
        rows = [f"{began_s + i * 3600:.0f},{100 if i < HOURS else value}" for i in range(HOURS + 24)]
        path.write_text("\n".join(["timestamp,carbon_intensity", *rows]))
        return f"csv:{path}"

    return make


@pytest.mark.slow
def test_the_limit_follows_the_price_of_energy(history, grid):
    job(history, **ONE).train(train)  # which measures the profile
    limits = {}
    for grams in (20.0, 100.0, 500.0):
        plan = job(history, **ONE, objective="carbon", signal=grid(grams)).ask("simulated V100")
        assert plan.energy_price == pytest.approx(grams / 100, rel=0.01)
        limits[grams] = plan.knobs.power_limit_w
    assert limits[500.0] < limits[100.0] < limits[20.0]
    assert limits[100.0] == job(history, **ONE).ask("simulated V100").knobs.power_limit_w


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["zeus-ray", "nsdi23"])
def test_runs_at_any_price_teach_the_search_the_same(history, grid, policy):
    """Rebuilt from its log, it suggests what a search in memory does, whatever energy cost in each run."""
    options = {"batch_sizes": [32, 64, 128], "policy": policy, "seed": 7}
    search = Search(**options, default_batch_size=64, target=TARGET, recurring=True)
    signals = itertools.cycle([grid(20.0), grid(500.0)])
    for signal in itertools.islice(signals, 7):
        with job(history, **options, objective="carbon", signal=signal).run() as run:
            knobs = search.ask("simulated V100", energy_price=run.plan.energy_price)
            assert dataclasses.replace(run.plan.knobs, run_id=knobs.run_id) == knobs
            train_both(run, search, knobs)
    rebuilt = job(history, **options).search()
    assert rebuilt.best() == search.best()
    for run_id in ("a", "b", "c"):
        assert rebuilt.ask(run_id=run_id) == search.ask(run_id=run_id)


def test_emissions_or_price_of_a_run_are_reported(history):
    options = {"objective": "carbon", "signal": "constant:360"}
    with job(history, **ONE, **options).run() as run:
        row = run.report({"accuracy": 0.1})
        assert row["zeus/carbon_g"] == pytest.approx(row["zeus/energy_j"] / 1e4)  # 360 g per 3.6 MJ
        assert math.isnan(row["zeus/price"])
    with job(history, **ONE, objective="price", signal="constant:0.36?unit=EUR/kWh").run() as run:
        row = run.report({"accuracy": 0.1})
        assert row["zeus/price"] == pytest.approx(row["zeus/energy_j"] / 1e7)
    with job(history, **ONE).run() as run:
        assert math.isnan(run.report({"accuracy": 0.1})["zeus/carbon_g"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"objective": "speed"}, "'speed'; allowed"),
        ({"objective": "carbon"}, "needs a signal"),
        ({"signal": "constant:400"}, "objective is 'energy'"),
        ({"objective": zeus.Prices(energy=0.3, time=2.0)}, "needs max_power_w"),
    ],
)
def test_an_objective_that_is_not_allowed_is_refused(history, options, words):
    with pytest.raises(zeus.BadInput, match=words):
        job(history, **options)


def test_prices_given_by_the_user(history):
    mixed = job(history, objective=zeus.Prices(energy=0.36, time=0.09), max_power_w=250.0)
    assert mixed.search().eta == pytest.approx(0.5)
    assert mixed.ask("V100").energy_price == 1.0


def test_the_command_takes_the_same_objectives(history, capsys):
    assert parsed_objective("carbon") == "carbon"
    assert parsed_objective("energy=0.30,time=2.0") == zeus.Prices(energy=0.3, time=2.0)
    given = ["--history", str(history), "--job", "x", "--batch-sizes", "64", "--default-batch-size", "64"]
    for more, words in (
        (["--objective", "carbon"], "needs a signal"),
        (["--objective", "energy=1"], "prices as in energy=0.30,time=2.0"),
        (["--objective", "energy=1,time=1"], "needs max_power_w"),
        (["--objective", "price", "--signal", "constant:400"], "money per kWh"),
    ):
        assert main(["job", "run", *given, "--target", "accuracy=0.9", *more, "--", "true"]) == 2
        assert words in capsys.readouterr().err
