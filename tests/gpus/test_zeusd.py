"""Setting limits by NVML, else by zeusd over its socket, else not at all.

The server is part of the tests and follows zeusd's documented replies.
"""

import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

import pytest

from zeus_ray.errors import BadInput, DeviceError, NoPermission
from zeus_ray.gpus.discovery import open_gpu
from zeus_ray.leases.manager import LeaseManager
from zeus_ray.leases.process import HolderProcess


class Daemon(socketserver.ThreadingUnixStreamServer):
    """zeusd as root runs it: sets the limits of ``node``'s GPUs, or sends ``reply``."""

    daemon_threads = True

    def __init__(self, path, node):
        super().__init__(str(path), RequestHandler)
        self.node, self.requests, self.reply = node, [], None


class RequestHandler(BaseHTTPRequestHandler):
    def do_POST(self):
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        self.server.requests.append((path, {key: value[0] for key, value in query.items()}, self.headers))
        status, body = self.server.reply or self.set(
            int(query["gpu_ids"][0]), int(query["power_limit_mw"][0])
        )
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def set(self, index, limit_mw):
        self.server.node.gpus[index].limit_mw = limit_mw
        return 200, {str(index): {"power_limit_mw": limit_mw}}

    def address_string(self):
        return "unix"

    def log_message(self, *_):
        pass


@pytest.fixture
def daemon(make_node, tmp_path, monkeypatch):
    node = make_node("V100,A100", no_permission=1)
    server = Daemon(tmp_path / "zeusd.sock", node)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.001}, daemon=True).start()
    monkeypatch.setenv("ZEUSD_SOCK_PATH", str(tmp_path / "zeusd.sock"))
    yield server
    server.shutdown()
    server.server_close()


def second_gpu(daemon):
    return open_gpu("nvml", daemon.node.uuids[1])


def manager_of_gpu(gpu):
    return LeaseManager(gpu, sample_every_s=None, watchdog=False)


def test_sets_and_restores_through_the_daemon(daemon, monkeypatch):
    monkeypatch.setenv("ZEUSD_TOKEN", "secret")
    gpu = second_gpu(daemon)
    manager = manager_of_gpu(gpu)
    lease = manager.acquire(HolderProcess.current("trial"), 250)
    assert lease.may_set
    assert (gpu.limit_setter, daemon.node.limits_w) == ("zeusd", [300, 250])
    path, query, headers = daemon.requests[-1]
    assert path == "/gpu/set_power_limit"
    assert query == {"gpu_ids": "1", "power_limit_mw": "250000", "block": "true"}
    assert headers["Authorization"] == "Bearer secret"
    manager.close()
    assert daemon.node.limits_w == [300, 400]


def test_with_permission_the_daemon_is_not_used(daemon):
    daemon.node.gpus[1].no_permission = 0
    manager = manager_of_gpu(second_gpu(daemon))
    manager.acquire(HolderProcess.current("trial"), 250)
    assert daemon.requests == []
    manager.close()


def test_power_control_off_sends_no_request(daemon):
    manager = manager_of_gpu(second_gpu(daemon))
    manager.acquire(HolderProcess.current("trial"), control="off")
    manager.close()
    assert (daemon.requests, daemon.node.attempts) == ([], 0)


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (403, {"errors": {"1": "Insufficient Permissions"}}, NoPermission, "Insufficient"),
        (401, {"error": "token expired"}, NoPermission, "token expired"),
        (400, {"errors": {"1": "Invalid argument"}}, BadInput, "Invalid argument"),
        (500, {"errors": {"1": "Unknown error"}}, DeviceError, "Unknown error"),
        (404, [], DeviceError, "404"),
    ],
)
def test_refusals_of_the_daemon(daemon, status, body, kind, message):
    daemon.reply = (status, body)
    with pytest.raises(kind, match=message):
        second_gpu(daemon).set_power_limit_w(250)


def test_a_daemon_without_permission_leaves_measuring(daemon):
    daemon.reply = (403, {"errors": {"1": "Insufficient Permissions"}})
    lease = manager_of_gpu(second_gpu(daemon)).acquire(HolderProcess.current("trial"))
    assert not lease.may_set
    assert "Insufficient Permissions" in lease.why_not


def test_a_daemon_that_does_not_run(daemon, monkeypatch):
    monkeypatch.setenv("ZEUSD_SOCK_PATH", "/nowhere/zeusd.sock")
    lease = manager_of_gpu(second_gpu(daemon)).acquire(HolderProcess.current("trial"))
    assert not lease.may_set
    assert "/nowhere/zeusd.sock" in lease.why_not


def test_a_limit_out_of_range_is_not_sent(daemon):
    with pytest.raises(BadInput, match="100 to 400 W"):
        second_gpu(daemon).set_power_limit_w(401)
    assert daemon.requests == []
