"""A driver with a cluster of two nodes, a and b, one GPU each: see migrated_trial.py.

python migration_driver.py FOLDER LIMIT_W SETTINGS_A SETTINGS_B   (the environments of the nodes, as JSON)
"""

import json
import sys
from pathlib import Path

import psutil
import ray
from ray.cluster_utils import Cluster


def main(folder, limit_w, *settings):
    import migrated_trial

    ray.cloudpickle.register_pickle_by_value(migrated_trial)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for name, env in zip("ab", settings, strict=True):
        marks = {f"node_{name}": 1, "may_set": 1}
        cluster.add_node(num_cpus=1, num_gpus=1, resources=marks, env_vars=json.loads(env))
    ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
    processes = [p.pid for p in psutil.Process().children(recursive=True)]
    print(json.dumps({"processes": processes}), flush=True)  # noqa: T201 — read by the scenario
    result = migrated_trial.search(folder, float(limit_w))
    (folder / "result").write_text(json.dumps({key: result.get(key) for key in result if "zeus/" in key}))
    print("ended", flush=True)  # noqa: T201 — likewise
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
