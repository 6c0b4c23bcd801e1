"""Counts of numbers in bins of equal width."""

import math

import numpy as np

from lastmile.tensors import Array


def counted(values: Array, low: float, high: float, bins: int) -> tuple[int, ...]:
    """How many of the values between the bounds are in each bin. The bounds may be neighbours, or as far from each
    other as numbers can be, where numpy's histogram refuses."""
    inside = values[(values >= low) & (values <= high)]
    scale = 1.0 if math.isfinite(high - low) else 0.5
    parts = (inside * scale - low * scale) / (high * scale - low * scale)
    return tuple(np.bincount(np.minimum((parts * bins).astype(int), bins - 1), minlength=bins).tolist())
