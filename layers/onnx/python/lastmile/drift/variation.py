"""How far a feature wanders by itself: seasons and weekdays are changes, but none that anybody wants to be told of.

Windows of the reference, as long as those that will be judged and each of consecutive rows, are compared with the
others. What the furthest of them reaches is no drift yet.
"""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from lastmile.drift.joint import Rows, joint
from lastmile.drift.report import Aspect, Row
from lastmile.drift.verdict import compare
from lastmile.policies import Drift
from lastmile.profile import Profile

FEWEST_WINDOWS = 4
MARGIN = 1.25  # the next window may go a little further than the furthest of a few
NO_TOLERANCE = Drift(tolerance=0.0)

type Variation = dict[tuple[str, Aspect], float]


def natural_variation(windows: Sequence[Profile], rows: Sequence[Rows] = ()) -> Variation:
    """The tolerance that each feature needs; none from fewer than four windows.

    `rows` of the same windows give the one that `joint` needs.
    """
    found: Variation = {}
    if len(windows) < FEWEST_WINDOWS:
        return found
    before = [None, *accumulate(windows, Profile.merge)]
    after = [None, *accumulate(reversed(windows), Profile.merge)]
    for place, window in enumerate(windows):
        one, other = before[place], after[len(windows) - 1 - place]
        others = one.merge(other) if one and other else one or other
        assert others is not None
        for row in compare(others, window, policy=NO_TOLERANCE).rows:
            _widen(found, row)
    for place, some in enumerate(rows):
        others_rows = [one for index, one in enumerate(rows) if index != place]
        merged = {name: np.concatenate([one[name] for one in others_rows]) for name in some}
        _widen(found, joint(merged, some, policy=NO_TOLERANCE))
    return found


def _widen(found: Variation, row: Row) -> None:
    key = row.name, row.aspect
    found[key] = max(found.get(key, 0.0), MARGIN * (row.effect or 0.0))
