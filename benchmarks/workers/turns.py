"""The loop of a worker that stays: each line on standard input names a contender and a number of calls."""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from statistics import median

type Contenders = Mapping[str, Callable[[], object]]


def serve(contenders: Contenders, first_answers: Callable[[], object]) -> None:
    """Says who can be asked for and the first answers, then the median seconds of each turn.

    What contenders print goes nowhere.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    print(json.dumps({"contenders": list(contenders), "said": first_answers()}), file=answers, flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        print(_median(contenders[question["contender"]], question["calls"]), file=answers, flush=True)


def _median(call: Callable[[], object], calls: int) -> float:
    clock = time.perf_counter_ns
    durations = []
    for _ in range(calls):
        started = clock()
        call()
        durations.append(clock() - started)
    return median(durations) / 1e9
