import asyncio
import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from functions.inference import server_door as module
from functions.inference.background import Background
from functions.inference.metrics import Metrics
from functions.inference.pace import SLOW_MILLISECONDS
from functions.inference.server_door import ServerDoor
from functions.inference.serving import Serving
from lastmile.errors import StoreUnavailable
from lastmile.protocols.messages import MAX_BODY_BYTES
from lastmile.registry import Registry
from tests.unit.inference.doors import (
    WHO,
    Sent,
    fill,
    listening,
    open_serving,
    push,
    server_door,
    session,
    through_asgi,
    through_socket,
)
from tests.unit.inference.graphs import slow
from tests.unit.inference.test_doors import INFER, ONE, post, tensor, v2

READY = Sent("GET", "/v2/health/ready")
LIVE = Sent("GET", "/v2/health/live")
SCOPE = {"type": "http", "method": "POST", "path": INFER, "query_string": b"", "headers": [], "root_path": ""}


def with_slow(serving: Serving) -> Sent:
    """A model whose runs take tens of milliseconds, and a request for it."""
    push(serving, "slow", slow())
    Registry(serving.store).promote("slow", 1, **WHO)
    row = {"name": "x", "datatype": "FP32", "shape": [64, 1024], "data": [0] * 64 * 1024}
    return post("/v2/models/slow/infer", v2(row))


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_a_body_over_the_limit_is_not_read_to_its_end() -> None:
    read = 0

    async def receive() -> Any:
        nonlocal read
        read += 1 << 16
        return {"type": "http.request", "body": bytes(1 << 16), "more_body": True}  # without end

    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    asyncio.run(server_door(fill(open_serving()))(dict(SCOPE), receive, send))
    assert said[0]["status"] == 413
    assert read <= MAX_BODY_BYTES + (1 << 16)


def test_a_client_that_leaves_before_the_end_gets_no_prediction() -> None:
    serving = fill(open_serving())
    asked: list[Any] = []
    serving.protocols.call = lambda *given: asked.append(given)  # type: ignore[method-assign,assignment]
    messages = [
        {"type": "http.request", "body": b'{"inputs"', "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        raise AssertionError("nobody listens")

    asyncio.run(server_door(serving)(dict(SCOPE), receive, send))
    assert asked == []


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ServerDoor, list[str]]]:
    """A door, and the threads in which its predictions ran, in order."""
    serving = fill(open_serving())
    ran: list[str] = []
    call = serving.protocols.call

    def noted(*given: Any) -> Any:
        ran.append(threading.current_thread().name.partition("_")[0])
        return call(*given)

    monkeypatch.setattr(serving.protocols, "call", noted)
    door = server_door(serving)
    yield door, ran


def test_a_short_model_runs_on_the_event_loop_once_it_is_known_to_be_short(
    threads: tuple[ServerDoor, list[str]],
) -> None:
    door, ran = threads
    ask = through_asgi(door)
    for _ in range(40):
        assert ask(post(INFER, v2(tensor()))).status == 200
    assert ran[0] == "prediction"  # it had to be loaded
    assert ran[-1] == "MainThread"


def test_a_long_model_runs_in_a_thread(threads: tuple[ServerDoor, list[str]]) -> None:
    door, ran = threads
    sent = with_slow(door._serving)
    ask = through_asgi(door)
    for _ in range(4):
        assert ask(sent).status == 200
    assert set(ran) == {"prediction"}
    assert door._pace._milliseconds["/v2/models/slow/infer"] > SLOW_MILLISECONDS


def test_what_was_refused_says_nothing_of_the_model(threads: tuple[ServerDoor, list[str]]) -> None:
    door, ran = threads
    ask = through_asgi(door)
    for _ in range(3):
        ask(post("/v2/models/none/infer", v2(tensor())))
    assert ran == ["prediction"] * 3  # asking the store for an unknown model takes time


def test_models_of_invocations_are_measured_apart(threads: tuple[ServerDoor, list[str]]) -> None:
    door, _ = threads
    ask = through_asgi(door)
    for model in ("digits", "echo"):
        ask(Sent("POST", "/invocations", b'{"instances":["a"]}', query=f"model={model}"))
    assert list(door._pace._milliseconds) == ["/invocations?echo"]


