"""Whatever dies, the limit that was found is back within ten seconds."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import deaths
import ray_deaths


@pytest.mark.processes
@pytest.mark.parametrize("kind", deaths.KINDS, ids=lambda kind: kind.__name__)
def test_the_limit_found_is_back(fake_nvml, tmp_path, kind):
    scene = deaths.Scene(fake_nvml, tmp_path)
    try:
        assert kind(scene) < deaths.WITHIN_S
        assert scene.board.limit_w == deaths.FOUND_W
    finally:
        scene.close()


ELSEWHERE = {
    ray_deaths.paused_resumed_elsewhere_then_killed: "tests/actors/test_cluster.py, on the cluster it has",
    ray_deaths.search_killed_and_restored: "tests/tune/test_crash.py, on a simulated board",
}
"""Kinds that another test tries already: only benchmarks/bench_faults.py does them once more."""


@pytest.mark.ray
@pytest.mark.parametrize(
    "kind", [kind for kind in ray_deaths.KINDS if kind not in ELSEWHERE], ids=lambda kind: kind.__name__
)
def test_the_limit_found_is_back_under_ray(fake_nvml, tmp_path, kind):
    scene = ray_deaths.RayScene(fake_nvml, tmp_path)
    try:
        assert kind(scene) < deaths.WITHIN_S
        assert scene.board.limit_w == deaths.FOUND_W
    finally:
        scene.close()


@pytest.mark.processes
def test_the_guard_leaves_when_nothing_is_left(tmp_path, monkeypatch):
    from zeus_ray.leases import watchdog as guard

    monkeypatch.setattr(guard, "LINGER_S", 0.2)
    monkeypatch.setattr(guard, "LOOK_EVERY_S", 0.05)
    guard.watch(tmp_path)
    assert guard.running(tmp_path) is None
    assert not list(tmp_path.glob("*.pid"))
