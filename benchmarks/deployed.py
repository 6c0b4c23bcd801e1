"""A local AWS of the benchmarks' own with everything deployed, and requests to its API on kept connections."""

import io
import json
import shutil
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.environments import BENCH
from cli.local import LocalAws
from cli.progress import Silence
from cli.target import Target

ALIAS = "live"
OFF = "off"
# A call that writes nothing waits 50 ms for a line there: one that captures nothing writes a short one instead.
SPEAKING = """from functions.inference.handler import handler as inner


def handler(event, context):
    answer = inner(event, context)
    print("-")
    return answer
"""


class WrongAnswer(Exception):
    """The API said something else than 200."""


@contextmanager
def deployed(name: str) -> Iterator[tuple[Target, Path]]:
    """The stacks and the folder of their AWS, which is gone afterwards."""
    folder = BENCH / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    local = LocalAws(folder=folder, guest=True)
    try:
        yield local.up(Silence()), folder
    finally:
        local.erase()
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Api:
    """Where predictions of one model are asked for."""

    url: str
    model: str
    token: str

    @contextmanager
    def connected(self) -> Iterator[Callable[[bytes], tuple[str, float]]]:
        """One kept connection; it takes a request's body and gives the prediction's id and the seconds."""
        parts = urlsplit(self.url)
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=120)
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}

        def ask(body: bytes) -> tuple[str, float]:
            started = time.perf_counter()
            connection.request("POST", f"{parts.path}/v2/models/{self.model}/infer", body, headers)
            answer = connection.getresponse()
            said = answer.read()
            took = time.perf_counter() - started
            if answer.status != 200:
                raise WrongAnswer(f"{answer.status}: {said[:300]!r}")
            return answer.headers["lastmile-prediction-id"], took

        try:
            yield ask
        finally:
            connection.close()


def copies(stack: Target, model: str, token: str) -> dict[str, Api]:
    """Two copies of the inference function behind two APIs of one route each, alike but for the capture: what is
    compared differs in nothing else. Nobody listens to their logs."""
    functions = stack.client("lambda")
    found = functions.get_function(FunctionName=f"lastmile-{stack.stage}-inference")
    with urllib.request.urlopen(found["Code"]["Location"]) as answer:
        code = answer.read()
    apis = {}
    for capture, package, handler in (
        ("on", code, found["Configuration"]["Handler"]),
        (OFF, spoken(code), "off.handler"),
    ):
        one = found["Configuration"]
        arn = functions.create_function(
            FunctionName=f"captures-{capture}",
            Runtime=one["Runtime"],
            Role=one["Role"],
            Handler=handler,
            Code={"ZipFile": package},
            Timeout=one["Timeout"],
            MemorySize=one["MemorySize"],
            Layers=[layer["Arn"] for layer in one["Layers"]],
            Environment={"Variables": one["Environment"]["Variables"] | {"LASTMILE_CAPTURE": capture}},
        )["FunctionArn"]
        apis[capture] = Api(one_route(stack, arn, capture), model, token)
    return apis


def spoken(code: bytes) -> bytes:
    """The function's package with a handler that writes a line."""
    data = io.BytesIO(code)
    with zipfile.ZipFile(data, "a") as package:
        package.writestr("off.py", SPEAKING)
    return data.getvalue()


def one_route(stack: Target, function: str, name: str) -> str:
    """The address of an API with the prediction route alone, authorised as in the stack's own."""
    client = stack.client("apigatewayv2")
    (authorizer,) = client.get_authorizers(ApiId=stack.api_id)["Items"]
    api = client.create_api(Name=f"captures-{name}", ProtocolType="HTTP")["ApiId"]
    integration = client.create_integration(
        ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=function, PayloadFormatVersion="2.0"
    )["IntegrationId"]
    wanted = {key: authorizer[key] for key in ("AuthorizerType", "IdentitySource", "JwtConfiguration", "Name")}
    tokens = client.create_authorizer(ApiId=api, **wanted)["AuthorizerId"]
    client.create_route(
        ApiId=api,
        RouteKey="POST /v2/models/{model}/infer",
        Target=f"integrations/{integration}",
        AuthorizationType="JWT",
        AuthorizerId=tokens,
        AuthorizationScopes=["lastmile/infer"],
    )
    client.create_stage(ApiId=api, StageName="$default", AutoDeploy=True)
    return stack.api_url.replace(stack.api_id, api)


def bodies(rows: Sequence[Sequence[float]]) -> list[bytes]:
    """One request per row."""
    return [
        json.dumps(
            {"inputs": [{"name": "image", "shape": [1, len(row)], "datatype": "FP32", "data": list(row)}]}
        ).encode()
        for row in rows
    ]
