"""The order in which CUDA numbers the GPUs, asked of libcuda: it need not be NVML's."""

from __future__ import annotations

import functools
import os
import subprocess
import sys

# Runs in a process of its own: cuInit would freeze CUDA_VISIBLE_DEVICES in the user's process, and
# prevent it from forking. No context is created, so no GPU memory is used.
CUDA_UUIDS_SCRIPT = """
import ctypes, uuid
cuda = ctypes.CDLL("libcuda.so.1")
count, device, raw = ctypes.c_int(), ctypes.c_int(), (ctypes.c_ubyte * 16)()
assert cuda.cuInit(0) == 0 and cuda.cuDeviceGetCount(ctypes.byref(count)) == 0
for ordinal in range(count.value):
    assert cuda.cuDeviceGet(ctypes.byref(device), ordinal) == 0
    assert cuda.cuDeviceGetUuid(ctypes.byref(raw), device) == 0
    print("GPU-" + str(uuid.UUID(bytes=bytes(raw))))
"""


def cuda_uuids() -> list[str]:
    """UUIDs in CUDA's order, as if ``CUDA_VISIBLE_DEVICES`` were not set; [] where CUDA does not answer."""
    env = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    return list(_query(tuple(sorted(env.items()))))


@functools.lru_cache(maxsize=4)
def _query(env: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    try:
        answer = subprocess.run(  # noqa: S603 — our own interpreter and script
            [sys.executable, "-I", "-c", CUDA_UUIDS_SCRIPT],
            env=dict(env),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(answer.stdout.split()) if answer.returncode == 0 else ()
