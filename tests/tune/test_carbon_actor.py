"""One actor asks the provider, on a real Ray and over real HTTP; all other processes ask the actor."""

import datetime as dt
import sys
import time

import pytest
from grid_server import T0, GridServer

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]


@pytest.fixture
def grid():
    server = GridServer()
    yield server
    server.close()


def half_hour(start_s, value):
    start = dt.datetime.fromtimestamp(start_s, dt.timezone.utc).strftime("%Y-%m-%dT%H:%MZ")
    return {"from": start, "intensity": {"forecast": value, "actual": value}}


def ask(signal, at_s):
    """The value and the note of a signal in a process that has just received it."""
    signal.refresh()
    return signal.at(at_s), signal.note


def test_one_actor_asks_for_all_and_is_created_again_when_it_dies(grid):
    import ray

    from zeus_ray.actors.signal_actor import share_signal
    from zeus_ray.carbon.fetched_signal import RemoteSignal
    from zeus_ray.carbon.providers.uk import Uk

    before_s = time.time() // 1800 * 1800 - 7200
    grid.replies["/intensity/"] = {"data": [half_hour(before_s + 1800 * i, 100 + i) for i in range(4)]}
    grid.replies["fw48h"] = {"data": []}
    signal = share_signal(RemoteSignal(Uk(base_url=grid.url), background=False))
    assert ask(signal, before_s) == (100.0, "")
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import the tests
    elsewhere = ray.remote(num_cpus=0)(ask)
    assert ray.get([elsewhere.remote(signal, before_s + 1800) for _ in range(3)]) == [(101.0, "")] * 3
    assert len([path for path, _query, _headers in grid.asked if path.endswith("fw48h")]) == 1
    ray.kill(signal.source._actor(), no_restart=True)
    assert ask(share_signal(RemoteSignal(signal.source.source)), before_s) == (100.0, "")


def test_a_token_that_the_head_node_lacks_is_noted(grid):
    from zeus_ray.actors.signal_actor import share_signal
    from zeus_ray.carbon.fetched_signal import RemoteSignal
    from zeus_ray.carbon.providers.electricity_maps import ElectricityMaps

    signal = share_signal(RemoteSignal(ElectricityMaps("DE", grid.url), fallback=400.0, background=False))
    assert not signal.refresh()
    assert "electricitymaps needs ELECTRICITYMAPS_TOKEN" in signal.note
    assert "head node" in signal.note
    assert signal.at(T0) == 400.0
    assert grid.asked == []


def test_a_shared_signal_is_opened_without_a_token():
    from zeus_ray.actors.signal_actor import ActorSource, open_shared_signal
    from zeus_ray.errors import BadInput

    assert isinstance(open_shared_signal("electricitymaps:DE").source, ActorSource)
    assert open_shared_signal("constant:400").at(0.0) == 400.0
    with pytest.raises(BadInput, match="one such as DE"):
        open_shared_signal("electricitymaps:Narnia")


def test_a_signal_without_a_provider_is_not_shared():
    from zeus_ray.actors.signal_actor import share_signal
    from zeus_ray.carbon.constant_and_recorded_signal import ConstantSignal

    signal = ConstantSignal(400.0)
    assert share_signal(signal) is signal
