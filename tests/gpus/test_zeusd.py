"""Setting limits by NVML, else by zeusd over its socket, else not at all."""

import contextlib
import pickle
import socket
import threading
import time

import pytest
from fake_zeusd import FakeZeusd

from zeus_ray.errors import BadInput, DeviceError, NoPermission
from zeus_ray.gpus import zeusd
from zeus_ray.gpus.discovery import open_gpu
from zeus_ray.leases import write_limit_and_read_back
from zeus_ray.leases.lease_manager_of_one_gpu import LeaseManager
from zeus_ray.leases.process import HolderProcess
from zeus_ray.leases.recovery import restore_all
from zeus_ray.leases.watchdog_start_and_status import watchdog_environment


@pytest.fixture
def daemon(make_node, tmp_path, monkeypatch):
    node = make_node("V100,A100", no_permission=1)
    server = FakeZeusd(tmp_path / "zeusd.sock", node)
    monkeypatch.setenv("ZEUSD_SOCK_PATH", str(tmp_path / "zeusd.sock"))
    yield server
    server.end()


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


@pytest.mark.processes  # a second each
@pytest.mark.parametrize(("status", "body"), [(200, {}), (202, {}), (207, {"errors": {"1": "busy"}})])
def test_a_daemon_that_says_ok_and_does_nothing(daemon, status, body, monkeypatch):
    monkeypatch.setattr(write_limit_and_read_back, "READ_BACK_WITHIN_S", 0.002)
    monkeypatch.setattr(write_limit_and_read_back, "SET_LIMIT_PAUSE_S", 0.001)
    daemon.reply = (status, body)
    manager = manager_of_gpu(second_gpu(daemon))
    lease = manager.acquire(HolderProcess.current("trial"))
    with pytest.raises(DeviceError, match="reports 400 W"):
        manager.set_limit(lease.lease_id, 250)
    daemon.reply = None
    manager.set_limit(lease.lease_id, 250)
    daemon.reply = (status, body)
    with pytest.raises(DeviceError, match="reports 250 W"):
        manager.release(lease.lease_id)
    daemon.reply = None
    assert [outcome.done for outcome in restore_all()] == [True]
    assert daemon.node.limits_w == [300, 400]


def trickle(path, data, pause_s):
    """A daemon that sends one byte after the other."""

    def serve():
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(4096)
            for byte in data:
                connection.sendall(bytes([byte]))
                ended.wait(pause_s)

    ended = threading.Event()
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    threading.Thread(target=serve, daemon=True).start()
    return server, ended


@pytest.mark.processes  # a second
def test_the_deadline_is_that_of_the_whole_request(make_node, tmp_path, monkeypatch):
    make_node("V100", no_permission=1)
    monkeypatch.setattr(zeusd, "ZEUSD_TIMEOUT_S", 0.3)
    server, ended = trickle(tmp_path / "slow.sock", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000, 0.01)
    began_s = time.monotonic()
    with pytest.raises(DeviceError, match=r"no whole reply within|timed out"):
        zeusd.Zeusd(str(tmp_path / "slow.sock")).set_power_limit_w(0, 200.0)
    assert time.monotonic() - began_s < 2
    ended.set()
    server.close()


def test_a_slow_reply_in_chunks_is_read(tmp_path):
    reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    server, ended = trickle(tmp_path / "chunks.sock", reply, 0.0)
    zeusd.Zeusd(str(tmp_path / "chunks.sock")).set_power_limit_w(0, 200.0)
    ended.set()
    server.close()


def test_no_token_is_in_an_object(monkeypatch):
    monkeypatch.setenv("ZEUSD_TOKEN", "secret-token")
    assert b"secret-token" not in pickle.dumps(zeusd.Zeusd("/run/zeusd.sock"))
    monkeypatch.setenv("ELECTRICITYMAPS_TOKEN", "secret-token")
    monkeypatch.setenv("ZEUS_RAY_API_KEY", "secret-token")
    assert "secret-token" not in str(watchdog_environment())
