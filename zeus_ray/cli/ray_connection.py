"""Connects a command to a running Ray cluster (``--address``)."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from zeus_ray.errors import BadInput

ADDRESS_HELP = "A Ray cluster, such as 'auto': all its nodes (default: this node, without Ray)."
CONNECT_TIMEOUT_S = 5.0


@contextmanager
def connected(address: str) -> Iterator[None]:
    """A connection to the cluster while the block runs.

    Raises:
        BadInput: there is no cluster at ``address``.
    """
    try:
        _check_reachable(address)
        import ray

        ray.init(address, logging_level="ERROR", log_to_driver=False)
    except Exception as error:
        raise BadInput(
            f"no Ray cluster can be joined at --address {address!r} ({type(error).__name__}: {error}). "
            "Give 'auto' on a node of the cluster, or HOST:PORT as `ray start --head` printed it; where the "
            "cluster asks for a token, set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH as on its nodes"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Raise OSError or ValueError if nothing listens there: ``ray.init`` would retry for 20 s first."""
    if address == "auto" or address.startswith("ray://"):
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("this is neither 'auto' nor HOST:PORT")
    socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT_S).close()
