"""The least that a service manager can keep up: /health, /slow, and a SIGTERM that drains."""

import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

STATE = Path(os.environ["DAEMON_STATE"])
PORT = int(os.environ["DAEMON_PORT"])


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/slow":
            (STATE / "slow").touch()
            time.sleep(0.8)
        body = json.dumps({"status": "ok", "pid": os.getpid()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = False
    allow_reuse_address = True


def refuse(code: str, reason: str) -> None:
    last = {"code": code, "reason": reason, "pid": os.getpid(), "at": time.time()}
    (STATE / "last-exit.json").write_text(json.dumps(last))
    sys.exit(0)


def serve() -> None:
    try:
        server = Server(("127.0.0.1", PORT), Handler)
    except OSError:
        refuse("port_taken", f"port {PORT} is in use")
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    threading.Thread(target=server.serve_forever, args=(0.02,)).start()
    stopping.wait()
    server.shutdown()
    server.server_close()


def main() -> None:
    sys.stdout.write("daemon starts\n")
    sys.stdout.flush()
    behaviour = STATE / "behaviour"
    match behaviour.read_text() if behaviour.exists() else "serve":
        case "refuse":
            refuse("config", "max_batch must be at least 1")
        case "crash":
            sys.exit(1)
        case "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            Server(("127.0.0.1", PORT), Handler).serve_forever()
        case _:
            serve()


main()
