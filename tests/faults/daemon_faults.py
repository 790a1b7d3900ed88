"""A zeusd that acts late, or answers what is no answer."""

import random
import time

from scenario import (
    ORIGINAL_W,
    WANTED_W,
    journal_of,
    kinds_in,
    train_to_the_end,
    wait_for_look,
    wait_until,
)

WANTED_MW = int(WANTED_W * 1000)
NONSENSE = [
    b"\x00\xff\xfe" * 100,
    b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n0\r\n\r\n",
    b"HTTP/1.1 9999999 \xff\r\n\r\n",
    b'HTTP/1.1 500 x\r\nContent-Length: 13\r\n\r\n{"errors": 5}',
    b"HTTP/1.1 301 x\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n",
]  # fmt: skip


def _goes_on(scenario):
    """Until now the daemon hung: it does all that it was asked, also by clients that are gone."""
    assert scenario.gpu.limit_w == ORIGINAL_W
    scenario.zeusd.silent = False
    wait_until(lambda: WANTED_MW in scenario.zeusd.limits_mw)
    start_s = time.monotonic()
    wait_until(lambda: not journal_of(scenario).exists())
    return time.monotonic() - start_s + scenario.seconds_until_restored()


def daemon_acts_after_the_run_was_killed(scenario):
    scenario.start_zeusd(silent_at_mw=WANTED_MW)
    process = scenario.begin("train", WANTED_W)
    wait_until(lambda: scenario.zeusd.silent)
    scenario.kill(process)
    wait_for_look(scenario)
    time.sleep(2)  # for the watchdog to take the GPU, wrongly, for restored
    return _goes_on(scenario)


def daemon_acts_after_the_run_has_ended(scenario):
    """Its requests were given up, one by one; the run trained at the original limit."""
    scenario.start_zeusd(silent_at_mw=WANTED_MW)
    train_to_the_end(scenario.start("trains", WANTED_W, env={"CUDA_VISIBLE_DEVICES": "0"}))
    return _goes_on(scenario)


def _answers(scenario, raw, *, floods=False):
    scenario.start_zeusd(raw=raw, floods=floods)
    train_to_the_end(scenario.start("trains", WANTED_W, env={"CUDA_VISIBLE_DEVICES": "0"}))
    assert scenario.gpu.limit_w == ORIGINAL_W
    return scenario.seconds_until_restored()


def daemon_answers_nonsense(scenario):
    return _answers(scenario, random.choice(NONSENSE))  # noqa: S311


def daemon_answers_without_end(scenario):
    """As fast as it can: neither memory nor time is lost by that."""
    head = random.choice([b"", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: "])  # noqa: S311
    return _answers(scenario, head + b"y" * 65536, floods=True)


KINDS = kinds_in(globals())
