"""How far a feature wanders by itself: seasons and weekdays are changes, but none that anybody wants to be told of.

Windows of the reference, as long as those that will be judged and each of consecutive rows, are compared with the
others. What the furthest of them reaches is no drift yet.
"""

from collections.abc import Mapping, Sequence
from functools import reduce

from lastmile.drift.report import Aspect
from lastmile.drift.verdict import compare
from lastmile.policies import Drift
from lastmile.profile import Profile

FEWEST_WINDOWS = 4
MARGIN = 1.25  # the next window may go a little further than the furthest of a few

type Variation = Mapping[tuple[str, Aspect], float]


def natural_variation(windows: Sequence[Profile]) -> Variation:
    """The tolerance that each feature needs; none from fewer than four windows."""
    found: dict[tuple[str, Aspect], float] = {}
    if len(windows) < FEWEST_WINDOWS:
        return found
    for index, window in enumerate(windows):
        others = reduce(Profile.merge, [other for place, other in enumerate(windows) if place != index])
        for row in compare(others, window, policy=Drift(tolerance=0.0)).rows:
            key = row.name, row.aspect
            found[key] = max(found.get(key, 0.0), MARGIN * (row.effect or 0.0))
    return found
