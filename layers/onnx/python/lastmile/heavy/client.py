"""SageMaker's runtime over the standard library: boto3 takes 420 ms to import and brings what no prediction needs.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
"""

import random
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import NamedTuple

import orjson

from lastmile.aws import Credentials, credential_provider
from lastmile.errors import EndpointUnavailable, StoreUnavailable
from lastmile.heavy.connections import Connections, Deadline, Reply
from lastmile.heavy.signing import signed

SERVICE = "sagemaker"
NO_CAPACITY = "no capacity"  # "Inference Component has no capacity to process this request. …": at zero copies
RETRIES = 4
PAUSE_SECONDS = 0.05
EARLY = timedelta(minutes=5)  # before credentials expire, others are asked for


class Failure(NamedTuple):
    """What an error means, and whether the request was not worked on, so that it may be sent again."""

    reason: str
    retry_safe: bool = False


# By the name in `x-amzn-ErrorType`. Names and their meaning are those of the API's model and of
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/CommonErrors.html
ERRORS: Mapping[str, Failure] = {
    "ModelError": Failure("failing"),
    "ModelNotReadyException": Failure("asleep"),
    "ValidationError": Failure("failing"),
    "ServiceUnavailable": Failure("failing"),
    "InternalFailure": Failure("failing"),
    "InternalDependencyException": Failure("failing"),
    "ThrottlingException": Failure("throttled", retry_safe=True),
    "Throttling": Failure("throttled", retry_safe=True),
    "TooManyRequestsException": Failure("throttled", retry_safe=True),
    "ExpiredTokenException": Failure("failing", retry_safe=True),  # by then with new credentials
}
EXPIRED = ("ExpiredTokenException", "ExpiredToken")


class Answer(NamedTuple):
    content_type: str
    body: bytes


class Placed(NamedTuple):
    """Where an asynchronous answer will be, or why there is none; s3:// URIs."""

    output: str
    failure: str | None


class Runtime:
    """Safe to share between threads. Whatever goes wrong is an EndpointUnavailable that says what."""

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._environ = environ
        self._region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        self._connections = Connections(url_of(environ, self._region), environ.get("AWS_CA_BUNDLE"))
        self._clock = clock
        self._pause = pause
        self._credentials: Credentials | None = None
        self._lock = Lock()

    def invoke(
        self,
        endpoint: str,
        component: str,
        body: bytes,
        *,
        content_type: str,
        inference_id: str,
        seconds: float,
        retries: int = RETRIES,
    ) -> Answer:
        headers = {
            "Content-Type": content_type,
            "X-Amzn-SageMaker-Inference-Component": component,
            "X-Amzn-SageMaker-Inference-Id": inference_id,
        }
        reply = self._ask(f"/endpoints/{endpoint}/invocations", headers, body, Deadline(seconds), retries)
        return Answer(reply.headers.get("content-type", ""), reply.body)

    def invoke_async(
        self, endpoint: str, location: str, *, content_type: str, inference_id: str, seconds: float
    ) -> Placed:
        """`location` is the s3:// URI of the request's body."""
        headers = {
            "X-Amzn-SageMaker-Content-Type": content_type,
            "X-Amzn-SageMaker-InputLocation": location,
            "X-Amzn-SageMaker-Inference-Id": inference_id,
        }
        reply = self._ask(f"/endpoints/{endpoint}/async-invocations", headers, b"", Deadline(seconds))
        output = reply.headers.get("x-amzn-sagemaker-outputlocation")
        if output is None:
            raise EndpointUnavailable("garbage", f"endpoint {endpoint} does not say where its answer will be")
        return Placed(output, reply.headers.get("x-amzn-sagemaker-failurelocation"))

    def reconnect(self) -> None:
        """Forget connections and credentials, as is needed after a snapshot was restored."""
        self._connections.close()
        self._credentials = None

    def _ask(
        self, path: str, headers: Mapping[str, str], body: bytes, deadline: Deadline, retries: int = RETRIES
    ) -> Reply:
        """Sent again only where it was not worked on, and only while there is time."""
        for attempt in range(retries + 1):
            try:
                return self._ask_once(path, headers, body, deadline)
            except EndpointUnavailable as error:
                pause = random.uniform(0.5, 1.0) * PAUSE_SECONDS * 2**attempt  # noqa: S311 no secret
                if not error.retry_safe or attempt == retries or pause >= deadline.left():
                    raise
                self._pause(pause)
        raise AssertionError  # the last attempt returns or raises

    def _ask_once(self, path: str, headers: Mapping[str, str], body: bytes, deadline: Deadline) -> Reply:
        sent = signed(
            "POST",
            path,
            {**headers, "Host": self._connections.host},
            body,
            region=self._region,
            service=SERVICE,
            credentials=self._known(),
            at=self._clock(),
        )
        reply = self._connections.post(path, sent, body, deadline)
        if reply.status in (200, 202):
            return reply
        error = failure_of(reply)
        if error.name in EXPIRED:
            self._credentials = None
        raise error.unavailable

    def _known(self) -> Credentials:
        known = self._credentials
        if known is None or (known["expires_at"] and known["expires_at"] - EARLY < datetime.now(UTC)):
            with self._lock:
                provide = credential_provider(self._environ)
                if provide is None:
                    raise EndpointUnavailable("failing", "there are no AWS credentials to ask an endpoint with")
                try:
                    known = self._credentials = provide()
                except StoreUnavailable as error:
                    raise EndpointUnavailable("failing", str(error), retry_safe=True) from error
        return known


class Told(NamedTuple):
    """An error by the name that AWS gives it."""

    name: str
    unavailable: EndpointUnavailable


def url_of(environ: Mapping[str, str], region: str) -> str:
    """As AWS's SDKs find it: https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html"""
    suffix = ".cn" if region.startswith("cn-") else ""
    regional = f"https://runtime.sagemaker.{region}.amazonaws.com{suffix}"
    return environ.get("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME") or environ.get("AWS_ENDPOINT_URL") or regional


def failure_of(reply: Reply) -> Told:
    """What an answer that is none says; a status alone where it says nothing that can be read."""
    document = _document(reply.body)
    name = reply.headers.get("x-amzn-errortype") or str(document.get("__type") or document.get("code") or "")
    name = name.partition(":")[0].rpartition("#")[2]
    words = str(document.get("Message") or document.get("message") or f"status {reply.status}")[:300]
    failure = ERRORS.get(name)
    if failure is None:
        failure = ERRORS["ThrottlingException"] if reply.status == 429 else Failure("failing")
    if name == "ValidationError" and NO_CAPACITY in words:
        failure = Failure("asleep")
    if name == "ModelError" and document.get("OriginalStatusCode") in range(400, 500):
        failure = Failure("refused")
    sentence = f"the endpoint says {name or 'nothing'}: {words}"
    return Told(name, EndpointUnavailable(failure.reason, sentence, retry_safe=failure.retry_safe))


def _document(body: bytes) -> dict[str, object]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}
