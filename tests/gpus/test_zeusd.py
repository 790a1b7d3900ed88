"""The ladder of rights: NVML, then zeusd over its socket, then observe only. The server is ours and follows
zeusd's documented replies."""

import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

import pytest

from zeus_ray.errors import BadInput, DeviceError, NoPermission
from zeus_ray.gpus import discovery as discover
from zeus_ray.leases.manager import LeaseManager
from zeus_ray.leases.process import HolderProcess


class Daemon(socketserver.ThreadingUnixStreamServer):
    """zeusd as root would run it: sets the boards of ``node``, or answers as it is told."""

    daemon_threads = True

    def __init__(self, path, node):
        super().__init__(str(path), Answer)
        self.node, self.asked, self.reply = node, [], None


class Answer(BaseHTTPRequestHandler):
    def do_POST(self):
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        self.server.asked.append((path, {key: value[0] for key, value in query.items()}, self.headers))
        status, body = self.server.reply or self.set(
            int(query["gpu_ids"][0]), int(query["power_limit_mw"][0])
        )
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def set(self, index, limit_mw):
        self.server.node.boards[index].limit_mw = limit_mw
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


def second_board(daemon):
    return discover.open_board("nvml", daemon.node.uuids[1])


def keeper_of(board):
    return LeaseManager(board, sample_every_s=None, guarded=False)


def test_sets_and_gives_back_through_the_daemon(daemon, monkeypatch):
    monkeypatch.setenv("ZEUSD_TOKEN", "secret")
    board = second_board(daemon)
    keeper = keeper_of(board)
    lease = keeper.acquire(HolderProcess.current("trial"), 250)
    assert lease.may_set
    assert (board.way, daemon.node.limits_w) == ("zeusd", [300, 250])
    path, query, headers = daemon.asked[-1]
    assert path == "/gpu/set_power_limit"
    assert query == {"gpu_ids": "1", "power_limit_mw": "250000", "block": "true"}
    assert headers["Authorization"] == "Bearer secret"
    keeper.close()
    assert daemon.node.limits_w == [300, 400]


def test_with_rights_the_daemon_is_not_asked(daemon):
    daemon.node.boards[1].no_permission = 0
    keeper = keeper_of(second_board(daemon))
    keeper.acquire(HolderProcess.current("trial"), 250)
    assert daemon.asked == []
    keeper.close()


def test_off_asks_nobody(daemon):
    keeper = keeper_of(second_board(daemon))
    keeper.acquire(HolderProcess.current("trial"), control="off")
    keeper.close()
    assert (daemon.asked, daemon.node.attempts) == ([], 0)


@pytest.mark.parametrize(
    ("status", "body", "kind", "says"),
    [
        (403, {"errors": {"1": "Insufficient Permissions"}}, NoPermission, "Insufficient"),
        (401, {"error": "token expired"}, NoPermission, "token expired"),
        (400, {"errors": {"1": "Invalid argument"}}, BadInput, "Invalid argument"),
        (500, {"errors": {"1": "Unknown error"}}, DeviceError, "Unknown error"),
        (404, [], DeviceError, "404"),
    ],
)
def test_what_the_daemon_refuses(daemon, status, body, kind, says):
    daemon.reply = (status, body)
    with pytest.raises(kind, match=says):
        second_board(daemon).set_power_limit_w(250)


def test_a_daemon_that_may_not_leaves_observing(daemon):
    daemon.reply = (403, {"errors": {"1": "Insufficient Permissions"}})
    lease = keeper_of(second_board(daemon)).acquire(HolderProcess.current("trial"))
    assert not lease.may_set
    assert "Insufficient Permissions" in lease.why_not


def test_a_daemon_that_is_not_there(daemon, monkeypatch):
    monkeypatch.setenv("ZEUSD_SOCK_PATH", "/nowhere/zeusd.sock")
    lease = keeper_of(second_board(daemon)).acquire(HolderProcess.current("trial"))
    assert not lease.may_set
    assert "/nowhere/zeusd.sock" in lease.why_not


def test_out_of_range_never_reaches_it(daemon):
    with pytest.raises(BadInput, match="100 to 400 W"):
        second_board(daemon).set_power_limit_w(401)
    assert daemon.asked == []
