"""Tails of distributions, without scipy."""

import math

import numpy as np

from lastmile.tensors import Array

TERMS = 500
PRECISION = 1e-15
WINDOW = 40  # standard deviations beyond which a hypergeometric probability is none that a float can hold


def normal_tail(z: float) -> float:
    """P(Z ≥ z)."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def chi_square_tail(value: float, freedom: float) -> float:
    """P(X ≥ value), the regularised upper incomplete gamma function Q(freedom / 2, value / 2).

    Its series (DLMF 8.11.4) where the value is small, else its continued fraction (DLMF 8.9.2) by Lentz's method.
    """
    a, x = freedom / 2, value / 2
    if x <= 0 or freedom <= 0:
        return 1.0
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        return max(0.0, 1 - front * _series(a, x))
    return front * _continued_fraction(a, x)


def _series(a: float, x: float) -> float:
    term = total = 1 / a
    for n in range(1, TERMS + int(10 * math.sqrt(a))):
        term *= x / (a + n)
        total += term
        if term < total * PRECISION:
            break
    return total


def _continued_fraction(a: float, x: float) -> float:
    b = x + 1 - a
    c, d = 1e300, 1 / b
    fraction = d
    for n in range(1, TERMS + int(10 * math.sqrt(a))):
        factor = -n * (n - a)
        b += 2
        d = 1 / (factor * d + b or 1e-300)
        c = b + factor / c or 1e-300
        fraction *= c * d
        if abs(c * d - 1) < PRECISION:
            break
    return fraction


def kolmogorov_tail(t: float) -> float:
    """P(K ≥ t) of the supremum of a Brownian bridge: Kolmogorov 1933, and his series for small t."""
    if t <= 0:
        return 1.0
    if t < 1:
        total = sum(math.exp(-((2 * k - 1) ** 2) * math.pi**2 / (8 * t * t)) for k in range(1, 8))
        return min(1.0, max(0.0, 1 - math.sqrt(2 * math.pi) / t * total))
    return min(1.0, 2 * sum((1 if k % 2 else -1) * math.exp(-2 * (k * t) ** 2) for k in range(1, 8)))


def mixture_tail(value: float, weights: Array) -> float:
    """P(Σ wᵢ Zᵢ² ≥ value) by the saddlepoint approximation (Kuonen 1999, Lugannani and Rice 1980).

    Its error is relative, a few per cent however far out.
    """
    largest = float(weights.max(initial=0.0))
    if value <= 0 or largest <= 0:
        return 1.0 if value <= 0 else 0.0
    scaled = weights[weights > largest * 1e-9] / largest
    target = value / largest
    if abs(target / float(scaled.sum()) - 1) < 1e-3:  # the formula has a removable singularity at the mean
        sides = [_lugannani_rice(float(scaled.sum()) * factor, scaled) for factor in (0.998, 1.002)]
        return float(sum(sides) / 2)
    return _lugannani_rice(target, scaled)


def _lugannani_rice(target: float, weights: Array) -> float:
    t = _saddlepoint(target, weights)
    rest = 1 - 2 * weights * t
    cumulant = -0.5 * float(np.log(rest).sum())
    curvature = 2 * float(((weights / rest) ** 2).sum())
    w = math.copysign(math.sqrt(max(0.0, 2 * (t * target - cumulant))), t)
    v = t * math.sqrt(curvature)
    if w == 0 or v == 0:
        return 0.5
    density = math.exp(-w * w / 2) / math.sqrt(2 * math.pi)
    return min(1.0, max(0.0, normal_tail(w) + density * (1 / v - 1 / w)))


def _saddlepoint(target: float, weights: Array) -> float:
    """Where the derivative of the cumulant function, Σ w / (1 - 2 w t), is the target. The largest weight is 1."""
    low, high = -len(weights) / (2 * target), 0.5 * (1 - 1 / target)
    t = min(max(0.0, low), high)
    for _ in range(60):
        inverse = weights / (1 - 2 * weights * t)
        miss = float(inverse.sum()) - target
        if abs(miss) < 1e-9 * target or high - low < 1e-15:
            break
        low, high = (t, high) if miss < 0 else (low, t)
        t -= miss / (2 * float((inverse * inverse).sum()))
        if not low < t < high:
            t = (low + high) / 2
    return t


def exact_tail(white: int, black: int, drawn: int, found: int) -> float:
    """Fisher's two-sided exact p: of all `drawn` from the urn, how likely are numbers of whites as unlikely as `found`.

    Probabilities come from the ratio of neighbours, starting at the mode, so that nothing overflows.
    """
    total = white + black
    lowest, highest = max(0, drawn - black), min(white, drawn)
    if lowest == highest:
        return 1.0
    deviation = math.sqrt(drawn * (white / total) * (black / total) * ((total - drawn) / max(1, total - 1)))
    mode = int((drawn + 1) * (white + 1) / (total + 2))
    reach = int(WINDOW * deviation) + 50
    lowest, highest = max(lowest, mode - reach), min(highest, mode + reach)
    if not lowest <= found <= highest:
        return 0.0
    x = np.arange(lowest, highest, dtype=np.float64)
    steps = np.log(white - x) + np.log(drawn - x) - np.log(x + 1) - np.log(black - drawn + x + 1)
    logs = np.concatenate([[0.0], np.cumsum(steps)])
    logs -= logs.max()
    weights = np.exp(logs)
    as_unlikely = logs <= logs[found - lowest] + 1e-7
    return min(1.0, float(weights[as_unlikely].sum() / weights.sum()))
