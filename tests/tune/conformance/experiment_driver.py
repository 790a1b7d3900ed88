"""A driver of its own: ``experiment_driver.py ADDRESS STORAGE NAME SEED``. Not a test.

It prints its answer as JSON. ``ADDRESS`` is that of a cluster, or ``ray://…`` for Ray Client. Users write
these very lines.
"""

import json
import sys
from pathlib import Path

import ray
from ray import cloudpickle, tune

import zeus_ray as zeus
from zeus_ray.errors import BadInput

sys.path.insert(0, str(Path(__file__).parents[1]))
import trainables
from connect_driver import connect

cloudpickle.register_pickle_by_value(trainables)
address, storage, name, seed = sys.argv[1:]
connect(address, log_to_driver=False)
searcher = zeus.ZeusSearcher(target=zeus.Target("accuracy", 0.9), default_batch_size=64, seed=int(seed))
result = tune.run(
    trainables.with_session,
    name=name,
    config={"batch_size": tune.choice([32, 64])},
    search_alg=searcher,
    scheduler=zeus.EnergyScheduler(searcher),
    num_samples=2,
    resources_per_trial=zeus.resources(),
    storage_path=storage,
    verbose=0,
)
try:
    best, refused = searcher.best(), ""
except BadInput as error:
    best, refused = zeus.recommended(result), str(error)
rows = [trial.last_result for trial in result.trials]
sys.stdout.write(
    json.dumps(
        {
            "batch_size": best.batch_size,
            "energy_j": best.energy_j.mean,
            "refused": refused,
            "recommended": zeus.recommended(result).batch_size,
            "trials": [row["trial_id"] for row in rows],
            "run_ids": [row["zeus/run_id"] for row in rows],
            "errors": [trial.trial_id for trial in result.trials if trial.status == "ERROR"],
            "shared": [row["zeus/shared"] for row in rows],
        }
    )
)
ray.shutdown()
