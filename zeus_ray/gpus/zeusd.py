"""Setting limits through ``zeusd``, a root daemon that an operator may run: HTTP over a Unix socket.

For users without root. Reading needs no rights and stays with NVML. Its API is documented with it
(``ml-energy/zeus``, ``zeusd/README.md``); only ``POST /gpu/set_power_limit`` is used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from typing_extensions import Self

from zeus_ray.errors import BadInput, DeviceError, NoPermission
from zeus_ray.gpus.nvml import NvmlGpu

SOCKET_VARIABLE = "ZEUSD_SOCK_PATH"
TOKEN_VARIABLE = "ZEUSD_TOKEN"  # noqa: S105 — the variable's name, not a token
TIMEOUT_S = 5.0


class Zeusd:
    """The daemon behind one socket."""

    def __init__(self, socket: str, *, token: str = "") -> None:
        self.socket = socket
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Self | None:
        """The daemon that ``ZEUSD_SOCK_PATH`` names, with ``ZEUSD_TOKEN`` if it asks for one."""
        socket = env.get(SOCKET_VARIABLE)
        return cls(socket, token=env.get(TOKEN_VARIABLE, "")) if socket else None

    def set_power_limit_w(self, index: int, limit_w: float) -> None:
        """Set the limit of the board with NVML's ``index``, and wait until it is set.

        Raises:
            NoPermission: the daemon may not, does not let us, or is not there.
            BadInput: the daemon finds the request wrong.
            DeviceError: anything else it says, or it does not answer in time.
        """
        if not Path(self.socket).is_socket():
            raise NoPermission(f"{SOCKET_VARIABLE} names {self.socket}, and no zeusd listens there")
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
            f"zeusd at {self.socket} did not set {limit_w:g} W: {reply.status_code}, {_said(reply, index)}"
        )

    def _connect(self) -> httpx.Client:
        """A connection for one request: limits are set seconds apart at least, and nothing stays open."""
        return httpx.Client(
            transport=httpx.HTTPTransport(uds=self.socket),
            base_url="http://zeusd",
            headers=self._headers,
            timeout=TIMEOUT_S,
        )


class ZeusdGpu(NvmlGpu):
    """An NVIDIA board whose limit is set by NVML where we may, else by zeusd."""

    def __init__(self, uuid: str, daemon: Zeusd) -> None:
        super().__init__(uuid)
        self._daemon = daemon
        self.way = "NVML"

    def set_power_limit_w(self, limit_w: float) -> None:
        """As :class:`NvmlGpu`, and through the daemon where that lacks the rights."""
        if self.way == "NVML":
            try:
                super().set_power_limit_w(limit_w)
            except NoPermission:
                self.way = "zeusd"
            else:
                return
        self._daemon.set_power_limit_w(self.index, self.range.check(limit_w))


def _said(reply: httpx.Response, index: int) -> str:
    """What went wrong with this board: ``{"errors": {"1": "…"}}``, or whatever else it says."""
    try:
        body: Any = reply.json()
        return str(body["errors"][str(index)])
    except (ValueError, KeyError, TypeError):
        return reply.text.strip() or "nothing more"
