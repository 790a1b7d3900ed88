import json, time
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
# --- here the code of the page runs ---


class Handler(BaseHTTPRequestHandler):
    """Answers as the page says: the last two days, hour by hour."""

    def do_GET(self):
        hours = range(int(time.time()) // 3600 - 48, int(time.time()) // 3600 + 1)
        rows = [
            {"time": time.strftime("%Y-%m-%dT%H:00Z", time.gmtime(3600 * h)), "grams": 123} for h in hours
        ]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"data": rows}).encode())

    def log_message(self, *arguments):
        pass


from zeus_ray.carbon.open_signal import open_signal
from zeus_ray.carbon.providers.provider_registry import PROVIDERS

server = HTTPServer(("127.0.0.1", 0), Handler)
Thread(target=server.serve_forever, daemon=True).start()
MyGrid.__init__.__defaults__ = ("", f"http://127.0.0.1:{server.server_port}")
PROVIDERS["mygrid"] = "__main__:MyGrid"
signal = open_signal("mygrid:NORTH")
assert signal.refresh(), signal.note
assert signal.at(time.time()) == 123.0
assert search.ask().batch_size == 32
