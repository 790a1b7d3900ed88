"""Setting limits through ``zeusd``, a root daemon that an operator may run: HTTP over a Unix socket.

For users without root. Reading needs no rights and stays with NVML. Its API is documented with it
(``ml-energy/zeus``, ``zeusd/README.md``); only ``POST /gpu/set_power_limit`` is used.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import httpx

from zeus_ray.errors import BadInput, DeviceError, NoPermission
from zeus_ray.gpus.nvml import NvmlGpu

ZEUSD_SOCKET_VARIABLE = "ZEUSD_SOCK_PATH"
ZEUSD_TOKEN_VARIABLE = "ZEUSD_TOKEN"  # noqa: S105 — the variable's name, not a token
ZEUSD_TIMEOUT_S = 5.0


class Zeusd:
    """The daemon behind one socket; ``ZEUSD_TOKEN`` is sent along where it is set."""

    def __init__(self, socket: str) -> None:
        self.socket = socket
        token = os.environ.get(ZEUSD_TOKEN_VARIABLE, "")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def set_power_limit_w(self, index: int, limit_w: float) -> None:
        """Set the limit of the GPU with NVML's ``index``, and wait until it is set.

        Raises:
            NoPermission: no daemon listens there, it refuses this user, or it has no rights itself.
            BadInput: the daemon rejects the request.
            DeviceError: any other reply, or none within ``ZEUSD_TIMEOUT_S``.
        """
        if not Path(self.socket).is_socket():
            raise NoPermission(f"{ZEUSD_SOCKET_VARIABLE} names {self.socket}, and no zeusd listens there")
        query = {"gpu_ids": str(index), "power_limit_mw": str(round(limit_w * 1000)), "block": "true"}
        try:
            with self._connect() as client:
                reply = client.post("/gpu/set_power_limit", params=query)
        except httpx.ConnectError as error:
            raise NoPermission(f"zeusd does not listen at {self.socket}: {error}") from error
        except httpx.HTTPError as error:
            raise DeviceError(f"zeusd at {self.socket}: {error}") from error
        if reply.is_success:
            return
        kinds: dict[int, type[BadInput | DeviceError]] = {400: BadInput, 401: NoPermission, 403: NoPermission}
        raise kinds.get(reply.status_code, DeviceError)(
            f"zeusd at {self.socket} did not set {limit_w:g} W: "
            f"{reply.status_code}, {_error_text(reply, index)}"
        )

    def _connect(self) -> httpx.Client:
        """A connection for one request: limits are set seconds apart at least, so none is kept open."""
        return httpx.Client(
            transport=httpx.HTTPTransport(uds=self.socket, verify=False),  # no TLS on a Unix socket
            base_url="http://zeusd",
            headers=self._headers,
            timeout=ZEUSD_TIMEOUT_S,
        )


class ZeusdGpu(NvmlGpu):
    """An NVIDIA GPU whose limit is set by NVML where this user may, else by zeusd."""

    def __init__(self, uuid: str, daemon: Zeusd) -> None:
        super().__init__(uuid)
        self._daemon = daemon

    def set_power_limit_w(self, limit_w: float) -> None:
        """As :class:`NvmlGpu`; through the daemon once NVML has refused for lack of rights."""
        if self.limit_setter == "NVML":
            try:
                super().set_power_limit_w(limit_w)
            except NoPermission:
                self.limit_setter = "zeusd"
            else:
                return
        self._daemon.set_power_limit_w(self.index, self.range.check(limit_w))


def _error_text(reply: httpx.Response, index: int) -> str:
    """The reply's error for this GPU, from ``{"errors": {"1": "…"}}``, or else its text."""
    try:
        body: Any = reply.json()
        return str(body["errors"][str(index)])
    except (ValueError, KeyError, TypeError):
        return reply.text.strip() or "no message"
