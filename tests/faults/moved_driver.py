"""A driver with a cluster of two nodes, a and b, one GPU each: see moving.py.

python moved_driver.py FOLDER LIMIT_W SETTINGS_A SETTINGS_B   (the environments of the nodes, as JSON)
"""

import json
import sys
from pathlib import Path

import psutil
import ray
from ray.cluster_utils import Cluster


def main(folder, limit_w, *settings):
    import moving

    ray.cloudpickle.register_pickle_by_value(moving)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for name, env in zip("ab", settings, strict=True):
        marks = {f"node_{name}": 1, "may_set": 1}
        cluster.add_node(num_cpus=1, num_gpus=1, resources=marks, env_vars=json.loads(env))
    ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
    everyone = [p.pid for p in psutil.Process().children(recursive=True)]
    print(json.dumps({"everyone": everyone}), flush=True)  # noqa: T201 — to the campaign
    result = moving.search(folder, float(limit_w))
    (folder / "result").write_text(json.dumps({key: result.get(key) for key in result if "zeus/" in key}))
    print("ended", flush=True)  # noqa: T201 — likewise
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
