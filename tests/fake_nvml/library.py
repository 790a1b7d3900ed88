"""The simulated hardware, which tests read and change while processes use it."""

from __future__ import annotations

import ctypes
import dataclasses
import mmap
import os
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
U32, F64 = ctypes.c_uint32, ctypes.c_double


class FakeGpu(ctypes.Structure):
    """``gpu_t`` of state.h. Set ``load`` by ``Node.load``, the rest directly."""

    _fields_ = (
        *((name, ctypes.c_char * 64) for name in ("name", "uuid_bytes", "mig_uuid_bytes")),
        *((name, U32) for name in ("min_mw", "max_mw", "default_mw", "limit_mw", "enforced_cap_mw")),
        *((name, U32) for name in ("idle_mw", "uncapped_mw")),
        *((name, U32) for name in ("lost", "no_permission", "no_energy", "mig", "stuck", "persistent")),
        *((name, U32) for name in ("refuse_sets", "refuse_reads", "refresh_ms", "latency_us")),
        *((name, ctypes.c_uint64) for name in ("writes", "refused")),
        *((name, U32) for name in ("ignore_sets", "wrong_reads", "wrong_mw")),
        *((name, U32) for name in ("wrong_powers", "wrong_power_mw", "late_errors", "lowest_mw")),
        *((name, U32) for name in ("fail_code", "fail_calls", "hung_calls")),
        *((name, ctypes.c_char * 64) for name in ("fail_name", "hang_name")),
        *((name, F64) for name in ("load", "energy_j", "at_s", "shown_j", "origin_j")),
    )

    @property
    def uuid(self):
        return self.uuid_bytes.decode()

    @property
    def mig_uuid(self):
        return self.mig_uuid_bytes.decode()

    @property
    def limit_w(self):
        return self.limit_mw / 1000

    @property
    def attempts(self):
        return self.writes + self.refused


class Mutex(ctypes.Structure):
    _fields_ = (("opaque", ctypes.c_uint64 * 5),)  # pthread_mutex_t on 64-bit Linux


class State(ctypes.Structure):
    """``node_t`` of state.h."""

    _fields_ = (
        *(
            (name, U32)
            for name in ("magic", "count", "manual_clock", "dead_driver", "hang_init", "hang_count")
        ),
        ("manual_s", F64),
        ("lock", Mutex),
        ("gpus", FakeGpu * 64),
    )


class Node:
    """One node's GPUs. A process with ``env`` is on this node."""

    def __init__(self, lib, folder, name="node", cards="V100", **knobs):
        self.env = {
            "LD_LIBRARY_PATH": str(lib.folder),
            "FAKE_NVML_STATE": str(folder),
            "FAKE_NVML_NODE": name,
            "FAKE_NVML_CARDS": cards,
            **{f"FAKE_NVML_{knob.upper()}": str(value) for knob, value in knobs.items()},
        }
        self._c = lib.c
        path = Path(folder) / f"{name}.gpus"
        before = dict(os.environ)
        os.environ.update(self.env)  # the library reads its knobs when a node is first made
        try:
            self._node = self._c.fake_attach(str(path).encode(), cards.encode(), name.encode())
        finally:
            for key in self.env:
                os.environ.pop(key) if key not in before else os.environ.update({key: before[key]})
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), ctypes.sizeof(State))
        self.state = State.from_buffer(self._map)

    @property
    def gpus(self):
        return [self.state.gpus[i] for i in range(self.state.count)]

    @property
    def uuids(self):
        return [gpu.uuid for gpu in self.gpus]

    @property
    def limits_w(self):
        return [gpu.limit_w for gpu in self.gpus]

    @property
    def attempts(self):
        """How many writes to any GPU were tried."""
        return sum(gpu.attempts for gpu in self.gpus)

    def load(self, share, index=0):
        self._c.fake_set_load(self._node, index, share)

    def true_energy_j(self, index=0):
        return self._c.fake_true_energy(self._node, index)

    def reload_driver(self, index=0):
        self._c.fake_reload_driver(self._node, index)

    def jump_counter(self, joules, index=0):
        """The energy counter shows so much more, or less, from now on."""
        self.gpus[index].origin_j -= joules

    def stop_clock(self):
        self._c.fake_stop_clock(self._node)

    def advance(self, seconds):
        self._c.fake_advance(self._node, seconds)

    def now_s(self):
        return self._c.fake_now(self._node)


@dataclasses.dataclass(frozen=True)
class Library:
    """The compiled libraries. As they are loaded here, pynvml in this process finds them by their soname."""

    folder: Path
    c: ctypes.CDLL

    @classmethod
    def build(cls, folder):
        compilers = [
            compiler(folder / "libnvidia-ml.so.1", "nvml.c", "state.c"),
            compiler(folder / "libcuda.so.1", "cuda.c", "state.c"),
            compiler(folder / "libjumping-clock.so", "clock.c"),
        ]
        statuses = [process.wait() for process in compilers]
        if any(statuses):
            raise RuntimeError("the fake NVML does not compile: see above")
        c = ctypes.CDLL(str(folder / "libnvidia-ml.so.1"), mode=ctypes.RTLD_GLOBAL)
        c.fake_attach.restype = ctypes.c_void_p
        c.fake_attach.argtypes = [ctypes.c_char_p] * 3
        c.fake_true_energy.restype = c.fake_now.restype = F64
        c.fake_true_energy.argtypes = c.fake_reload_driver.argtypes = [ctypes.c_void_p, U32]
        c.fake_set_load.argtypes = [ctypes.c_void_p, U32, F64]
        c.fake_advance.argtypes = [ctypes.c_void_p, F64]
        c.fake_now.argtypes = c.fake_stop_clock.argtypes = [ctypes.c_void_p]
        return cls(folder, c)

    def node(self, folder, name="node", cards="V100", **knobs):
        return Node(self, folder, name, cards, **knobs)


class Clock:
    """The wall clock of processes started with ``env``; :meth:`jump` changes it."""

    def __init__(self, lib, folder):
        path = Path(folder) / "clock"
        path.write_bytes(bytes(8))
        boot = Path(folder) / "boot-id"
        self.env = {
            "LD_PRELOAD": str(lib.folder / "libjumping-clock.so"),
            "FAKE_CLOCK": str(path),
            "FAKE_BOOT_ID": str(boot),
        }
        self._boot = boot
        with path.open("r+b") as file:
            self._off_s = F64.from_buffer(mmap.mmap(file.fileno(), 8))

    @property
    def off_s(self):
        return self._off_s.value

    def reboot(self):
        """Processes started with ``env`` are on a machine that was restarted."""
        self._boot.write_text("00000000-after-a-restart\n")

    def jump(self, seconds):
        self._off_s.value += seconds


def compiler(target, *sources):
    """A process that compiles a library. Without optimization, which takes longer than it saves."""
    flags = ["-O0", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", f"-Wl,-soname,{target.name}"]
    files = [str(HERE / source) for source in sources]
    return subprocess.Popen(["cc", *flags, "-o", str(target), *files, "-lpthread", "-lm"])
