"""SageMaker's runtime API, asked by the client: a real Triton is behind it, or the local endpoint."""

from dataclasses import dataclass

from lastmile.heavy import names
from lastmile.heavy.backend import SageMakerBackend
from lastmile.heavy.client import Answer, Runtime
from lastmile.heavy.wire import Payload
from tests.triton.requests import MODELS, MOST_ROWS, specs

STAGE = "test"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI", "AWS_REGION": "eu-west-1"}


@dataclass(frozen=True)
class Side:
    """SageMaker's runtime API with something behind it."""

    runtime: Runtime

    @classmethod
    def at(cls, port: int) -> "Side":
        return cls(Runtime({**KEYS, "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": f"http://127.0.0.1:{port}"}))

    def backend(self, model: str) -> SageMakerBackend:
        return SageMakerBackend(
            self.runtime,
            endpoint=names.endpoint(STAGE),
            component=names.component(STAGE, model, 1),
            inputs=specs(MODELS[model][0].inputs),
            outputs=specs(MODELS[model][0].outputs),
            max_batch=MOST_ROWS,
            deadline_seconds=20,
        )

    def invoke(self, model: str, payload: Payload) -> Answer:
        return self.runtime.invoke(
            names.endpoint(STAGE),
            names.component(STAGE, model, 1),
            payload.body,
            content_type=payload.content_type,
            inference_id="01",
            seconds=20,
        )
