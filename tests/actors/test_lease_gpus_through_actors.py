"""The actor and its client have the methods of the lease service, and no call by a name in a string."""

import inspect

import pytest

pytestmark = pytest.mark.ray

from zeus_ray.actors.gpu_actor import GpuActor  # noqa: E402 — after the marker: importing Ray takes seconds
from zeus_ray.actors.lease_gpus_through_actors import GpuActorClient  # noqa: E402
from zeus_ray.leases.carbon_aware_lease_manager import CarbonAwareLeaseManager  # noqa: E402
from zeus_ray.leases.lease_service_protocol import GpuLeaseService  # noqa: E402

METHODS = [name for name in vars(GpuLeaseService) if not name.startswith("_")]


def signature(kind, method):
    """Without the argument that Ray adds to every method of a class that it has made an actor of."""
    signature = inspect.signature(getattr(kind, method))
    return signature.replace(
        parameters=[p for p in signature.parameters.values() if p.name != "_ray_trace_ctx"]
    )


@pytest.mark.parametrize("kind", [GpuActor, GpuActorClient, CarbonAwareLeaseManager])
@pytest.mark.parametrize("method", METHODS)
def test_every_implementation_has_the_signature_of_the_protocol(kind, method):
    expected, own = signature(GpuLeaseService, method), signature(kind, method)
    # What proves the caller is for the client alone.
    further = [p for name, p in own.parameters.items() if name not in expected.parameters]
    assert all(
        p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in further
    )  # what proves the caller
    shared = [p for name, p in own.parameters.items() if name in expected.parameters]
    assert own.replace(parameters=shared) == expected
