"""``ray.init`` of a driver in these tests. Not a test."""

import ray


def connect(address, **options):
    """Connect to the cluster at ``address``; ask again where the server of a Ray Client has died at once.

    Ray's proxy forks that server from a process in which threads of gRPC run ("Other threads are currently
    calling into gRPC", in ``ray_client_server.err``). A few in a hundred of them end before they listen.
    """
    for _ in range(4):
        try:
            return ray.init(address, logging_level="ERROR", **options)
        except ConnectionError as error:
            if "Initialization failure from server" not in str(error):
                raise
    return ray.init(address, logging_level="ERROR", **options)
