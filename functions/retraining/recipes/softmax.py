"""A linear model with a softmax over many sparse columns (multinomial logistic regression), by L-BFGS."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from lastmile.tensors import Array

MEMORY = 5  # earlier gradients that L-BFGS looks at


class Linear(NamedTuple):
    """float32 [columns, classes] and [classes]."""

    weights: Array
    offset: Array

    def scores(self, rows: csr_matrix) -> Array:
        return np.asarray(rows @ self.weights.astype(float) + self.offset)


def fit(
    rows: csr_matrix, labels: Array, classes: int, *, strength: float, steps: int, start: Linear | None = None
) -> Linear:
    """Least log loss plus the squared weights / (2 `strength`)."""
    shape = (rows.shape[1] + 1, classes)
    turned = rows.T.tocsr()
    wanted = np.zeros((len(labels), classes), np.float32)
    wanted[np.arange(len(labels)), labels] = 1

    def loss(flat: Array) -> tuple[float, Array]:
        both = flat.astype(np.float32).reshape(shape)
        scores = rows @ both[:-1] + both[-1]
        scores -= scores.max(axis=1, keepdims=True)
        shares = np.exp(scores)
        total = shares.sum(axis=1, keepdims=True)
        value = np.log(total).sum() - (scores * wanted).sum() + (both[:-1] ** 2).sum() / (2 * strength)
        wrong = shares / total - wanted
        gradient = np.empty(shape, np.float32)
        gradient[:-1] = turned @ wrong + both[:-1] / np.float32(strength)
        gradient[-1] = wrong.sum(axis=0)
        return float(value), gradient.astype(float).reshape(-1)

    first = np.zeros(shape) if start is None else np.vstack([start.weights, start.offset]).astype(float)
    with threadpool_limits(1):
        found = minimize(
            loss, first.reshape(-1), jac=True, method="L-BFGS-B", options={"maxiter": steps, "maxcor": MEMORY}
        )
    both = found.x.astype(np.float32).reshape(shape)
    return Linear(both[:-1], both[-1])
