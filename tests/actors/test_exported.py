"""The metrics as Prometheus scrapes them from Ray."""

import json
import socket
import time
import urllib.request
from pathlib import Path

import pytest
from ray_with_exports import run_with_exports

pytestmark = pytest.mark.ray


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def scraped(port, wanted, seconds=60):
    """The lines of the zeus-ray metrics, once all ``wanted`` are exported."""
    deadline_s = time.monotonic() + seconds
    lines = []
    while time.monotonic() < deadline_s:
        try:
            text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
        except OSError:
            text = ""
        lines = [line for line in text.splitlines() if line.startswith("ray_zeus_")]
        if all(any(line.startswith(name) for line in lines) for name in wanted):
            return lines
        time.sleep(0.5)
    raise AssertionError(lines)


def exported_lines(port):
    import ray

    @ray.remote(num_cpus=0)
    class Exporter:
        def export(self):
            from zeus_ray.actors.gpu_actor import GpuMetrics
            from zeus_ray.leases.lease_and_gpu_status import GpuStatus

            self.metrics = GpuMetrics()
            for energy_j in (100.0, 250.0):
                status = GpuStatus(uuid="GPU-1", power_limit_w=150.0, energy_j=(("trial", energy_j),))
                self.metrics.update(status)

    exporter = Exporter.remote()
    ray.get(exporter.export.remote())
    return scraped(port, ["ray_zeus_gpu_power_limit_watts", "ray_zeus_trial_energy_joules_total"])


def test_limit_and_energy_are_exported():
    port = free_port()
    lines = run_with_exports(exported_lines, port, port=port)
    values = {line.split("{")[0]: float(line.rsplit(" ", 1)[1]) for line in lines}
    assert values == {"ray_zeus_gpu_power_limit_watts": 150.0, "ray_zeus_trial_energy_joules_total": 250.0}
    assert all('GpuUuid="GPU-1"' in line for line in lines)


def test_the_grafana_dashboard_queries_metrics_that_exist():
    import zeus_ray.actors

    panel = json.loads((Path(zeus_ray.actors.__file__).parent / "grafana.json").read_text())
    asked = " ".join(target["expr"] for one in panel["panels"] for target in one["targets"])
    source = (Path(zeus_ray.actors.__file__).parent / "gpu_actor.py").read_text()
    for name in ("zeus_gpu_power_limit_watts", "zeus_trial_energy_joules_total"):
        assert f"ray_{name}" in asked
        assert f'"{name}"' in source
