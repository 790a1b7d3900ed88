"""Whichever fault: the original limit is restored within ten seconds, and what the kind asserts holds."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import all_faults
import ray_faults
import scenario as scenarios

from zeus_ray.leases.watchdog_start_and_status import running_watchdog

CAMPAIGN = Path(__file__).parents[2] / "benchmarks" / "bench_faults.py"
AT_ONCE = 3
"""So many scenarios take place at once: their processes mostly wait."""
KIND_WITHIN_S = 120.0


class Campaign:
    """The kinds of fault that were selected, each once, in a few processes."""

    def __init__(self, folder, kinds):
        self._files = [folder / f"{number}.jsonl" for number in range(min(AT_ONCE, len(kinds)))]
        self._processes = [self._start(file, kinds[i::AT_ONCE]) for i, file in enumerate(self._files)]

    def _start(self, file, kinds):
        options = ("--n=1", "--ray=0", f"--save={file}", "--kinds", *kinds)
        with file.with_suffix(".log").open("w") as log:
            return subprocess.Popen([sys.executable, CAMPAIGN, *options], stdout=log, stderr=log)

    def fault(self, kind):
        """How the fault went, once it is over."""
        until_s = time.monotonic() + KIND_WITHIN_S
        while time.monotonic() < until_s:
            ended = all(process.poll() is not None for process in self._processes)
            texts = [file.read_text() for file in self._files if file.exists()]
            lines = [line for text in texts for line in text.splitlines(keepends=True) if line.endswith("\n")]
            for fault in map(json.loads, lines):
                if fault["kind"] == kind:
                    return fault
            assert not ended, [file.with_suffix(".log").read_text() for file in self._files]
            time.sleep(0.1)
        raise AssertionError(f"{kind} takes longer than {KIND_WITHIN_S:g} s")

    def end(self):
        for process in self._processes:
            process.terminate()
            process.wait()


@pytest.fixture(scope="session")
def campaign(request, tmp_path_factory):
    selected = (
        getattr(item, "callspec", None)
        for item in request.session.items
        if item.get_closest_marker("processes")
    )
    kinds = [spec.params["kind"].__name__ for spec in selected if spec and "kind" in spec.params]
    campaign = Campaign(tmp_path_factory.mktemp("campaign"), kinds)
    yield campaign
    campaign.end()


@pytest.mark.processes
@pytest.mark.parametrize("kind", all_faults.PROCESS_KINDS, ids=lambda kind: kind.__name__)
def test_the_original_limit_is_restored(campaign, kind):
    fault = campaign.fault(kind.__name__)
    assert not fault["wrong"], fault["wrong"]
    assert float(fault["restored_s"]) < scenarios.RESTORED_WITHIN_S


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
