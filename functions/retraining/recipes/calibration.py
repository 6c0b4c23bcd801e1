"""From sums of trees, or of weights, to probabilities that come true as often as they say.

Fitted on rows that the model has not seen. A line before the sigmoid for two classes (Platt), which keeps the order of
the rows; one temperature before the softmax for more.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax, softmax

from functions.retraining.recipes.graph import Graph
from lastmile.tensors import Array

FLATTEST = 1e-3  # slope of a line that still tells rows apart


@dataclass(frozen=True)
class Calibration:
    """`offset` is one for all columns, or one of each."""

    slope: float = 1.0
    offset: tuple[float, ...] = (0.0,)

    @classmethod
    def of(cls, raw: Array, labels: Array, shares: Array | None = None) -> Self:
        """`raw` is [rows, 1] for two classes, else [rows, classes]. `shares` are those of the classes, where the model
        has learnt as if all were as frequent."""
        return cls._platt(raw[:, 0], labels) if raw.shape[1] == 1 else cls._temperature(raw, labels, shares)

    def probabilities(self, raw: Array) -> Array:
        scaled = self.slope * np.asarray(raw, float) + np.array(self.offset)
        if scaled.shape[1] > 1:
            return np.asarray(softmax(scaled, axis=1))
        positive = expit(scaled)
        return np.concatenate([1 - positive, positive], axis=1)

    def add(self, graph: Graph, raw: str, classes: int) -> None:
        """The output `probabilities`."""
        scaled = graph.add("Mul", raw, graph.constant(self.slope, np.float32))
        if any(self.offset):
            scaled = graph.add("Add", scaled, graph.constant(self.offset, np.float32))
        if classes > 2:
            graph.named("probabilities", "Softmax", scaled, axis=1)
            return
        positive = graph.add("Sigmoid", scaled)
        negative = graph.add("Sub", graph.constant(1.0, np.float32), positive)
        graph.named("probabilities", "Concat", negative, positive, axis=1)

    @classmethod
    def _platt(cls, raw: Array, labels: Array) -> Self:
        # Platt's targets: not quite 0 and 1, so that separable rows do not give an endless slope.
        positives = int(labels.sum())
        high, low = (positives + 1) / (positives + 2), 1 / (len(labels) - positives + 2)
        target = np.where(labels == 1, high, low)

        def loss(line: Array) -> tuple[float, Array]:
            scaled = line[0] * raw + line[1]
            wrong = expit(scaled) - target
            value = (np.logaddexp(0, scaled) - target * scaled).mean()
            return float(value), np.array([(wrong * raw).mean(), wrong.mean()])

        slope, offset = minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS").x.tolist()
        if slope < FLATTEST:  # they tell nothing, or the opposite: how frequent the class is remains
            share = float(target.mean())
            slope, offset = FLATTEST, np.log(share / (1 - share)) - FLATTEST * float(raw.mean())
        return cls(slope, (float(offset),))

    @classmethod
    def _temperature(cls, raw: Array, labels: Array, shares: Array | None) -> Self:
        # As in Platt's targets, nothing is quite certain.
        doubt = 1 / (len(labels) + 2)
        target = np.full(raw.shape, doubt / raw.shape[1])
        target[np.arange(len(labels)), labels] += 1 - doubt
        offset = np.zeros(1) if shares is None else np.log(shares)

        def loss(exponent: float) -> float:
            return float(-(target * log_softmax(np.exp(exponent) * raw + offset, axis=1)).sum(axis=1).mean())

        slope = float(np.exp(minimize_scalar(loss, bounds=(-5.0, 5.0), method="bounded").x))
        return cls(slope, tuple(offset.tolist()))
