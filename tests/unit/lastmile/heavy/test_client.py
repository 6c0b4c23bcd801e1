"""The client against a host that answers as it is told, and against what boto3 sends."""

import json
import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.config import Config

from lastmile.errors import EndpointUnavailable
from lastmile.heavy import client
from lastmile.heavy.client import Runtime, url_of
from tests.unit.lastmile.heavy.conftest import KEYS, Answer, Host

BINARY = "application/vnd.sagemaker-triton.binary+json;json-header-size=210"
ASLEEP = (
    "Inference Component has no capacity to process this request. ApplicationAutoScaling may be in-progress (if "
    "configured) or try to increase the capacity by invoking UpdateInferenceComponentRuntimeConfig API."
)


def invoke(runtime: Runtime, body: bytes = b"body", seconds: float = 10.0) -> bytes:
    return runtime.invoke("e", "c-v1", body, content_type=BINARY, inference_id="01", seconds=seconds).body


def error(status: int, name: str, message: str = "no", **more: Any) -> Answer:
    headers = {"x-amzn-ErrorType": f"{name}:http://internal.amazon.com/coral/com.amazonaws.sagemaker/"}
    return status, headers, json.dumps({"Message": message, **more}).encode()


type Open = Callable[..., Runtime]


@pytest.fixture(name="runtime")
def runtime_fixture(host: Host) -> Iterator[Open]:
    """Opens clients of the host, and closes them in the end."""
    opened: list[Runtime] = []

    def open_one(**options: Any) -> Runtime:
        opened.append(Runtime(options.pop("environ", host.environ), **options))
        return opened[-1]

    yield open_one
    for one in opened:
        one.reconnect()


@pytest.fixture
def boto(host: Host) -> Iterator[Any]:
    client = boto3.client(
        "sagemaker-runtime",
        region_name="eu-west-1",
        endpoint_url=host.url,
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        config=Config(proxies={}, retries={"total_max_attempts": 1}),
    )
    yield client
    client.close()


def same_request(host: Host) -> None:
    """The last two requests, apart from what is boto3's own and from the moment."""
    (path, ours, body), (boto_path, theirs, boto_body) = host.requests[-2:]
    assert (path, body) == (boto_path, boto_body)
    names = {name for name in theirs if name == "content-type" or name.startswith("x-amzn-")}
    assert {name: ours[name] for name in names} == {name: theirs[name] for name in names}
    assert {name for name in ours if name.startswith("x-amzn-")} == {n for n in names if n.startswith("x-amzn-")}
    assert ours["authorization"].partition("/")[0] == theirs["authorization"].partition("/")[0]


def test_an_invocation_is_the_request_that_boto3_sends(host: Host, boto: Any, runtime: Open) -> None:
    host.answer = lambda _: (200, {"Content-Type": BINARY}, b"answer")
    assert invoke(runtime()) == b"answer"
    boto.invoke_endpoint(
        EndpointName="e", InferenceComponentName="c-v1", Body=b"body", ContentType=BINARY, InferenceId="01"
    )
    same_request(host)


def test_an_asynchronous_invocation_is_the_request_that_boto3_sends(host: Host, boto: Any, runtime: Open) -> None:
    told = {"X-Amzn-SageMaker-OutputLocation": "s3://b/o", "X-Amzn-SageMaker-FailureLocation": "s3://b/f"}
    host.answer = lambda _: (202, told, b'{"InferenceId": "01"}')
    placed = runtime().invoke_async("e-async", "s3://b/i", content_type=BINARY, inference_id="01", seconds=5)
    theirs = boto.invoke_endpoint_async(
        EndpointName="e-async", InputLocation="s3://b/i", ContentType=BINARY, InferenceId="01"
    )
    same_request(host)
    assert placed == (theirs["OutputLocation"], theirs["FailureLocation"]) == ("s3://b/o", "s3://b/f")


def test_an_asynchronous_answer_without_a_place_is_none(host: Host, runtime: Open) -> None:
    host.answer = lambda _: (202, {}, b"{}")
    with pytest.raises(EndpointUnavailable) as raised:
        runtime().invoke_async("e", "s3://b/i", content_type=BINARY, inference_id="01", seconds=5)
    assert raised.value.reason == "garbage"


@pytest.mark.parametrize(
    ("answer", "reason", "times"),
    [
        (error(400, "ValidationError", ASLEEP), "asleep", 1),
        (error(400, "ValidationError", "Endpoint e of account 1 not found."), "failing", 1),
        (error(429, "ModelNotReadyException"), "asleep", 1),
        (error(400, "ThrottlingException"), "throttled", 5),
        ((429, {}, b""), "throttled", 5),
        (error(424, "ModelError", OriginalStatusCode=500), "failing", 1),
        (error(424, "ModelError", OriginalStatusCode=400, OriginalMessage="bad shape"), "refused", 1),
        (error(503, "ServiceUnavailable"), "failing", 1),
        (error(500, "InternalFailure"), "failing", 1),
        (error(530, "InternalDependencyException"), "failing", 1),
        ((500, {}, b"<html>"), "failing", 1),
        ((403, {}, b'{"__type": "com.amazon#AccessDeniedException", "message": "not authorized"}'), "failing", 1),
        ((418, {}, b"[]"), "failing", 1),
        (None, "failing", 1),
    ],
    ids=str,
)
def test_what_goes_wrong_is_told_and_asked_again_only_where_it_is_safe(
    host: Host, runtime: Open, answer: Answer | None, reason: str, times: int
) -> None:
    host.answer = lambda _: answer
    pauses: list[float] = []
    with pytest.raises(EndpointUnavailable) as raised:
        invoke(runtime(pause=pauses.append))
    assert raised.value.reason == reason
    assert len(host.requests) == times
    assert len(pauses) == times - 1


