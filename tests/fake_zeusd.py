"""zeusd on the simulated hardware: it follows the documented replies, and lies where it is told to."""

import contextlib
import json
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit


class FakeZeusd(socketserver.ThreadingUnixStreamServer):
    """zeusd as root runs it: sets the limits of ``node``'s GPUs, or sends ``reply`` (status, body).

    ``trickles``: it sends a byte now and then, and never ends. ``silent``: it does nothing meanwhile, and
    afterwards all that it was asked; so it does once it is asked for ``silent_at_mw``. ``raw``: it sends
    these bytes, for ever if it ``floods``. ``limits_mw``: what it has set.
    """

    daemon_threads = True

    def __init__(self, path, node):
        super().__init__(str(path), _RequestHandler)
        self.node, self.requests = node, []
        self.reply, self.trickles, self.silent = None, False, False
        self.silent_at_mw, self.limits_mw = 0, []
        self.raw, self.floods = b"", False
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.001}, daemon=True
        )
        self._thread.start()

    def end(self):
        """End the daemon; its socket's file stays."""
        self.silent = self.trickles = self.floods = False
        self.shutdown()
        self.server_close()

    def handle_error(self, *_):
        """A client that has gone is no error."""


class _RequestHandler(BaseHTTPRequestHandler):
    def do_POST(self):
        server = self.server
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        server.requests.append((path, {key: value[0] for key, value in query.items()}, self.headers))
        if int(query["power_limit_mw"][0]) == server.silent_at_mw:
            server.silent, server.silent_at_mw = True, 0
        while server.silent:
            time.sleep(0.02)
        while server.trickles:
            with contextlib.suppress(OSError):
                self.wfile.write(b"X")
            time.sleep(0.2)
        if server.raw:
            self.wfile.write(server.raw)
            while server.floods:
                self.wfile.write(server.raw)
            return
        status, body = server.reply or self.set(int(query["gpu_ids"][0]), int(query["power_limit_mw"][0]))
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def set(self, index, limit_mw):
        self.server.node.gpus[index].limit_mw = limit_mw
        self.server.limits_mw.append(limit_mw)
        return 200, {str(index): {"power_limit_mw": limit_mw}}

    def address_string(self):
        return "unix"

    def log_message(self, *_):
        pass
