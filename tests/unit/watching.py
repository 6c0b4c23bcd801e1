"""Traffic of a small model, as it lies in the data store when capture has done its work."""

import gzip
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import numpy as np

from lastmile.capture import Capture, Recording
from lastmile.labelled import hour_folder
from lastmile.manifest import Artefact, Manifest
from lastmile.spec import ModelSpec
from lastmile.store import Store
from lastmile.tensors import Array, Signature, TensorSpec
from lastmile.ulid import new_ulid

NOW = datetime(2026, 3, 14, 15, 0, tzinfo=UTC).timestamp()
HOUR = 3600.0
DAY = 24 * HOUR
AMOUNT = TensorSpec("amount", "FP32", (-1,), nullable=True)
COUNTRY = TensorSpec("country", "BYTES", (-1,))
LABEL = TensorSpec("label", "INT64", (-1,))
PROBABILITIES = TensorSpec("probabilities", "FP32", (-1, 2), ("0", "1"))


def spec(**sections: Any) -> ModelSpec:
    given: dict[str, Any] = {
        "name": "fraud",
        "task": "classification",
        "description": "Is it a fraud?",
        "inputs": (AMOUNT, COUNTRY),
        "outputs": (LABEL, PROBABILITIES),
    }
    return ModelSpec(**(given | sections))


def manifest(of: ModelSpec, version: int = 1) -> Manifest:
    return Manifest(
        model=of.name,
        version=version,
        created_at="2026-03-01T00:00:00.000Z",
        artefact=Artefact("model.onnx", "0" * 64, 1),
        signature=Signature(of.inputs, of.outputs),
        metrics={},
        lineage={},
        compression={},
        policy=of.policy(),
    )


def answer(amounts: Array) -> dict[str, Array]:
    """The model: the larger the amount, the likelier a fraud; amounts are about 0 to 10."""
    sure = np.clip(np.nan_to_num(amounts) / 10, 0, 1).astype(np.float32)
    return {"label": (sure > 0.5).astype(np.int64), "probabilities": np.stack([1 - sure, sure], axis=1)}


def predicted(
    amounts: Array, countries: Iterable[str], *, at: float, version: int = 1, role: str = "champion", **details: Any
) -> tuple[str, bytes]:
    """One request: its prediction id and its line."""
    of = details.pop("of", spec())
    written: list[bytes] = []
    prediction_id = details.pop("prediction_id", None) or new_ulid(at)
    column = np.asarray(amounts, np.float32)
    Capture(write=written.append)(
        prediction_id=prediction_id,
        at=at,
        role=role,
        milliseconds=1.0,
        recording=Recording.of(manifest(of, version)),
        inputs={"amount": column, "country": np.array(list(countries), object)},
        outputs=details.pop("outputs", answer(column)),
        **details,
    )
    return prediction_id, written[0]


def store_captures(store: Store, lines: Iterable[bytes], *, at: float, batch: str = "a", model: str = "fraud") -> str:
    path = f"{hour_folder(model, at)}/{batch}.jsonl.gz"
    store.put(path, gzip.compress(b"".join(lines), mtime=0))
    return path
