"""What follows what: the one table behind the state machine in the cloud and the loop on a machine of one's own."""

from collections.abc import Mapping
from dataclasses import dataclass

DONE = "done"  # the step's work is finished
WAIT = "wait"  # look at the same step again later
ASK = "ask"  # wait for a person
REFUSED = "refused"  # the reason is noted in the run
END = "end"  # nothing is left to do

FAILED = "failed"
ASKING = "ask"
FIRST = "claim"


@dataclass(frozen=True, slots=True)
class Step:
    """`leads` says by a step's outcome which one is next; None ends the run.

    `minutes` is how long one attempt may take, `attempts` how often it is begun when it breaks off.
    """

    name: str
    leads: Mapping[str, str | None]
    minutes: int = 5
    attempts: int = 4


def _step(name: str, *, minutes: int = 5, **leads: str | None) -> Step:
    ways = {outcome.replace("_", " "): target for outcome, target in leads.items()}
    return Step(name, {**ways, REFUSED: FAILED, END: None}, minutes=minutes)


STEPS: tuple[Step, ...] = (
    _step("claim", done="validate", wait="claim"),
    _step("validate", minutes=15, done="train"),
    _step("train", minutes=15, done="evaluate"),
    _step("evaluate", minutes=15, done="compress"),
    _step("compress", minutes=15, done="certify"),
    _step("certify", minutes=15, done="register"),
    _step("register", done="approve"),
    _step("approve", done="resume", ask=ASKING),
    Step(ASKING, {DONE: "approve"}),
    _step("resume", done="canary", wait="resume"),
    _step("canary", done="promote", wait="judge"),
    _step("judge", done="canary", wait="judge", worse="roll back"),
    _step("promote"),
    _step("roll back"),
    Step(FAILED, {END: None}),
)
TABLE: Mapping[str, Step] = {step.name: step for step in STEPS}

# How long one wait for a person may last. A state machine says the length of a wait before it starts, so there is one
# state for each length, and the step that asks chooses; the next look finds out whether the question has expired.
ASK_SECONDS = (86_400, 600, 10)
