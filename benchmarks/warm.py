"""Warm call: an API Gateway event in, the response out, in a process that has answered before."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from functools import partial
from typing import Any

import numpy as np

from benchmarks import boxes, events
from benchmarks.cold import RIVALS, naive_bundle
from benchmarks.environments import BENCH
from benchmarks.isolated import WORKERS, Isolated, Turns, built
from benchmarks.machine import versions
from benchmarks.measurement import alternate, figure, ratio
from benchmarks.model import Array, Trained, trained
from benchmarks.plot import Bar, bars
from benchmarks.progress import Tell, silence
from benchmarks.report import figures_table, number, ratios_table
from benchmarks.result import Ratio, Result, Target
from lastmile.capture import MAX_BYTES, PLAIN_ELEMENTS

TITLE = "Warm call"
ROWS_AS_JSON = (1, 64)
ROWS_AS_BINARY = (64, 512, 4096)
TURN_SECONDS = 0.004  # short turns, so that what disturbs one disturbs its neighbours too
MOST_CALLS = 100

CAPTURES = ("capture on", "capture off")
RIVAL = "FastAPI + Mangum"

type Samples = dict[str, list[float]]


def run(quick: bool, tell: Tell = silence) -> Result:
    model = trained()
    workers = {
        "warm_lastmile": Isolated((*built(), WORKERS), model.uri),
        "warm_rival": Isolated((RIVALS, naive_bundle(), WORKERS), model.uri),
    }
    samples = measure(workers, model, processes=3 if quick else 10, rounds=20 if quick else 50, tell=tell)
    return result(samples, versions("fastapi", "mangum"))


def measure(
    workers: Mapping[str, Isolated], model: Trained, *, processes: int, rounds: int, tell: Tell = silence
) -> Samples:
    """Seconds per call of every contender of these workers, which are started anew so many times."""
    asked = _events(model)
    file = BENCH / "warm-events.json"
    file.write_text(json.dumps(asked))
    samples: Samples = {}
    for process in range(1, processes + 1):
        if process > 1 and boxes.is_over():
            break
        with ExitStack() as stack:
            turns = [
                stack.enter_context(closing(Turns(isolated, name, str(file), str(model.path))))
                for name, isolated in workers.items()
            ]
            _check({key: answer for worker in turns for key, answer in worker.said.items()}, model)
            contenders = {name: call for worker in turns for name, call in _contenders(worker)}
            found = alternate(contenders, rounds=rounds, tell=partial(_tell, tell, f"process {process}"))
        for name, seconds in found.items():
            samples.setdefault(name, []).extend(seconds)
    return samples


def result(samples: Samples, versions: Mapping[str, str]) -> Result:
    ratios = dict(_ratios(samples))
    return Result(
        figures={name: figure([second * 1e6 for second in seconds], "µs") for name, seconds in samples.items()},
        ratios=ratios,
        targets={name: target for name in ratios if (target := _target(name)) is not None},
        versions=versions,
    )


def describe(document: dict[str, Any]) -> str:
    figures = document["figures"]
    shown = [
        Bar(way, figures[f"{_as_json(1)}: {way}"], is_ours=way.startswith("capture"))
        for way in (
            "by hand, orjson",
            "by hand",
            "capture off",
            "capture on",
            "FastAPI + Mangum, async",
            "FastAPI + Mangum",
        )
    ]
    return "\n".join(
        (
            "An API Gateway event (payload format 2.0) in, the response out, through the Lambda door of the built "
            "function; with capture on, its log line is written to `/dev/null`. By hand is `json.loads`, "
            "`numpy.array`, `session.run`, `json.dumps` and nothing else: no routing, no checks, no version, no "
            "prediction id, no capture. The targets are against the standard library's json, as anybody would write "
            "it; the same with orjson is beside it. `session.run` is what the binary forms are compared with, though "
            "it gets its rows as an array and ours gets them in base64. Every process first checks that all answers "
            "are those of `InferenceSession.run` and that the fast path's bytes are those of the FastAPI app.\n",
            bars("warm", "Microseconds per call, 30 floats", shown),
            ratios_table(document),
            _gaps(document),
            figures_table(document),
        )
    )


def _gaps(document: dict[str, Any]) -> str:
    """What keeps contenders from their target, where something does."""
    targets = document["targets"]
    missed = [name for name, target in targets.items() if not target["reached"]]
    if not missed:
        return ""
    median = {name: row["median"] for name, row in document["figures"].items()}
    parts = [f"**What is not reached, and why.** {'; '.join(missed)}.\n"]
    if any(name.startswith(_as_json(1)) for name in missed):
        hand, off, on = (median[f"{_as_json(1)}: {way}"] for way in ("by hand", *reversed(CAPTURES)))
        parts.append(
            f"One row as JSON: {number(hand)} µs by hand, {number(off)} without capture, {number(on)} with it. Taking "
            "one part of capture out at a time, in turns of 20 calls, showed of 6 µs: 4.4 to make the line (its "
            "constant beginning is kept per version, all arrays of one row are written by one call of orjson), "
            "0.9 to read the trace of the call (1.5 through `os.environ`), 0.7 to write. The rest of what is "
            "not done by hand: route, release, checks of types and shapes, the prediction's id, the headers that say "
            "which version answered. How much all of it weighs depends on the machine's state: the same code took 23.1 "
            "µs without capture against 20.1 by hand (1.15) on one day's morning, and 59 against 40 (1.54) in its "
            "afternoon, when every interpreted loop ran at half its speed and `session.run` at two thirds.\n"
        )
    if any("binary" in name for name in missed):
        few = ROWS_AS_BINARY[0]
        alone, off, on = (median[f"{_as_binary(few)}: {way}"] for way in ("session.run", *reversed(CAPTURES)))
        parts.append(
            f"{few} rows in binary form: `session.run` takes {number(alone)} µs, so 1.2 times leaves "
            f"{number(0.2 * alone)} µs for everything else, which takes {number(off - alone)} without capture and "
            f"{number(on - alone)} with it, the same for any number of rows. Before headers were remembered it was 25 "
            "without: 8 to read and check the header, 4 to make the answer's, 3 to check the arrays, 2 in "
            "`InferenceSession.run` before it calls the runtime; none of these is left. What is left: reading the "
            "event and base64 both ways 3, the prediction's id 1, resolving and calling 3, the answer 2, and "
            "`session.run` itself, whose code and trees other code has driven out of the caches. Capture packs more "
            f"than {PLAIN_ELEMENTS} numbers as base64 (written out, each takes 25 ns) and puts the line together at "
            "once: 6 µs in a loop of its own, 8 in its place (10 before large parts were copied only once). "
            f"A line ends at {MAX_BYTES // 1000} kB.\n"
        )
    return "\n".join(parts)


def _tell(tell: Tell, process: str, text: str) -> None:
    tell(f"{process}, {text}")


def _contenders(worker: Turns) -> Iterator[tuple[str, Callable[[], float]]]:
    for name in worker.contenders:
        worker.measure(name, 5)
        calls = int(TURN_SECONDS / worker.measure(name, 5))
        yield name, partial(worker.measure, name, min(MOST_CALLS, max(3, calls)))


def _check(said: Mapping[str, events.Event], model: Trained) -> None:
    """Every contender says what the model says, and the door's bytes are those of the app."""
    for name, answer in said.items():
        key, _, way = name.partition(": ")
        wanted = model.answers(_rows(model, int(key.split()[0])))[1]
        if way.startswith(RIVAL):
            # Its session has the default threads, among which the trees of many rows are added up in another order.
            np.testing.assert_allclose(events.probabilities(answer), wanted, rtol=0, atol=1e-6)
        else:
            np.testing.assert_array_equal(events.probabilities(answer), wanted)
        if way in CAPTURES:
            plain = said[f"{key}: plain path"]
            assert (answer["body"], answer["statusCode"]) == (plain["body"], plain["statusCode"]), name


