"""Every prediction of a deployed API captured and counted once, while capture functions are killed and deliveries fail,
come twice and come in other cuts; and what capturing adds to a request."""

import gzip
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event as Signal
from threading import Timer
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from benchmarks import boxes
from benchmarks.delivering import Event, Log, kill_some, prediction
from benchmarks.deployed import OFF, Api, bodies, copies, deployed
from benchmarks.machine import versions
from benchmarks.measurement import figure, ratio
from benchmarks.progress import Tell, silence
from benchmarks.report import figures_table, targets_table
from benchmarks.result import Figure, Ratio, Result, Target
from cli.target import Target as Stack
from cli.watching import data_store
from lastmile.capture import read_line
from lastmile.profiles import ProfileStore

TITLE = "Captures"
MODEL = "digits"
CONNECTIONS = 8
PREDICTIONS = {True: 1_000, False: 10_000}  # quick, full
HEARD = 0.02  # share that the local log delivers itself, one by one
PROCESSES = 8  # whose streams the others are taken to be of
ATTEMPTS, PERSISTENT = 3, 20  # of Lambda, and of whoever delivers again what was put aside
CUTS = (5, 400)  # events of one delivery
KILL_SECONDS, LOOK_SECONDS, LATE_SECONDS = 5.0, 3.0, 60.0
BEHIND_SECONDS = 30.0  # how late a line may be in the log
KILLED, MOMENT_SECONDS = 0.15, 0.1  # share of deliveries during which processes are killed, and within what time
PAIRS = 20  # requests with and without capture of one connection in a round
ROUNDS = {True: 6, False: 30}
WRONG = "predictions not captured, or captured and never made"
MISCOUNTED = "requests and rows that profiles count too many or too few"
SLOWER = "p50 of a request, capture on / off"


def run(quick: bool, tell: Tell = silence) -> Result:
    tell("deploying into a local AWS")
    with deployed("captures") as (stack, folder):
        token = stack.token(["infer"])
        storm = Storm(stack, folder)
        ids = storm.predict(Api(stack.api_url, MODEL, token), PREDICTIONS[quick], tell)
        figures, ratios = checked(stack, storm, ids, tell)
        samples = compared(copies(stack, MODEL, token), ROUNDS[quick], tell)
    for name, found in samples.items():
        figures[f"p50 of a request, capture {name}"] = figure(found, "ms")
    ratios[SLOWER] = ratio(samples["on"], samples[OFF])
    targets = {WRONG: Target(at_most=0.0), MISCOUNTED: Target(at_most=0.0), SLOWER: Target(at_most=1.05)}
    return Result(figures, ratios, targets, versions("obstore"))


class LinesMissing(Exception):
    """The log does not hold what was predicted: nothing can be said of what follows from it."""


