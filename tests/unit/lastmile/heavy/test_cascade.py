"""Which side answers which rows."""

from typing import Any

import numpy as np
import pytest

from lastmile.heavy.cascade import Policy, Tiers


class Asked:
    """A side that answers whatever it is asked, and a heavy one that has no limit of rows."""

    def __init__(self) -> None:
        self.requests = 0

    def run(self, outputs: Any, feeds: Any, **_: Any) -> list[Any]:
        self.requests += 1
        return [next(iter(feeds.values()))]

    def check_size(self, feeds: Any) -> None:
        pass


def tier(array: Any, realtime_bytes: int) -> tuple[str, str | None]:
    heavy: Any = Asked()
    policy = Policy("always", 0.5, "degraded", realtime_bytes)
    _, tier = Tiers(Asked(), heavy, policy, can_wait=False).answer(["x"], {"x": array})
    assert heavy.requests == (tier.degraded is None)
    return tier.name, tier.degraded


@pytest.mark.parametrize(
    ("array", "size"),
    [
        (np.array(["x" * 996], object), 1000),  # four bytes say how long a text is
        (np.array(["é" * 498], object), 1000),
        (np.array(["x" * 496] * 2, object), 1000),
        (np.zeros((25, 10), np.float32), 1000),
    ],
    ids=["text", "not ASCII", "texts", "numbers"],
)
def test_what_is_large_is_what_would_be_sent(array: Any, size: int) -> None:
    assert tier(array, size) == ("heavy", None)
    assert tier(array, size - 1) == ("light", "large")
