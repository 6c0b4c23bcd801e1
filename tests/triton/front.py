"""What SageMaker's runtime does in front of a container: it hands a request's body to /invocations, and wraps what
is no answer.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
"""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.triton.servers import Server

COMPONENT = "x-amzn-sagemaker-inference-component"


@contextmanager
def sagemaker(components: Mapping[str, Server]) -> Iterator[int]:
    """The port at which these containers are invoked by the name of their inference component."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            container = components[self.headers[COMPONENT]]
            status, kind, answer = container.ask("POST", "/invocations", body, self.headers.get("content-type", ""))
            self.send_response(200 if status == 200 else 424)
            if status != 200:
                answer, kind = _model_error(status, answer), "application/json"
                self.send_header("x-amzn-ErrorType", "ModelError:http://internal.amazon.com/coral/")
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _model_error(status: int, answer: bytes) -> bytes:
    words = answer.decode(errors="replace")
    side = "client" if status < 500 else "server"
    told = f'Received {side} error ({status}) from model with message "{words}".'
    return json.dumps({"Message": told, "OriginalStatusCode": status, "OriginalMessage": words}).encode()
