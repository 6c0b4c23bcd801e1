"""How long a section may take: `make bench` ends within half an hour, and `make bench QUICK=1` within three minutes.

The sections that it leaves out, those of `make bench ALL=1`, take as long again.
"""

import time

QUICK_SECONDS, FULL_SECONDS = 180, 1800
# Where the time goes, quick and full; a section that is not named gets the last.
SECONDS = {
    "cold": (18, 200),
    "warm": (22, 300),
    "server": (45, 450),
    "sizes": (5, 20),
    "loading": (15, 200),
    "threads": (15, 250),
    "growth": (5, 10),
    "batch": (20, 120),
    "captures": (60, 400),
    "calibration": (20, 900),
    "chat": (5, 60),
}
OTHERS = (10, 60)
LEAST_ROUNDS = 3  # are measured even when the time is over

_ends = float("inf")


def begin(section: str, *, quick: bool) -> None:
    """From now on it is that section's time."""
    global _ends
    seconds = SECONDS.get(section, OTHERS)[0 if quick else 1]
    _ends = time.monotonic() + seconds


def end() -> None:
    global _ends
    _ends = float("inf")


def is_over() -> bool:
    """Whether the section that is being measured has used its time."""
    return time.monotonic() > _ends
