"""What is sent to SageMaker and packed for it is taken by a real Triton, and the local endpoint does as Triton does.

Skipped where no Triton is installed: `make triton`.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort
import pytest

from benchmarks.environments import Environment, EnvironmentFailed
from functions.inference.local_endpoint import LocalEndpoint
from lastmile.errors import EndpointUnavailable
from lastmile.heavy import names
from lastmile.heavy.client import Answer
from lastmile.heavy.packaging import Repository, packed
from lastmile.heavy.triton import config
from lastmile.heavy.wire import HEADER_SIZE, Payload, stored_type
from lastmile.policies import Heavy
from lastmile.registry import Registry
from lastmile.spec import ModelSpec
from lastmile.store import Store
from lastmile.tensors import Array
from tests.triton.environment import found
from tests.triton.front import sagemaker
from tests.triton.requests import (
    ANSWERED,
    HEAVY,
    MODELS,
    MOST_ROWS,
    REFUSED,
    UNREADABLE,
    Document,
    binary,
    feeds,
    package,
)
from tests.triton.servers import NotStarted, Server, bound, packaged, refusal
from tests.triton.sides import STAGE, Side
from tests.unit.inference.doors import WHO, listening


@pytest.fixture(scope="module")
def environment() -> Environment:
    try:
        return found()
    except EnvironmentFailed as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def servers(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    """One model behind a function bound through pytriton, the other in our package."""
    folders = {model: tmp_path_factory.mktemp(model) for model in MODELS}
    with (
        bound(environment, MODELS["every"][1], "every", MOST_ROWS, folders["every"]) as one,
        packaged(environment, package("plain"), "plain", folders["plain"]) as other,
    ):
        try:
            one.wait()
        except NotStarted as error:
            pytest.skip(str(error))
        other.wait()  # Triton runs here: what does not start now is our package
        yield {"every": one, "plain": other}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    uri = tmp_path_factory.mktemp("registry").as_uri()
    registry = Registry(Store.open(uri, environ={}))
    for name, (signature, _) in MODELS.items():
        spec = ModelSpec(name, "classification", "", signature.inputs, signature.outputs, "sagemaker", heavy=HEAVY)
        facts: Any = {"metrics": {}, "lineage": {}, "compression": {}, **WHO}
        registry.push(spec, package(name), signature=signature, artefact="model.tar.gz", **facts)
    app = LocalEndpoint({"LASTMILE_ARTIFACTS": uri, "LASTMILE_STAGE": STAGE})
    with listening(app, http="httptools") as port:
        side = Side.at(port)
        yield side
        side.runtime.reconnect()


@pytest.fixture(scope="module")
def real(servers: dict[str, Server]) -> Iterator[Side]:
    with sagemaker({names.component(STAGE, model, 1): server for model, server in servers.items()}) as port:
        side = Side.at(port)
        yield side
        side.runtime.reconnect()


@pytest.fixture(params=["triton", "local"])
def side(request: pytest.FixtureRequest) -> Side:
    asked: Side = request.getfixturevalue("real" if request.param == "triton" else "local")
    return asked


@cache
def session(model: str) -> ort.InferenceSession:
    return ort.InferenceSession(MODELS[model][1], providers=["CPUExecutionProvider"])


def plain(arrays: list[Array]) -> list[tuple[str, tuple[int, ...], list[str]]]:
    """Type, shape and elements of each, as they can be compared bit for bit: NaN is NaN, and -0.0 is not 0.0."""
    return [(array.dtype.str, array.shape, [repr(element) for element in array.ravel().tolist()]) for array in arrays]


@pytest.mark.parametrize("rows", [1, 3, MOST_ROWS, 3 * MOST_ROWS + 1])
@pytest.mark.parametrize("model", MODELS)
def test_what_comes_back_is_what_the_session_gives(side: Side, model: str, rows: int) -> None:
    sent = feeds(model, rows, seed=rows)
    assert plain(side.backend(model).run(None, sent)) == plain(session(model).run(None, sent))


def test_what_no_json_can_say_comes_back_in_binary(side: Side) -> None:
    sent = feeds("every", 2)
    sent["fp32"][0] = np.nan, np.inf, -np.inf
    sent["one_fp16"][:] = -0.0, np.nan
    assert plain(side.backend("every").run(None, sent)) == plain(session("every").run(None, sent))


def test_outputs_are_in_the_order_asked_for(side: Side) -> None:
    sent = feeds("plain", 3)
    wanted = ["same", "half", "label"]
    assert plain(side.backend("plain").run(wanted, sent)) == plain(session("plain").run(wanted, sent))


def test_requests_that_triton_puts_into_one_batch_get_their_own_answers(real: Side) -> None:
    backend = real.backend("plain")
    requests = [feeds("plain", 1 + seed % 3, seed) for seed in range(60)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda sent: backend.run(None, sent), requests))
    for sent, answer in zip(requests, answers, strict=True):
        assert plain(answer) == plain(session("plain").run(None, sent))


def test_an_answer_that_was_stored_says_itself_where_its_header_ends(side: Side) -> None:
    answer = side.invoke("plain", binary())
    assert stored_type(answer.body) == answer.content_type


def test_the_container_says_that_it_is_well(servers: dict[str, Server]) -> None:
    assert {server.ask("GET", "/ping")[0] for server in servers.values()} == {200}


class Read(NamedTuple):
    """The kind of an answer, its header, and what is left of its bytes after those of the outputs."""

    kind: str
    header: Document
    rest: bytes


def read(answer: Answer) -> Read:
    """With keys and outputs sorted: in which order they come is the backend's."""
    kind, _, size = answer.content_type.partition(f";{HEADER_SIZE}")
    at = int(size) if size else len(answer.body)
    header = json.loads(answer.body[:at])
    for output in header["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size", 0)
        output["binary"] = answer.body[at : at + size]
        at += size
    outputs = [dict(sorted(output.items())) for output in sorted(header["outputs"], key=itemgetter("name"))]
    return Read(kind, dict(sorted((header | {"outputs": outputs}).items())), answer.body[at:])


