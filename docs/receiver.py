"""A gate that opens by webhook: `python receiver.py PORT SECRET`. It opens for nobody but those Rollcall names, while
they stand there."""

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

MAX_AGE_S = 30  # Messages may come days late. Have the clocks of this machine and of the edges right.

port, secret = int(sys.argv[1]), sys.argv[2]
done: set[str] = set()  # May be forgotten after a minute: what is older opens nothing anyway.


def opens(told: dict[str, Any]) -> bool:
    """Whether somebody may pass, and was seen just now. What an edge posts by itself has no type, and is a PASS."""
    passed = "type" not in told or (told["type"] == "event" and told["status"] == "PASS")
    return passed and abs(time.time() - told["timestamp"]) <= MAX_AGE_S


class Gate(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            told = Webhook(secret).verify(body, dict(self.headers))
        except WebhookVerificationError:
            self.send_response(401)
        else:
            message = self.headers["webhook-id"]
            if opens(told) and message not in done:
                done.add(message)
                print(f"the gate opens for {told['name']}", flush=True)
            self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


ThreadingHTTPServer(("127.0.0.1", port), Gate).serve_forever()
