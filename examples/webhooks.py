"""A receiver is told when a job fails, and checks the signature."""

import asyncio
import base64
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from windlass import Windlass

app = Windlass("sqlite://:memory:", webhook_networks="127.0.0.0/8")  # only because the receiver is on this machine
told: list[dict] = []
secret = ""


@app.job(max_attempts=1)
def send(to: str) -> None:
    raise ValueError(f"nobody is called {to}")


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + body
        key = base64.b64decode(secret.removeprefix("whsec_"))
        wanted = "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
        good = any(hmac.compare_digest(wanted, each) for each in self.headers["webhook-signature"].split())
        if good:
            told.append(json.loads(body))
        self.send_response(204 if good else 401)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


async def main() -> None:
    global secret
    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        async with app:
            hook = await app.webhooks.add(f"http://127.0.0.1:{server.server_port}/", events="job.failed")
            secret = hook.secret
            await send.enqueue("nobody@example.com")
            await app.drain()
            (delivery,) = (await app.webhooks.deliveries(hook.id)).items
            print(delivery.event, delivery.state, delivery.status)
        server.shutdown()
    print(told[0]["type"], told[0]["data"]["error"]["message"])


asyncio.run(main())