@pytest.mark.parametrize(
    ("sent", "in_thread"),
    [
        (post(INFER, v2(tensor())), True),
        (post("/v2/models/digits/versions/3/infer", v2(tensor())), True),
        (Sent("POST", "/invocations", b'{"instances":[' + str([0] * 64).encode() + b"]}", query="model=digits"), True),
        (post("/v1/models/echo:predict", {"instances": ["a"]}), False),
        (Sent("POST", "/invocations", b'{"instances":["a"]}', query="model=echo"), False),
        (Sent("GET", "/v2/models/digits/ready"), False),
    ],
)
def test_predictions_that_may_wait_for_an_endpoint_never_run_on_the_event_loop(
    threads: tuple[ServerDoor, list[str]], sent: Sent, in_thread: bool
) -> None:
    door, ran = threads
    ask = through_asgi(door)
    door._pace.is_quick = lambda key, body_bytes: True  # type: ignore[method-assign]
    assert ask(sent).status == 200
    door._serving.predictor.heavy_models.add("digits")
    assert ask(sent).status == 200
    assert ran == ["MainThread", "prediction" if in_thread else "MainThread"]


def test_a_long_model_does_not_hold_up_a_short_one() -> None:
    serving = fill(open_serving())
    sent = with_slow(serving)
    began, go_on, answers = threading.Event(), threading.Event(), []
    call = serving.protocols.call

    def held(route: Any, request: Any, parameters: Any) -> Any:
        if request.path == sent.path:
            began.set()
            assert go_on.wait(60)
        return call(route, request, parameters)

    with listening(server_door(serving)) as port:
        ask = through_socket(port)
        for _ in range(2):  # it is measured, and others are
            assert ask(sent).status == ask(post(INFER, v2(tensor()))).status == 200
        serving.protocols.call = held  # type: ignore[method-assign]
        busy = threading.Thread(target=lambda: answers.append(ask(sent).status))
        busy.start()
        try:
            assert began.wait(60)
            for _ in range(5):
                assert ask(LIVE).status == ask(post(INFER, v2(tensor()))).status == 200
            assert not answers
        finally:
            go_on.set()
            busy.join()
    assert answers == [200]


def test_ready_is_said_once_the_champions_are_loaded_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    serving = fill(open_serving())
    loading, load = threading.Event(), serving.predictor.preload

    def preload() -> list[str]:
        assert loading.wait(60)
        return load()

    monkeypatch.setattr(serving.predictor, "preload", preload)
    with listening(ServerDoor(serving, metrics=Metrics(), background=Background())) as port:
        ask = through_socket(port)
        assert (ask(READY).status, ask(READY).body) == (503, b'{"ready":false}')
        assert ask(Sent("HEAD", READY.path)).status == 503
        assert ask(LIVE).status == ask(Sent("GET", "/health")).status == 200
        assert serving.predictor.loaded_versions() == []
        assert ask(post(INFER, v2(tensor()))).status == 200  # who does not ask first is answered all the same
        loading.set()
        wait_for(lambda: ask(READY).status == 200)
        assert {model for model, _ in serving.predictor.loaded_versions()} == {"digits", "echo", "pair"}


def test_a_store_that_is_down_at_the_start_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    serving = fill(open_serving())
    failures, load = iter([True, True, False]), serving.predictor.preload

    def preload() -> list[str]:
        if next(failures):
            raise StoreUnavailable("no route to the store")
        return load()

    monkeypatch.setattr(serving.predictor, "preload", preload)
    monkeypatch.setattr(module, "FIRST_RETRY_SECONDS", 0.05)
    with listening(ServerDoor(serving, metrics=Metrics(), background=Background())) as port:
        ask = through_socket(port)
        wait_for(lambda: ask(READY).status == 200)
    assert capfd.readouterr().err.count("not ready: no route to the store") == 2


def test_a_refresh_never_delays_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    background = Background()
    serving = fill(
        open_serving({"LASTMILE_RELEASE_SECONDS": "0"}, spawn=background.refresh, spawn_shadow=background.shadow)
    )
    ask = through_asgi(ServerDoor(serving, metrics=Metrics(), background=background))
    assert ask(post(INFER, v2(tensor()))).status == 200
    hold, asked = threading.Event(), threading.Event()
    read = serving.store.get_if_changed

    def slowly(path: str, etag: str) -> Any:
        asked.set()
        assert hold.wait(60)
        return read(path, etag)

    monkeypatch.setattr(serving.store, "get_if_changed", slowly)
    for _ in range(5):
        assert ask(post(INFER, v2(tensor()))).status == 200
    assert asked.wait(60)
    hold.set()
    background.close()