def _events(model: Trained) -> dict[str, events.Event]:
    return {
        **{_as_json(count): events.as_json(_rows(model, count)) for count in ROWS_AS_JSON},
        **{_as_binary(count): events.as_binary(_rows(model, count)) for count in ROWS_AS_BINARY},
    }


def _rows(model: Trained, count: int) -> Array:
    return np.resize(model.rows, (count, model.rows.shape[1]))


def _as_json(count: int) -> str:
    return f"{count} row{'s' * (count > 1)}, JSON"


def _as_binary(count: int) -> str:
    return f"{count} rows, binary"


def _ratios(samples: Samples) -> Iterator[tuple[str, Ratio]]:
    for ours, other in _pairs():
        if other not in samples:
            continue
        name = f"{ours} / {other.partition(': ')[2]}"
        if RIVAL in other:
            name = f"{other} / {ours.partition(': ')[2]}"
            yield name, ratio(samples[other], samples[ours], better="higher")
        else:
            yield name, ratio(samples[ours], samples[other])


def _pairs() -> Iterator[tuple[str, str]]:
    for key in map(_as_json, ROWS_AS_JSON):
        for way in CAPTURES:
            yield f"{key}: {way}", f"{key}: by hand"
            yield f"{key}: {way}", f"{key}: by hand, orjson"
        yield f"{key}: {CAPTURES[0]}", f"{key}: {RIVAL}, async"
        yield f"{key}: {CAPTURES[0]}", f"{key}: {RIVAL}"
    for key in map(_as_binary, ROWS_AS_BINARY):
        for way in CAPTURES:
            yield f"{key}: {way}", f"{key}: session.run"


def _target(name: str) -> Target | None:
    if name.endswith("/ by hand"):
        return Target(at_most=1.5)
    return Target(at_most=1.2) if name.endswith("/ session.run") else None
