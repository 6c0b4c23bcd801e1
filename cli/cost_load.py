"""How requests are spread over a week, and what waiting in line does to them."""

import math
from collections import Counter
from collections.abc import Callable, Mapping

HOURS_PER_MONTH = 730.0  # as AWS's own calculator has it
WEEK = 168
IDLE_SECONDS = 300.0  # an environment that nobody calls is kept for about so long (AWS promises nothing)
RECYCLED_SECONDS = 7200.0  # and one that is called, for so long
CERTAIN = 0.999  # share of moments for which there shall be room

type Hours = Mapping[float, float]  # requests per second -> hours of a month


def _day(hour: int) -> float:
    """Ten times as many in the afternoon as at night."""
    return 1.0 + 0.82 * math.cos(2 * math.pi * (hour % 24 - 15) / 24)


def _flat(hour: int) -> float:
    return 1.0


def _weekly(hour: int) -> float:
    """Weekends are quiet."""
    return _day(hour) * (1.0 if hour < 120 else 0.35)


def _bursty(hour: int) -> float:
    """Nine tenths of the requests come in one hour of ten."""
    return 9.1 if hour % 10 == 0 else 0.1


PROFILES: Mapping[str, Callable[[int], float]] = {"flat": _flat, "diurnal": _day, "weekly": _weekly, "bursty": _bursty}


def spread(profile: str, rps: float) -> Hours:
    """`rps` on average, as this profile has it."""
    weights = [PROFILES[profile](hour) for hour in range(WEEK)]
    scale = rps * WEEK / sum(weights)
    counted = Counter(round(weight * scale, 12) for weight in weights)
    return {rate: count * HOURS_PER_MONTH / WEEK for rate, count in counted.items()}


def requests(hours: Hours) -> float:
    """In a month."""
    return sum(rate * 3600 * count for rate, count in hours.items())


def room(busy: float) -> int:
    """How many at once suffice in 999 of 1,000 moments, if `busy` are on average: a quantile of Poisson."""
    if busy > 200:
        return math.ceil(busy + 3.1 * math.sqrt(busy) + 1)
    term = total = math.exp(-busy)
    count = 0
    while total < CERTAIN:
        count += 1
        term *= busy / count
        total += term
    return max(1, count)


def cold_share(rate: float, seconds: float) -> float:
    """Of the requests: those after a pause, and those whose environment was recycled meanwhile."""
    if rate <= 0:
        return 0.0
    return min(1.0, math.exp(-rate * IDLE_SECONDS) + room(rate * seconds) / (rate * RECYCLED_SECONDS))


def waiting(rate: float, seconds: float, servers: int, share: float) -> float:
    """The wait in seconds that `share` of the requests stay within: Erlang's C, with exponential service times."""
    load = rate * seconds
    if load >= servers:
        return math.inf
    if servers > 100 and servers - load > 5 * math.sqrt(load):
        return 0.0  # fewer than one in 100,000 have to wait
    blocked = 1.0  # Erlang's B, by its recursion
    for server in range(1, servers + 1):
        blocked = load * blocked / (server + load * blocked)
    queued = blocked / (1 - load / servers * (1 - blocked))
    if queued <= 1 - share:
        return 0.0
    return math.log(queued / (1 - share)) / (servers / seconds - rate)
