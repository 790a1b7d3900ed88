"""A simulated GPU with a real lease manager: time passes on it only by training."""

import pytest
from runs import leased

from zeus_ray.gpus.simulated_gpu import SimulatedGpu
from zeus_ray.leases.lease_manager_of_one_gpu import LeaseManager


@pytest.fixture
def gpu():
    return SimulatedGpu.open("V100", 0)


@pytest.fixture
def manager(gpu, tmp_path):
    manager = LeaseManager(gpu, state_dir=tmp_path / "state", watchdog=False)
    yield manager
    manager.close()


@pytest.fixture
def group(manager):
    """The GPU as a run leases it."""
    group = leased(manager)
    yield group
    group.release()
