"""A real Prometheus scrapes Ray while a trial runs: each query of the Grafana dashboard has an answer."""

import json
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from ray_with_exports import run_with_exports
from test_exported import free_port

import zeus_ray.actors

pytestmark = pytest.mark.ray
DASHBOARD = Path(zeus_ray.actors.__file__).parent / "grafana.json"
PANELS = json.loads(DASHBOARD.read_text())["panels"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]
WITHIN_S = 90
SETTINGS = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: ray
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


@pytest.fixture
def prometheus(tmp_path):
    """The port of Ray's metrics, and a function that asks Prometheus."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("Prometheus is not installed: apt-get install prometheus")
    ray_port, port = free_port(), free_port()
    (tmp_path / "prometheus.yml").write_text(SETTINGS.format(port=ray_port))
    command = [
        program,
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]

    def ask(query):
        address = f"http://127.0.0.1:{port}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                return json.load(answer)["data"]["result"]
        except OSError:
            return []

    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        yield ray_port, ask
        process.terminate()


def trains_until(seen):
    """A training function that reports each quarter of a second, until the file ``seen`` exists."""

    def train(config):
        import time
        from pathlib import Path

        import zeus_ray as zeus

        with zeus.session(config, power_limit_w=150.0) as run:
            until_s = time.monotonic() + WITHIN_S
            while not Path(seen).exists() and time.monotonic() < until_s:
                time.sleep(0.25)
                run.report({"accuracy": 0.5})

    return train


def run_trial_until(seen, results):
    """The id of a trial that ends once the file ``seen`` exists, and its energy (J)."""
    from ray import tune

    result = tune.run(
        trains_until(seen),
        scheduler=zeus_ray.EnergyScheduler(),
        config={"batch_size": 64},
        resources_per_trial={"cpu": 1, "gpu": 1},
        storage_path=results,
        verbose=0,
    )
    (trial,) = result.trials
    return trial.trial_id, trial.last_result["zeus/energy_j"]


def test_each_query_of_the_dashboard_has_an_answer(prometheus, make_node, tmp_path, monkeypatch):
    port, ask = prometheus
    node = make_node(cards="V100")
    node.load(1.0)
    monkeypatch.delenv("ZEUS_RAY_GPU", raising=False)
    seen, answers = tmp_path / "seen", {}

    def watch():
        until_s = time.monotonic() + WITHIN_S
        while time.monotonic() < until_s and len(answers) < len(QUERIES):
            found = {query: ask(query) for query in QUERIES if query not in answers}
            answers.update({query: rows for query, rows in found.items() if rows})
            time.sleep(0.5)
        seen.touch()

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        trial_id, trial_j = run_with_exports(
            run_trial_until, str(seen), str(tmp_path / "results"), port=port, num_gpus=1
        )
    finally:
        watching.join()
    assert [query for query in QUERIES if query not in answers] == []
    labels = {name for rows in answers.values() for row in rows for name in row["metric"]}
    shown = {
        name for panel in PANELS for target in panel["targets"] for name in _names(target["legendFormat"])
    }
    assert shown <= labels
    limits = answers["ray_zeus_gpu_power_limit_watts"]
    assert [(row["metric"]["GpuUuid"], float(row["value"][1])) for row in limits] == [(node.uuids[0], 150.0)]
    (energy,) = answers["sum by (TrialId) (ray_zeus_trial_energy_joules_total)"]
    assert 0 < float(energy["value"][1]) <= trial_j * 1.05
    assert energy["metric"]["TrialId"] == trial_id


def _names(legend):
    """The labels in a legend of Grafana, such as ``{{GpuUuid}} power``."""
    return [part.split("}}")[0].strip() for part in legend.split("{{")[1:]]
