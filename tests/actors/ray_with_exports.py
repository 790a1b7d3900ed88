"""A Ray whose metrics are exported each second, in a process of its own.

That process exports each second until it ends, also once its Ray is shut down, and its thread reads the
environment: in the process of the tests, which change the environment, that can crash.
"""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context


def run_with_exports(function, *args, port, num_gpus=0):
    """What ``function`` of a module returns beside a Ray that exports its metrics at ``port``."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_run, function, args, port, num_gpus).result()


def _run(function, args, port, num_gpus):
    import ray

    ray.init(
        "local",
        num_cpus=1,
        num_gpus=num_gpus,
        include_dashboard=False,
        log_to_driver=False,
        _metrics_export_port=port,
        _system_config={"metrics_report_interval_ms": 1000},  # not each ten seconds
    )
    try:
        return function(*args)
    finally:
        ray.shutdown()