def test_a_shadow_run_never_delays_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    background, lines, hold = Background(), [], threading.Event()

    def record(**facts: Any) -> None:
        if facts["role"] == "shadow":
            assert hold.wait(60)
        lines.append((facts["role"], facts["recording"].version, facts["prediction_id"]))

    serving = fill(open_serving(record=record, spawn=background.refresh, spawn_shadow=background.shadow))
    Registry(serving.store).shadow("digits", 3, **WHO)
    got = through_asgi(ServerDoor(serving, metrics=Metrics(), background=background))(post(INFER, v2(tensor())))
    identifier = got.headers["lastmile-prediction-id"]
    assert lines == [("champion", 1, identifier)]
    hold.set()
    wait_for(lambda: len(lines) == 2)
    assert lines[1] == ("shadow", 3, identifier)
    background.close()


def test_a_promotion_is_followed_without_a_failed_request() -> None:
    background = Background()
    serving = fill(
        open_serving({"LASTMILE_RELEASE_SECONDS": "0.01"}, spawn=background.refresh, spawn_shadow=background.shadow)
    )
    with listening(ServerDoor(serving, metrics=Metrics(), background=background)) as port:
        ask = through_socket(port)
        assert ask(post(INFER, v2(tensor()))).headers["lastmile-version"] == "1"
        Registry(serving.store).promote("digits", 3, **WHO)

        def now_three() -> bool:
            got = ask(post(INFER, v2(tensor())))
            assert got.status == 200
            version = int(got.headers["lastmile-version"])
            said = json.loads(got.body)
            assert said["model_version"] == str(version)
            assert said["outputs"][0]["data"] == session(version)(ONE)[0].tolist()
            return version == 3

        wait_for(now_three)


def test_a_request_under_way_is_finished_before_the_server_stops() -> None:
    serving = fill(open_serving())
    sent = with_slow(serving)
    began, answers = threading.Event(), []
    call = serving.protocols.call

    def noted(*given: Any) -> Any:
        began.set()
        time.sleep(0.3)  # the server is told to stop meanwhile
        return call(*given)

    serving.protocols.call = noted  # type: ignore[method-assign,assignment]
    with listening(server_door(serving)) as port:
        asking = threading.Thread(target=lambda: answers.append(through_socket(port)(sent)))
        asking.start()
        assert began.wait(60)
    asking.join()
    assert [got.status for got in answers] == [200]
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=1):
        pass


def test_a_connection_serves_many_requests_also_after_an_error() -> None:
    with listening(server_door(fill(open_serving()))) as port, socket.create_connection(("127.0.0.1", port)) as link:
        stream = link.makefile("rb")
        for body, wanted in (
            (v2(tensor()), b"200"),
            (b"{", b"400"),
            (bytes(7_000_000), b"413"),
            (v2(tensor()), b"200"),
        ):
            head = f"POST {INFER} HTTP/1.1\r\nhost: here\r\ncontent-length: {len(body)}\r\n\r\n"
            link.sendall(head.encode() + body)
            assert stream.readline().split()[1] == wanted
            length = 0
            while (line := stream.readline()) != b"\r\n":
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            stream.read(length)


def test_what_is_packed_is_never_answered_on_the_event_loop() -> None:
    """However short the packed body is, and however short the model has been measured."""
    door = server_door(fill(open_serving()))
    threads: list[str] = []
    answer = door._answer

    def told(head: Any, request: Any) -> Any:
        threads.append(threading.current_thread().name)
        return answer(head, request)

    record = door._pace.record
    door._answer = told  # type: ignore[method-assign]

    def short(key: str, milliseconds: float) -> None:
        record(key, milliseconds if milliseconds == module.SLOW else 1.0)

    door._pace.record = short  # type: ignore[method-assign]
    ask = through_asgi(door)
    packed = Sent("POST", INFER, gzip.compress(v2(tensor())), {"content-encoding": "gzip"})
    for sent in (post(INFER, v2(tensor())), packed, post(INFER, v2(tensor())), packed):
        assert ask(sent).status == 200
    assert [name.startswith("prediction") for name in threads] == [True, True, False, True]


def test_what_else_a_query_says_has_no_pace_of_its_own() -> None:
    door = server_door(fill(open_serving()))
    ask = through_asgi(door)
    for number in range(3):
        sent = post("/invocations", b'{"inputs": ["a"]}')
        assert ask(Sent(sent.method, sent.path, sent.body, sent.headers, f"n={number}&model=echo")).status == 200
    assert list(door._pace._milliseconds) == ["/invocations?echo"]