@dataclass
class Storm:
    """Predictions, and all that can go wrong between their lines and the objects."""

    stack: Stack
    folder: Path
    deliveries: int = 0
    failed: int = 0
    killed: int = 0
    seconds: float = 0.0
    streams: dict[str, list[Event]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.log = Log(self.stack)
        self.chance = random.Random(20_261_121)
        self._known: set[str] = set()
        self._since = time.time() - 1

    def predict(self, api: Api, count: int, tell: Tell) -> set[str]:
        """Their ids; then everything has been delivered again in other cuts, until each delivery was taken."""
        heard = int(count * HEARD)
        with self.log.few_at_once(), during(self._keep_killing):
            started = time.monotonic()
            ids = self._ask(api, range(heard), tell)
            self._wait_for_lines(ids, own=True)
            with self.log.lost(), during(self._deliver_new):
                ids |= self._ask(api, range(heard, count), tell)
                self.seconds = time.monotonic() - started
                tell("lines that come late")
                self._wait_for_lines(ids)
        with self.log.few_at_once():
            for number, size in enumerate((CUTS[1] // 3, CUTS[1])):
                for place, (stream, events) in enumerate(self.streams.items()):
                    tell(f"delivering all again, {number + 1} of 2: {place} of {len(self.streams)} streams")
                    for start in range(0, len(events), size):
                        self._deliver(stream, events[start : start + size], PERSISTENT)
        return ids

    def _ask(self, api: Api, numbers: range, tell: Tell) -> set[str]:
        rows = bodies(load_digits().data.tolist())
        turn, ids = iter(numbers), set[str]()

        def work() -> None:
            with api.connected() as ask:
                for number in turn:
                    ids.add(ask(rows[number % len(rows)])[0])
                    if len(ids) % 100 == 0:
                        tell(f"{len(ids):,} of {len(numbers):,} predictions, {self.killed} processes killed")

        with ThreadPoolExecutor(CONNECTIONS) as pool:
            for worker in [pool.submit(work) for _ in range(CONNECTIONS)]:
                worker.result()
        return ids

    def _keep_killing(self, stop: Signal) -> None:
        while not stop.wait(KILL_SECONDS):
            self._kill()

    def _kill(self) -> None:
        self.killed += kill_some(self.folder)

    def _deliver_new(self, stop: Signal) -> None:
        """As the log does, as long as lines come; now and then something that was delivered is delivered again."""
        while not stop.wait(LOOK_SECONDS):
            for stream, start in self._take():
                events = self.streams[stream]
                while start < len(events):
                    size = self.chance.randint(*CUTS)
                    self._deliver(stream, events[start : start + size], ATTEMPTS)
                    start += size
                if self.chance.random() < 0.3:
                    first = self.chance.randrange(len(events))
                    self._deliver(stream, events[first : first + self.chance.randint(*CUTS)], ATTEMPTS)

    def _take(self, *, own: bool = False) -> list[tuple[str, int]]:
        """New lines of the log are added to their streams; which, and from where on. Those that the log delivers have
        a stream of their `own`; the others get one of a few, as if so many processes had written them."""
        found = []
        new: dict[str, list[Event]] = {}
        looked = time.time()
        streams = self.log.streams(self._since)
        self._since = looked - BEHIND_SECONDS
        for stream, events in streams.items():
            for event in events:
                name = prediction(event)
                if name not in self._known:
                    self._known.add(name)
                    process = stream if own else f"process-{self.chance.randrange(PROCESSES)}"
                    new.setdefault(process, []).append(event)
        for stream, events in new.items():
            found.append((stream, len(self.streams.setdefault(stream, []))))
            self.streams[stream] += events
        return found

    def _deliver(self, stream: str, events: Sequence[Event], attempts: int) -> None:
        for _ in range(attempts):
            self.deliveries += 1
            if len(events) > 1 and self.chance.random() < KILLED:
                Timer(self.chance.uniform(0, MOMENT_SECONDS), self._kill).start()
            if self.log.deliver(stream, events) is not None:
                return
            self.failed += 1
            time.sleep(0.2)

    def _wait_for_lines(self, ids: set[str], *, own: bool = False) -> None:
        """The local AWS may log a line with the next call of the process that wrote it, so there are next calls."""
        deadline = time.monotonic() + LATE_SECONDS
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            while True:
                if own:
                    self._take(own=True)
                if ids <= self._known:
                    return
                if time.monotonic() > deadline:
                    raise LinesMissing(f"{len(ids - self._known)} of {len(ids)} predictions have no line in the log")
                list(pool.map(lambda _: self.stack.call("GET", "/health"), range(CONNECTIONS)))
                time.sleep(1)


@contextmanager
def during(act: Callable[[Signal], None]) -> Iterator[None]:
    """Does it beside the body, until that has ended; what goes wrong there is raised here."""
    stop = Signal()
    with ThreadPoolExecutor(1) as pool:
        acting = pool.submit(act, stop)
        try:
            yield
        finally:
            stop.set()
        acting.result()


def checked(stack: Stack, storm: Storm, ids: set[str], tell: Tell) -> tuple[dict[str, Figure], dict[str, Ratio]]:
    """What lies in the bucket, held against what was asked."""
    tell("reading the captures")
    store = data_store(stack)
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        objects = list(pool.map(lambda path: store.get(path).data, store.list(f"captures/model={MODEL}")))
    captured = [read_line(line).id for packed in objects for line in gzip.decompress(packed).splitlines()]
    tell("reading the profiles")
    now = time.time()
    wrong = 0
    for merges in (False, True, True):  # as they were written; merging; as merged
        profile = ProfileStore(store, merges=merges).read(MODEL, 2, now - 7200, now + 60)
        requests, rows = (profile.requests, profile.rows) if profile else (0, 0)
        wrong += abs(requests - len(ids)) + abs(rows - len(ids))
    counts = {
        "predictions": (len(ids), "predictions"),
        "predictions per second, capturing beside": (len(ids) / storm.seconds, "predictions/s"),
        "deliveries": (storm.deliveries, "deliveries"),
        "deliveries that failed": (storm.failed, "deliveries"),
        "processes of the capture function killed": (storm.killed, "processes"),
        "lines of captures stored": (len(captured), "lines"),
        "distinct captures": (len(set(captured)), "captures"),
        "requests that the profiles count": (requests, "requests"),
    }
    figures = {name: Figure.count(value, unit) for name, (value, unit) in counts.items()}
    return figures, {WRONG: Ratio.exact(len(ids ^ set(captured))), MISCOUNTED: Ratio.exact(wrong)}


def compared(apis: Mapping[str, Api], rounds: int, tell: Tell) -> dict[str, list[float]]:
    """Per round, the median milliseconds of requests with and without capture, made by turns on every connection."""
    rows = bodies(load_digits().data.tolist())
    samples: dict[str, list[float]] = {name: [] for name in apis}

    def work(connection: int) -> dict[str, list[float]]:
        took: dict[str, list[float]] = {name: [] for name in apis}
        with ExitStack() as stack:
            asks = [(name, stack.enter_context(api.connected())) for name, api in apis.items()]
            for number in range(PAIRS):
                for name, ask in asks if (connection + number) % 2 else reversed(asks):
                    took[name].append(ask(rows[number])[1])
        return took

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for number in range(rounds + 1):
            if number > boxes.LEAST_ROUNDS and boxes.is_over():
                break
            tell(f"capture on and off, round {number} of {rounds}")
            found = list(pool.map(work, range(CONNECTIONS)))
            if number:  # before, processes were started
                for name, kept in samples.items():
                    kept.append(1e3 * float(np.median([second for one in found for second in one[name]])))
    return samples


def describe(document: dict[str, Any]) -> str:
    figures = document["figures"]
    text = (
        f"{figures['predictions']['median']:,.0f} predictions through the API of a deployed local AWS on {CONNECTIONS} "
        "connections. Meanwhile processes of the capture function are killed, at most three may run at once and "
        "deliveries beyond are refused, and deliveries are repeated in other cuts; what fails is tried three times and "
        "then put aside, as Lambda does. In the end all is delivered again, twice, in still other cuts. The log itself "
        "delivers the first few lines, one by one; the others are delivered from the log as Amazon's does, "
        "many of a stream together, by the benchmark. Wanted are exactly as many distinct captures, and profiles that "
        "count each prediction once: as written, while they are merged, and as merged.\n\n"
        "What capturing adds to a request is measured on two copies of the function behind APIs of their own, asked by "
        "turns on the same connections. (A call that writes no line at all takes 50 ms in the local AWS, which waits "
        "for one: without capture it writes an empty one.) The microseconds of the function itself are in "
        "[Warm call](#warm).\n"
    )
    return "\n".join((text, targets_table(document), figures_table(document)))
