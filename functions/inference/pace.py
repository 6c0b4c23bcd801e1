"""Which predictions are so short that handing them to a thread would cost more than it frees."""

SLOW_MILLISECONDS = 5.0
WEIGHT = 0.2  # of the newest measurement: a slow model is found out at once, one hiccup is forgotten
LARGE_BODY_BYTES = 128 << 10  # reading so much JSON takes milliseconds, whatever the model does
MAX_KEYS = 4096


class Pace:
    """A smoothed duration per key. A key is quick once it has been measured as quick; what is new may have to load."""

    def __init__(self) -> None:
        self._milliseconds: dict[str, float] = {}

    def is_quick(self, key: str, body_bytes: int) -> bool:
        return body_bytes < LARGE_BODY_BYTES and self._milliseconds.get(key, SLOW_MILLISECONDS) < SLOW_MILLISECONDS

    def record(self, key: str, milliseconds: float) -> None:
        known = self._milliseconds.get(key)
        if known is not None:
            milliseconds = known + WEIGHT * (milliseconds - known)
        elif len(self._milliseconds) >= MAX_KEYS:
            self._milliseconds.clear()  # keys come from clients: start afresh rather than grow
        self._milliseconds[key] = milliseconds
