"""The digits under other names in a deployment, to be watched: asked, captured, labelled, checked."""

import json
import time
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from cli.target import Target
from cli.watching import data_store
from lastmile.model import OnnxModel
from lastmile.policies import Canary, Compression, Drift, Retrain, Training
from lastmile.profile import reference
from lastmile.profiles import ProfileStore

IMAGES, LABELS = (array for array in load_digits(return_X_y=True))
BATCH = 100
QUICKLY = {"trees": 10}
SECONDS = 90


def serve(stack: Target, name: str, retrain: Retrain) -> None:
    """The digits' newest version, with a reference, looked at every hour and trained by itself as `retrain` says."""
    registry = stack.registry()
    manifest = registry.manifest("digits", 2)
    data = registry.artefact(manifest)
    rows = {"image": IMAGES.astype(np.float32)}
    names = [tensor.name for tensor in manifest.signature.outputs]
    answers = dict(zip(names, OnnxModel.open(data, threads=1).run(names, rows), strict=True))
    of = registry.spec("digits")
    known = reference(manifest.signature, of.task, rows, answers, features=of.features)
    registry.push(
        replace(
            of,
            name=name,
            drift=Drift(every_hours=1, window_hours=24),
            retrain=retrain,
            training=Training(recipe="tabular", target="label", options=QUICKLY),
            compression=Compression(candidates=("optimised",)),
            canary=Canary(steps=(0.5,), bake_seconds=2.0),
        ),
        data,
        signature=manifest.signature,
        actor="e2e",
        why="to be watched",
        metrics={},
        lineage={},
        compression={},
        files={"profile.json": json.dumps(known.to_document()).encode()},
    )
    registry.promote(name, 1, actor="e2e", why="to be watched")


def predict(stack: Target, token: str, model: str, rows: Any) -> str:
    """One request; the id of the prediction."""
    data = rows.astype(np.float32)
    tensor = {"name": "image", "shape": list(data.shape), "datatype": "FP32", "data": data.ravel().tolist()}
    answer = stack.call(
        "POST",
        f"/v2/models/{model}/infer",
        body=json.dumps({"inputs": [tensor]}).encode(),
        headers={"content-type": "application/json"},
        token=token,
    )
    assert answer.status == 200, answer.body
    return answer.headers["lastmile-prediction-id"]


def rows_counted(stack: Target, model: str) -> int:
    """Of version 1, by now."""
    now = time.time()
    found = ProfileStore(data_store(stack)).read(model, 1, now - 7200, now + 3600)
    return 0 if found is None else found.rows


def invoke(stack: Target, event: dict[str, Any]) -> dict[str, Any]:
    """The function that looks for drift."""
    answer = stack.client("lambda").invoke(
        FunctionName=f"lastmile-{stack.stage}-drift", Qualifier="live", Payload=json.dumps(event).encode()
    )
    returned: dict[str, Any] = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, returned
    return returned


def scheduled() -> dict[str, Any]:
    """A tick in an hour: the window ends with a whole hour, and the next one takes in what has just been sent."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    return {"detail-type": "Scheduled Event", "source": "aws.events", "time": moment, "detail": {}}


def until(happens: Any, what: str, *, seconds: float = SECONDS) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := happens()):
        assert time.monotonic() < deadline, f"{what} did not come within {seconds} s"
        time.sleep(0.5)
    return found