def test_a_throttled_call_succeeds_when_there_is_room(host: Host, runtime: Open) -> None:
    host.answer = lambda host: (200, {}, b"yes") if len(host.requests) > 2 else error(400, "ThrottlingException")
    assert invoke(runtime(pause=lambda _: None)) == b"yes"
    assert len(host.requests) == 3


def test_no_pause_is_longer_than_what_is_left_of_the_time(
    host: Host, runtime: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PAUSE_SECONDS", 60.0)
    host.answer = lambda _: error(400, "ThrottlingException")
    pauses: list[float] = []
    with pytest.raises(EndpointUnavailable) as raised:
        invoke(runtime(pause=pauses.append), seconds=100)
    assert raised.value.reason == "throttled"
    assert 1 <= len(pauses) <= 2  # of four: the third would take two minutes or more
    assert len(host.requests) == len(pauses) + 1


def test_a_slow_answer_is_given_up(host: Host, runtime: Open) -> None:
    over = threading.Event()

    def wait(_: Host) -> Answer:
        over.wait(60)
        return 200, {}, b""

    host.answer = wait
    started = time.monotonic()
    with pytest.raises(EndpointUnavailable, match="within 0.2 s") as raised:
        invoke(runtime(), seconds=0.2)
    over.set()
    assert raised.value.reason == "slow"
    assert time.monotonic() - started < 30
    assert len(host.requests) == 1


def test_an_answer_that_drips_is_given_up_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                try:
                    for _ in range(1000):
                        connection.sendall(b"x")
                        time.sleep(0.05)
                except OSError:
                    pass

        thread = threading.Thread(target=drip)
        thread.start()
        environ = {**KEYS, "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": f"http://127.0.0.1:{listener.getsockname()[1]}"}
        started = time.monotonic()
        with pytest.raises(EndpointUnavailable) as raised:
            invoke(Runtime(environ), seconds=0.4)
        assert raised.value.reason == "slow"
        assert time.monotonic() - started < 30  # of fifty
        thread.join()


def test_an_answer_cut_short_is_none(host: Host, runtime: Open) -> None:
    host.answer = lambda _: (200, {"Content-Length": "10", "Connection": "close"}, b"half")
    with pytest.raises(EndpointUnavailable) as raised:
        invoke(runtime())
    assert raised.value.reason == "failing"


def test_a_host_that_is_not_there_is_tried_again_while_there_is_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    environ = {**KEYS, "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": f"http://127.0.0.1:{port}"}
    pauses: list[float] = []
    with pytest.raises(EndpointUnavailable, match="cannot be reached") as raised:
        invoke(Runtime(environ, pause=pauses.append))
    assert (raised.value.reason, len(pauses)) == ("failing", 4)


def test_connections_are_used_again_by_many_threads(host: Host, runtime: Open) -> None:
    host.answer = lambda host: (200, {}, host.requests[-1][2])
    client = runtime()
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda n: invoke(client, b"%d" % n), range(100)))
    assert len(host.connections) <= 4


def test_a_connection_that_the_host_closed_meanwhile_is_not_used_again(host: Host, runtime: Open) -> None:
    client = runtime()
    host.answer = lambda _: (200, {}, b"one")
    invoke(client)
    # Closed by the host after an answer that did not say so.
    host.answer = lambda host: None if len(host.requests) == 2 else (200, {}, b"again")
    assert invoke(client) == b"again"
    assert len(host.connections) == 2


@pytest.fixture
def descriptors() -> Iterator[None]:
    """All below 1024 are taken."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2048:
        pytest.skip("a process may not have so many descriptors here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    held: list[int] = []
    while not held or held[-1] < 1024:
        held.append(os.dup(0))
    yield
    for one in held:
        os.close(one)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("descriptors")
def test_a_process_may_have_more_than_a_thousand_descriptors(host: Host, runtime: Open) -> None:
    host.answer = lambda _: (200, {}, b"yes")
    client = runtime()
    assert [invoke(client) for _ in range(3)] == [b"yes"] * 3
    assert len(host.connections) == 1


def test_a_kept_connection_that_is_broken_is_not_used_again(host: Host, runtime: Open) -> None:
    host.answer = lambda _: (200, {}, b"yes")
    client = runtime()
    invoke(client)
    ((connection, _),) = client._connections._idle
    assert connection.sock is not None
    connection.sock.close()  # whose descriptor is -1 from now on
    assert invoke(client) == b"yes"
    assert len(host.connections) == 2


def test_the_address_is_found_as_sdks_find_it() -> None:
    assert url_of({}, "eu-west-1") == "https://runtime.sagemaker.eu-west-1.amazonaws.com"
    assert url_of({}, "cn-north-1") == "https://runtime.sagemaker.cn-north-1.amazonaws.com.cn"
    both = {"AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": "http://b"}
    assert url_of(both, "eu-west-1") == "http://b"
    assert url_of({"AWS_ENDPOINT_URL": "http://a"}, "eu-west-1") == "http://a"


def test_without_credentials_it_says_so(host: Host, runtime: Open) -> None:
    with pytest.raises(EndpointUnavailable, match="no AWS credentials"):
        invoke(Runtime({"AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": host.url}))