@pytest.mark.parametrize("wanted", ANSWERED.values(), ids=ANSWERED)
def test_both_answer_the_same(real: Side, local: Side, wanted: Payload) -> None:
    theirs, ours = (read(side.invoke("plain", wanted)) for side in (real, local))
    assert theirs.header["model_name"] == "plain"
    assert ours.kind == theirs.kind
    assert repr(ours.header) == repr(theirs.header)  # also NaN
    assert (theirs.rest, ours.rest) == (b"", b"")


def error_of(side: Side, wanted: Payload) -> EndpointUnavailable:
    with pytest.raises(EndpointUnavailable) as raised:
        side.invoke("plain", wanted)
    return raised.value


@pytest.mark.parametrize(("wanted", "said"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_request_is_refused_and_says_where(side: Side, wanted: Payload, said: str) -> None:
    error = error_of(side, wanted)
    assert error.reason == "refused", error
    assert "client error (400)" in str(error)
    assert said in str(error)


@pytest.mark.parametrize("wanted", UNREADABLE.values(), ids=UNREADABLE)
def test_json_that_cannot_be_read_is_an_error_of_the_servers(side: Side, wanted: Payload) -> None:
    error = error_of(side, wanted)
    assert error.reason == "failing", error
    assert "server error (500)" in str(error)


def test_a_space_before_the_headers_size_is_not_understood(side: Side) -> None:
    wanted = binary()
    with pytest.raises(EndpointUnavailable):
        side.invoke("plain", wanted._replace(content_type=wanted.content_type.replace(";", "; ")))


@pytest.mark.parametrize(
    "heavy", [HEAVY, replace(HEAVY, tensorrt=True, precision="fp32", max_batch=1)], ids=["plain", "tensorrt"]
)
@pytest.mark.parametrize("gpu", [False, True], ids=["cpu", "gpu"])
@pytest.mark.parametrize("model", MODELS)
def test_the_package_as_it_is_lacks_nothing_but_the_backend(
    environment: Environment, tmp_path: Path, model: str, gpu: bool, heavy: Heavy
) -> None:
    said = refusal(environment, package(model, heavy, gpu=gpu), tmp_path)
    (failed,) = [line for line in said.splitlines() if "failed to load" in line and "version" in line]
    assert "unable to find backend library for backend 'onnxruntime'" in failed


def test_a_wrong_configuration_is_told_from_a_backend_that_lacks(environment: Environment, tmp_path: Path) -> None:
    signature, onnx = MODELS["plain"]
    wrong = config("plain", signature, HEAVY, gpu=False).replace("TYPE_FP32", "TYPE_NOPE")
    said = refusal(environment, packed(Repository("plain", wrong, onnx)), tmp_path)
    assert "TYPE_NOPE" in said
    assert "unable to find backend" not in said
