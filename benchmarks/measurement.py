"""Measuring contenders beside each other on a machine that is not quiet: in turns, by medians, and as ratios."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from benchmarks import boxes
from benchmarks.progress import Tell, silence
from benchmarks.result import Better, Figure, Ratio

RESAMPLES = 2000
SEED = 0


def alternate(
    contenders: Mapping[str, Callable[[], float]], *, rounds: int, tell: Tell = silence
) -> dict[str, list[float]]:
    """One measurement of each contender per round, each round beginning with another one; fewer rounds when the
    section's time is over.

    Sample i of every contender is from the same round, so that whatever else the machine did hit them alike.
    """
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(rounds):
        if number >= boxes.LEAST_ROUNDS and boxes.is_over():
            break
        first = number % len(names)
        for name in names[first:] + names[:first]:
            tell(f"round {number + 1} of {rounds}: {name}")
            samples[name].append(contenders[name]())
    return samples


def figure(samples: Sequence[float], unit: str) -> Figure:
    low, median, high = np.percentile(samples, [25, 50, 75]).tolist()
    return Figure(median, low, high, unit, len(samples))


def ratio(ours: Sequence[float], others: Sequence[float], *, better: Better = "lower") -> Ratio:
    """The median of the rounds' ratios, with its bootstrapped 95 % interval (percentile method)."""
    rounds = np.asarray(ours, dtype=float) / np.asarray(others, dtype=float)
    drawn = np.random.default_rng(SEED).choice(rounds, (RESAMPLES, len(rounds)))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5]).tolist()
    return Ratio(float(np.median(rounds)), low, high, better)
