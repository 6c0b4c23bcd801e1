"""Signatures and answers of the models that the policies decide about."""

from typing import Any

import numpy as np

from lastmile.decision import policy_of, prepare
from lastmile.decision.policy import Decided
from lastmile.tensors import Array, Signature, TensorSpec

PAYMENTS = Signature(
    (
        TensorSpec("numbers", "FP32", (-1, 2), columns=("hour", "amount"), nullable=True),
        TensorSpec("category", "BYTES", (-1,)),
    ),
    (
        TensorSpec("label", "INT64", (-1,)),
        TensorSpec("probabilities", "FP32", (-1, 2), columns=("0", "1")),
    ),
)
MESSAGES = Signature(
    (TensorSpec("text", "BYTES", (-1,)),),
    (
        TensorSpec("label", "BYTES", (-1,)),
        TensorSpec("probabilities", "FP32", (-1, 3), columns=("account", "billing", "returns")),
    ),
)
PRODUCTS = Signature(
    (TensorSpec("user", "BYTES", (-1,)),),
    (TensorSpec("items", "BYTES", (-1, 4)), TensorSpec("scores", "FP32", (-1, 4))),
)
SALES = Signature(
    (TensorSpec("lags", "FP32", (-1, 7)),),
    (TensorSpec("quantiles", "FP32", (-1, 5), columns=("0.1", "0.25", "0.5", "0.75", "0.9")),),
)
REGRESSION = Signature((TensorSpec("x", "FP32", (-1, 1)),), (TensorSpec("value", "FP32", (-1,)),))


def texts(*values: str) -> Array:
    return np.array(values, dtype=object)


def payments(*amounts: float) -> dict[str, Array]:
    numbers = np.array([[12.0, amount] for amount in amounts], np.float32)
    return {"numbers": numbers, "category": texts(*["food"] * len(amounts))}


def shares(*probabilities: float) -> dict[str, Array]:
    """Answers of a classifier with two classes, by the probability of the second."""
    second = np.array(probabilities, np.float64)
    return {"label": (second >= 0.5).astype(np.int64), "probabilities": np.stack([1 - second, second], axis=1)}


def decided(
    kind: str, options: Any, signature: Signature, feeds: Any, outputs: Any, context: Any = ()
) -> list[Decided]:
    return prepare(policy_of(kind, options, signature), feeds, context)(outputs)
