"""What a task without a lease can do to a GPU's actor: nothing."""

import os
import time

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("cluster", "nodes")]
ray = pytest.importorskip("ray")

from zeus_ray.actors import NAMESPACE  # noqa: E402 — after the marker: importing it takes seconds
from zeus_ray.errors import DeviceError, LeaseRefused  # noqa: E402


def test_a_task_without_a_lease_can_neither_lease_for_others_nor_release():
    @ray.remote(num_gpus=1, resources={"node_a": 1}, max_retries=0)
    def attack():
        from zeus_ray.actors.lease_gpus_through_actors import lease_gpus
        from zeus_ray.leases.process import HolderProcess, proof_of_process

        given = ray.get_runtime_context().get_accelerator_ids()["GPU"]
        leased = lease_gpus(HolderProcess.current("t"), source="nvml", control="auto", given=given)
        leased.set_limit(150.0)
        ((name, lease_id),) = leased.held
        actor = ray.get_actor(name, namespace=NAMESPACE)
        seen = []
        init = HolderProcess(trial_id="init", pid=1, started_s=0.0)
        with proof_of_process() as proof:
            for call in (
                lambda: actor.acquire.remote(init, 200.0, proof=proof),
                lambda: actor.acquire.remote(HolderProcess.current("t"), 200.0),
                lambda: actor.set_limit.remote("guessed", 200.0),
                lambda: actor.read.remote("guessed"),
            ):
                try:
                    ray.get(call())
                except DeviceError as error:
                    seen.append((isinstance(error, LeaseRefused), lease_id in str(error)))
        ray.get(actor.release.remote("guessed"))
        private = [name for name in dir(actor) if name in {"_watch", "_idle", "_manager", "_service"}]
        limit_w = leased.read().power_limit_w
        leased.release()
        return seen, private, limit_w

    seen, private, limit_w = ray.get(attack.remote())
    assert seen == [(True, False)] * 4
    assert (private, limit_w) == ([], 150.0)


@pytest.mark.parametrize("path", ["/etc/shadow", "/dev/zero", "a-pipe"])
def test_no_file_that_a_caller_names_is_opened_by_the_actor(nodes, tmp_path, path):
    os.mkfifo(tmp_path / "a-pipe")
    text = f"csv:{tmp_path / path}"

    @ray.remote(num_gpus=1, resources={"node_a": 1}, max_retries=0)
    def lease():
        from zeus_ray.actors.lease_gpus_through_actors import gpu_actor
        from zeus_ray.leases.process import HolderProcess, proof_of_process
        from zeus_ray.records import EmissionsConfig, to_json

        given = ray.get_runtime_context().get_accelerator_ids()["GPU"]
        node_id = ray.get_runtime_context().get_node_id()
        uuid = nodes_uuids[int(given[0])]
        actor = gpu_actor("nvml", uuid, node_id)
        began_s = time.monotonic()
        with proof_of_process() as proof:
            lease = ray.get(
                actor.acquire.remote(
                    HolderProcess.current("t"), emissions=to_json(EmissionsConfig(signal=text)), proof=proof
                )
            )
        reading = ray.get(actor.release.remote(lease.lease_id))
        return time.monotonic() - began_s, reading.carbon_g

    nodes_uuids = nodes["a"].uuids
    seconds, carbon_g = ray.get(lease.remote())
    assert seconds < 20
    assert carbon_g != carbon_g  # noqa: PLR0124 — NaN: nothing was read
