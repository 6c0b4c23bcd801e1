"""Is the canary worse than the champion? A sequential test, valid however often one looks.

Every signal is the same question about two counts: is the canary's share of bad cases above the champion's by more
than a margin? The answer is an e-process: the likelihood of what was seen, averaged over all pairs of shares
(Jeffreys' prior on each), divided by the largest likelihood of any pair without that excess. For the true pair the
denominator is at least its likelihood, so the quotient is below a test martingale, and by Ville's inequality it ever
reaches 1/alpha with a probability of at most alpha. A weighted mean of e-processes is one again, which makes one
verdict of all signals. L. Wasserman, A. Ramdas, S. Balakrishnan, Universal inference, PNAS 117 (2020), section 8;
A. Ramdas, P. Grünwald, V. Vovk, G. Shafer, Game-theoretic statistics and safe anytime-valid inference,
Statistical Science 38 (2023).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

BISECTIONS = 60


class Count(NamedTuple):
    """`bad` of `of` cases."""

    bad: int
    of: int

    @property
    def share(self) -> float:
        return self.bad / self.of if self.of else 0.0


@dataclass(frozen=True, slots=True)
class Signal:
    """Two counts, and by how much the canary's share may be above the champion's. Weights of all sum to at most 1."""

    name: str
    champion: Count
    canary: Count
    margin: float
    weight: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """`evidence` is against "not worse", 1 for none; the canary is worse when it reaches `needed`. `why` names the
    signal with the largest part in it."""

    worse: bool
    evidence: float
    needed: float
    why: str


def verdict(signals: Iterable[Signal], *, false_alarm: float) -> Verdict:
    """`false_alarm` bounds the probability that a canary within all margins is ever called worse."""
    weighed = [(math.log(one.weight) + log_evidence(one.champion, one.canary, one.margin), one) for one in signals]
    needed = 1 / false_alarm
    if not weighed:
        return Verdict(False, 1.0, needed, "nothing was counted")
    largest, signal = max(weighed, key=lambda pair: pair[0])
    total = largest + math.log(sum(math.exp(part - largest) for part, _ in weighed))
    return Verdict(total >= math.log(needed), math.exp(min(total, 700.0)), needed, described(signal))


def described(signal: Signal) -> str:
    """`errors: 7 % of 300 against 1 % of 5,000`."""
    mine, its = signal.canary, signal.champion
    return f"{signal.name}: {mine.share:.2%} of {mine.of:,} against {its.share:.2%} of {its.of:,}"


def log_evidence(champion: Count, canary: Count, margin: float) -> float:
    """The logarithm of the e-process against: the canary's share is at most the champion's plus `margin`."""
    averaged = _log_averaged(champion) + _log_averaged(canary)
    return averaged - _log_largest(champion, canary, margin)


def _log_averaged(count: Count) -> float:
    """The likelihood of a sequence with these counts, averaged over a Beta(1/2, 1/2) prior on the share."""
    good = count.of - count.bad
    return _log_beta(count.bad + 0.5, good + 0.5) - _log_beta(0.5, 0.5)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _log_largest(champion: Count, canary: Count, margin: float) -> float:
    """The largest likelihood of two shares of which the second exceeds the first by at most `margin`."""
    if canary.share <= champion.share + margin:
        return _log_likelihood(champion, champion.share) + _log_likelihood(canary, canary.share)
    low, high = 0.0, 1.0 - margin  # the best pair lies on the border, where the likelihood has one peak
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if _slope(champion, middle) + _slope(canary, middle + margin) > 0:
            low = middle
        else:
            high = middle
    share = (low + high) / 2
    return _log_likelihood(champion, share) + _log_likelihood(canary, share + margin)


def _log_likelihood(count: Count, share: float) -> float:
    good = count.of - count.bad
    return (count.bad * math.log(share) if count.bad else 0.0) + (good * math.log1p(-share) if good else 0.0)


def _slope(count: Count, share: float) -> float:
    good = count.of - count.bad
    rising = count.bad / share if count.bad else 0.0
    return rising - (good / (1 - share) if good else 0.0)
