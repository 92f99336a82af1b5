"""A gate that opens by webhook: `python receiver.py PORT SECRET`. It opens for nobody but those Rollcall names."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

port, secret = int(sys.argv[1]), sys.argv[2]
done: set[str] = set()  # Keep these for some days: a message that was not answered comes again.


class Gate(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            told = Webhook(secret).verify(body, dict(self.headers))
        except WebhookVerificationError:
            self.send_response(401)
        else:
            message = self.headers["webhook-id"]
            if message not in done:
                done.add(message)
                print(f"the gate opens for {told['name']}", flush=True)
            self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


ThreadingHTTPServer(("127.0.0.1", port), Gate).serve_forever()
