"""What follows what: the one table behind the state machine in the cloud and the loop on a machine of one's own."""

from collections.abc import Mapping
from dataclasses import dataclass

DONE = "done"  # the step's work is finished
WAIT = "wait"  # go on after a while
ASK = "ask"  # wait for a person
REFUSED = "refused"  # the reason is noted in the run
END = "end"  # nothing is left to do
BEYOND = "beyond"  # more than the function holds: a training job does it
BROKEN = "broken"  # the run has ended in an error of ours

FIRST = "claim"
ASKING = "ask"
FAILED = "failed"
ORDER = "order"
LONGEST_PAUSE = 600  # seconds: a look is 9 events of an execution, which may have 25,000
JOBS = ("job", "boost")  # training jobs: by a program of ours, and by XGBoost's own container


@dataclass(frozen=True, slots=True)
class Step:
    """`leads` says by a step's outcome which one is next; None ends the run.

    `minutes` is how long one attempt may take, `attempts` how often it is begun when it breaks off.
    """

    name: str
    leads: Mapping[str, str | None]
    minutes: int = 5
    attempts: int = 5


def _quick(name: str, **leads: str) -> Step:
    """A step that only looks at objects and moves them."""
    return Step(name, {**leads, REFUSED: FAILED, END: None})


def _heavy(name: str, **leads: str) -> Step:
    """A step that reads, trains or measures: what exhausts the function once will do so again."""
    return Step(name, {**leads, REFUSED: FAILED, END: None}, minutes=15, attempts=2)


STEPS: tuple[Step, ...] = (
    _quick("claim", done="validate", wait="claim"),
    _heavy("validate", done="train", beyond=ORDER),
    _heavy("train", done="evaluate"),
    _heavy(ORDER, done="evaluate", job="job", boost="boost"),  # only where training jobs are switched on
    *(Step(name, {DONE: ORDER}, attempts=2) for name in JOBS),
    _heavy("evaluate", done="compress"),
    _heavy("compress", done="certify"),
    _heavy("certify", done="register"),
    _quick("register", done="approve"),
    _quick("approve", done="resume", ask=ASKING),
    Step(ASKING, {DONE: "approve", END: None}),
    _quick("resume", done="canary", wait="resume"),
    _quick("canary", done="promote", wait="judge"),
    _quick("judge", done="canary", wait="judge", worse="roll back"),
    _quick("promote"),
    _quick("roll back"),
    Step(FAILED, {END: None, BROKEN: None}),
)
TABLE: Mapping[str, Step] = {step.name: step for step in STEPS}

# How long one wait for a person may last. A state machine says the length of a wait before it starts, so there is one
# state for each length, and the step that asks chooses; the next look finds out whether the question has expired.
ASK_SECONDS = (86_400, 600, 10)


def pause(waited: float) -> int:
    """Seconds until the next look at whether another run has given the model free, after so many of waiting."""
    return int(min(LONGEST_PAUSE, 2 + waited / 10))
