"""Whichever fault: the original limit is restored within ten seconds, and what the kind asserts holds."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import all_faults
import ray_faults
import scenario as scenarios

from zeus_ray.leases.watchdog_start import running_watchdog


@pytest.mark.processes
@pytest.mark.parametrize("kind", all_faults.PROCESS_KINDS, ids=lambda kind: kind.__name__)
def test_the_original_limit_is_restored(fake_nvml, tmp_path, kind):
    scenario = scenarios.Scenario(fake_nvml, tmp_path)
    try:
        assert kind(scenario) < scenarios.RESTORED_WITHIN_S
        assert scenario.gpu.limit_w == scenario.expected_w
    finally:
        scenario.close()


TESTED_ELSEWHERE = {
    ray_faults.paused_resumed_elsewhere_then_killed: "tests/actors/test_cluster.py, on the cluster it has",
    ray_faults.search_killed_and_restored: "tests/tune/test_crash.py, on a simulated GPU",
}
"""Kinds that other tests have; benchmarks/bench_faults.py does them as well."""


@pytest.mark.ray
@pytest.mark.parametrize(
    "kind",
    [kind for kind in ray_faults.KINDS if kind not in TESTED_ELSEWHERE],
    ids=lambda kind: kind.__name__,
)
def test_the_original_limit_is_restored_under_ray(fake_nvml, tmp_path, kind):
    scenario = ray_faults.RayScenario(fake_nvml, tmp_path)
    try:
        assert kind(scenario) < scenarios.RESTORED_WITHIN_S
        assert scenario.gpu.limit_w == scenario.expected_w
    finally:
        scenario.close()


@pytest.mark.processes
def test_the_watchdog_ends_without_journals(tmp_path, monkeypatch):
    from zeus_ray.leases import watchdog

    monkeypatch.setattr(watchdog, "WATCHDOG_LINGER_S", 0.2)
    monkeypatch.setattr(watchdog, "WATCHDOG_PERIOD_S", 0.05)
    watchdog.run_watchdog(tmp_path)
    assert running_watchdog(tmp_path) is None
    assert not list(tmp_path.glob("*.pid"))
