"""In which order CUDA counts the boards, asked of libcuda itself: it need not be NVML's."""

from __future__ import annotations

import functools
import os
import subprocess
import sys

# In a process of its own: cuInit would freeze CUDA_VISIBLE_DEVICES in the user's process, and
# forbid it to fork. No context is created, so no memory of a GPU is taken.
ASK = """
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
    """UUIDs in the order of CUDA's ordinals, as if ``CUDA_VISIBLE_DEVICES`` were not set; [] without CUDA."""
    env = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    return list(_ask(tuple(sorted(env.items()))))


@functools.lru_cache(maxsize=4)
def _ask(env: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    try:
        answer = subprocess.run(  # noqa: S603 — our own interpreter and text
            [sys.executable, "-I", "-c", ASK],
            env=dict(env),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(answer.stdout.split()) if answer.returncode == 0 else ()
