"""Setting limits through ``zeusd``, a root daemon that an operator may run: HTTP over a Unix socket.

For users without root. It speaks HTTP itself, as a whole request needs one deadline, whatever trickles in,
and the watchdog must not import anything when it is needed. Reading needs no rights and stays with NVML.
Its API is documented with it (``ml-energy/zeus``, ``zeusd/README.md``); only
``POST /gpu/set_power_limit`` is used.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import socket
import time
from pathlib import Path
from urllib.parse import urlencode

from zeus_ray.errors import BadInput, DeviceError, NoAnswer, NoPermission
from zeus_ray.gpus.nvml import NvmlGpu

ZEUSD_SOCKET_VARIABLE = "ZEUSD_SOCK_PATH"
ZEUSD_TOKEN_VARIABLE = "ZEUSD_TOKEN"  # noqa: S105 — the variable's name, not a token
ZEUSD_TIMEOUT_S = 3.0
SUCCESS = range(200, 300)
"""That a limit was set is read back all the same: also 202 and 207 are among them."""
REPLY_BYTES = 65536


class Zeusd:
    """The daemon behind one socket. ``ZEUSD_TOKEN`` is read for each request, and is never in an object."""

    def __init__(self, socket: str) -> None:
        self.socket = socket

    def set_power_limit_w(self, index: int, limit_w: float) -> None:
        """Set the limit of the GPU with NVML's ``index``, and wait until it is set.

        Raises:
            NoPermission: no daemon listens there, it refuses this user, or it has no rights itself.
            BadInput: the daemon rejects the request.
            NoAnswer: no whole reply within ``ZEUSD_TIMEOUT_S``; the limit may be set later.
            DeviceError: any other reply.
        """
        if not Path(self.socket).is_socket():
            raise NoPermission(f"{ZEUSD_SOCKET_VARIABLE} names {self.socket}, and no zeusd listens there")
        query = {"gpu_ids": str(index), "power_limit_mw": str(round(limit_w * 1000)), "block": "true"}
        try:
            status, text = self._post(f"/gpu/set_power_limit?{urlencode(query)}")
        except (ConnectionRefusedError, FileNotFoundError, PermissionError) as error:
            raise NoPermission(f"zeusd does not listen at {self.socket}: {error}") from error
        except TimeoutError as error:
            raise NoAnswer(f"zeusd at {self.socket}: {error}") from error
        except (OSError, http.client.HTTPException) as error:
            raise DeviceError(f"zeusd at {self.socket}: {error or type(error).__name__}") from error
        if status in SUCCESS:
            return
        kinds: dict[int, type[BadInput | DeviceError]] = {400: BadInput, 401: NoPermission, 403: NoPermission}
        raise kinds.get(status, DeviceError)(
            f"zeusd at {self.socket} did not set {limit_w:g} W: {status}, {_error_text(text, index)}"
        )

    def _post(self, path: str) -> tuple[int, str]:
        """Status and text of the reply. The deadline is that of the whole request, however it trickles in."""
        until_s = time.monotonic() + ZEUSD_TIMEOUT_S
        token = os.environ.get(ZEUSD_TOKEN_VARIABLE, "")
        lines = [f"POST {path} HTTP/1.1", "Host: zeusd", "Connection: close", "Content-Length: 0"]
        lines += [f"Authorization: Bearer {token}"] if token else []
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ZEUSD_TIMEOUT_S)
            connection.connect(self.socket)
            connection.sendall("\r\n".join([*lines, "", ""]).encode())
            received = bytearray()
            while not _complete(received):
                connection.settimeout(max(1e-3, until_s - time.monotonic()))
                more = connection.recv(4096) if time.monotonic() < until_s else b""
                if time.monotonic() >= until_s:
                    raise TimeoutError(f"no whole reply within {ZEUSD_TIMEOUT_S:g} s")
                if not more or len(received) > REPLY_BYTES:
                    break
                received += more
        reply = http.client.HTTPResponse(_Received(bytes(received)))
        reply.begin()
        return reply.status, reply.read(REPLY_BYTES).decode(errors="replace")


class _Received(socket.socket):
    """A reply that is here already, as ``http.client`` reads it."""

    def __init__(self, reply: bytes) -> None:
        self._reply = reply

    def makefile(self, *_: object, **__: object) -> io.BytesIO:  # type: ignore[override]
        return io.BytesIO(self._reply)

    def __del__(self) -> None:
        """There is no socket to close."""


def _complete(received: bytes | bytearray) -> bool:
    """Whether a reply of known length, or in chunks, is here; another one ends with the connection."""
    head, end, body = bytes(received).partition(b"\r\n\r\n")
    fields = head.lower().replace(b" ", b"").split(b"\r\n")
    length = next((field[15:] for field in fields if field.startswith(b"content-length:")), b"")
    if length.isdigit():
        return bool(end) and len(body) >= int(length)
    return bool(end) and b"transfer-encoding:chunked" in fields and body.endswith(b"0\r\n\r\n")


class ZeusdGpu(NvmlGpu):
    """An NVIDIA GPU whose limit is set by NVML where this user may, else by zeusd."""

    def __init__(self, uuid: str, daemon: Zeusd) -> None:
        super().__init__(uuid)
        self._daemon = daemon
        self.sets_late = True
        """Whether the daemon may still set a limit later that this or an earlier process has asked for."""
        self._unanswered = False

    def set_power_limit_w(self, limit_w: float) -> None:
        """As :class:`NvmlGpu`; through the daemon once NVML has refused for lack of rights."""
        if self.limit_setter == "NVML":
            try:
                super().set_power_limit_w(limit_w)
            except NoPermission:
                self.limit_setter = "zeusd"
            else:
                self.sets_late = False
                return
        try:
            self._daemon.set_power_limit_w(self.index, self.range.check(limit_w))
        except NoAnswer:
            self.sets_late = self._unanswered = True
            raise
        self.sets_late = self._unanswered


def _error_text(text: str, index: int) -> str:
    """The reply's error for this GPU, from ``{"errors": {"1": "…"}}``, or else its text."""
    try:
        return str(json.loads(text)["errors"][str(index)])
    except (ValueError, KeyError, TypeError):
        return text.strip() or "no message"
