"""A real HTTP server that answers as the providers document it, or as a test wants it to fail."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

T0 = 1774742400
"""2026-03-29 00:00 UTC: the night in which Europe's clocks go forward."""

UK_PAST = {
    "data": [
        {
            "from": "2026-03-28T23:30Z",
            "to": "2026-03-29T00:00Z",
            "intensity": {"forecast": 150, "actual": 140, "index": "moderate"},
        },
        {
            "from": "2026-03-29T00:00Z",
            "to": "2026-03-29T00:30Z",
            "intensity": {"forecast": 160, "actual": None, "index": "moderate"},
        },
    ]
}
UK_AHEAD = {
    "data": [
        {
            "from": f"2026-03-29T0{i // 2}:{'30' if i % 2 else '00'}Z",
            "to": f"2026-03-29T0{(i + 1) // 2}:{'00' if i % 2 else '30'}Z",
            "intensity": {"forecast": 160 + i, "actual": None, "index": "moderate"},
        }
        for i in range(6)
    ]
}


def maps_row(time, value, **more):
    return {
        "zone": "DE",
        "carbonIntensity": value,
        "datetime": time,
        "updatedAt": "2026-03-29T00:10:00.000Z",
        "emissionFactorType": "lifecycle",
        "isEstimated": False,
        **more,
    }


MAPS_HISTORY = {
    "zone": "DE",
    "history": [maps_row("2026-03-28T22:00:00.000Z", 300), maps_row("2026-03-28T23:00:00.000Z", 320)],
}
MAPS_RANGE = {"zone": "DE", "data": [maps_row("2026-03-20T00:00:00.000Z", 280)]}
MAPS_AHEAD = {
    "zone": "DE",
    "forecast": [{"carbonIntensity": 310 + i, "datetime": f"2026-03-29T0{i}:00:00.000Z"} for i in range(4)],
    "updatedAt": "2026-03-29T00:10:00.000Z",
}
WATT_META = {
    "data_point_period_seconds": 300,
    "region": "CAISO_NORTH",
    "warnings": [],
    "signal_type": "co2_moer",
    "model": {"date": "2026-03-01"},
    "units": "lbs_co2_per_mwh",
}
WATT_PAST = {
    "data": [
        {"point_time": "2026-03-28T23:50:00+00:00", "value": 900.0},
        {"point_time": "2026-03-28T23:55:00+00:00", "value": 1000.0},
    ],
    "meta": WATT_META,
}
WATT_AHEAD = {
    "data": [{"point_time": "2026-03-29T00:00:00+00:00", "value": 1100.0}],
    "meta": {**WATT_META, "generated_at": "2026-03-29T00:00:00+00:00"},
}

HEALTHY = {
    "/intensity/": UK_PAST,
    "fw48h": UK_AHEAD,
    "/v3/carbon-intensity/history": MAPS_HISTORY,
    "/v3/carbon-intensity/past-range": MAPS_RANGE,
    "/v3/carbon-intensity/forecast": MAPS_AHEAD,
    "/login": {"token": "jwt-of-half-an-hour"},
    "/v3/historical": WATT_PAST,
    "/v3/forecast": WATT_AHEAD,
}


class GridServer:
    """``replies``: part of a path to JSON, or to (status, headers, bytes). The last match answers."""

    def __init__(self):
        self.may_answer = threading.Event()
        self.reset()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.001,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def reset(self):
        self.replies, self.asked = dict(HEALTHY), []
        self.may_answer.set()

    def answer_all(self, reply):
        self.replies = {"/": reply}

    def close(self):
        self.may_answer.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def _answer(self, path):
        found = [reply for part, reply in self.replies.items() if part in path]
        reply = found[-1] if found else (404, {}, b"")
        return reply if isinstance(reply, tuple) else (200, {}, json.dumps(reply).encode())

    def _handler(server):  # noqa: N805 — the handler's own self is inside
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                parts = urlsplit(self.path)
                server.asked.append(
                    (parts.path, parse_qs(parts.query), {k.lower(): v for k, v in self.headers.items()})
                )
                server.may_answer.wait()
                status, headers, body = server._answer(parts.path)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments):
                """Be silent."""

        return Handler
