"""The chat: how fast a platform is answered, and what becomes of real people's messages."""

from dataclasses import astuple
from typing import Any

import numpy as np

from benchmarks import hook, support
from benchmarks.machine import versions
from benchmarks.measurement import figure, ratio
from benchmarks.progress import Tell, silence
from benchmarks.real_data import FOLDER
from benchmarks.report import figures_table, number, table, targets_table
from benchmarks.result import Figure, Ratio, Result, Target

TITLE = "Chat"
ACKNOWLEDGED_MS, COLD_MS = 50.0, 1000.0
PROMISED_ACCURACY, PROMISED_RECALL, LINEAR = 0.90, 0.50, 0.914
P99, COLD = "hook, p99", "hook, cold"
BANKING = ("first choice right", "routed", "right of the routed", "asked again", "handed over", "messages")
NOT_THERE = f"the data are not at {FOLDER}: the assistant's answers to them are not measured"

type Found = tuple[dict[str, Figure], dict[str, Ratio], dict[str, Target]]


def run(quick: bool, tell: Tell = silence) -> Result:
    """The short run leaves out what has to be trained first."""
    parts = [_hook(quick, tell)]
    if not FOLDER.is_dir():
        tell(NOT_THERE)
    else:
        tell("hint3")
        parts.append(_hint3())
        if not quick:
            tell("banking77")
            parts.append(_banking77())
            tell("clinc150")
            parts.append(_clinc150())
    figures: dict[str, Figure] = {}
    ratios: dict[str, Ratio] = {}
    targets: dict[str, Target] = {}
    for part in parts:
        figures |= part[0]
        ratios |= part[1]
        targets |= part[2]
    return Result(figures, ratios, targets, versions("boto3"))


def _hook(quick: bool, tell: Tell) -> Found:
    starts, processes, calls = (3, 1, 200) if quick else (30, 8, 600)
    found = hook.measured(starts=starts, processes=processes, calls=calls, tell=tell)
    slow = [float(np.percentile(calls, 99)) for calls in found.warm]
    figures = {
        "hook, p50": figure([float(np.median(calls)) for calls in found.warm], "ms"),
        P99: figure(slow, "ms"),
        COLD: figure(found.cold, "ms"),
        f"{COLD}: imports": figure(found.imports, "ms"),
    }
    promised = {P99: (slow, ACKNOWLEDGED_MS), COLD: (found.cold, COLD_MS)}
    ratios = {f"{name} / {limit:,.0f} ms": ratio(ms, [limit] * len(ms)) for name, (ms, limit) in promised.items()}
    return figures, ratios, {name: Target(at_most=1.0) for name in ratios}


def _hint3() -> Found:
    figures: dict[str, Figure] = {}
    ratios: dict[str, Ratio] = {}
    for name, bot in support.hint3().items():
        for what, value in zip(("best", "blind", "published"), astuple(bot), strict=True):
            figures[f"hint3 {name}, {what}"] = Figure.count(value, "MCC")
        ratios[f"hint3 {name}, best / published"] = Ratio.exact(bot.best / bot.published, better="higher")
    return figures, ratios, {name: Target(at_least=1.0) for name in ratios}


def _banking77() -> Found:
    values = astuple(support.banking77())
    figures = {f"banking77, {name}": Figure.count(v, "") for name, v in zip(BANKING, values, strict=True)}
    name = f"banking77, {BANKING[0]} / {LINEAR}"
    return figures, {name: Ratio.exact(values[0] / LINEAR, better="higher")}, {name: Target(at_least=1.0)}


def _clinc150() -> Found:
    found = support.clinc150()
    figures = {
        "clinc150, in-scope accuracy": Figure.count(found.accuracy, ""),
        "clinc150, out-of-scope recall": Figure.count(found.recall, ""),
        "clinc150, threshold": Figure.count(found.threshold, ""),
    }
    ratios = {
        f"clinc150, in-scope accuracy / {PROMISED_ACCURACY}": Ratio.exact(
            found.accuracy / PROMISED_ACCURACY, better="higher"
        ),
        f"clinc150, out-of-scope recall / {PROMISED_RECALL}": Ratio.exact(
            found.recall / PROMISED_RECALL, better="higher"
        ),
    }
    return figures, ratios, {name: Target(at_least=1.0) for name in ratios}


def describe(document: dict[str, Any]) -> str:
    figures = document["figures"]
    hooks = figures_table(document, [name for name in figures if name.startswith("hook")])
    text = (
        "The hook: signed Slack messages, each with an id of its own, to the built function with nothing on its path "
        "but its asset, its layer and the boto3 that Lambda's runtime holds. Verified, acknowledged and queued, with "
        "Secrets Manager and SQS behind HTTP as stand-ins that answer 10 ms late; each message is then counted in the "
        "queue. The p99 is the median of the processes' own; a cold start is from nothing to the first "
        "acknowledgement, boto3 and the secret included.\n"
    )
    return "\n".join((text, targets_table(document), hooks, *_described(figures)))


def _described(figures: dict[str, Any]) -> list[str]:
    if not any(name.startswith("hint3") for name in figures):
        return ["The public sets were not there: the assistant's answers were not measured.\n"]
    rows = [
        (bot, *(f"{figures[f'hint3 {bot}, {what}']['median']:.3f}" for what in ("best", "published", "blind")))
        for bot in support.BOTS
    ]
    parts = [
        "HINT3 v1, questions of real users to three bots: Matthews correlation of the assistant's retrieval. “Best” is "
        "over all thresholds on the test rows, as the published figures are; “blind” is at the threshold that is best "
        "for the other two bots. The retrieval's few constants, the same for all bots and for our own, were chosen "
        "with these rows in sight.\n",
        table(("bot", "best", "best published", "blind"), rows),
    ]
    if "clinc150, threshold" not in figures:
        return parts
    share = {name: figures[f"banking77, {name}"]["median"] for name in BANKING}
    inside, outside = (figures[f"clinc150, {name}"]["median"] for name in ("in-scope accuracy", "out-of-scope recall"))
    return [
        *parts,
        f"banking77, {share['messages']:,.0f} messages of its test split, 77 intents as queues, through the text "
        "recipe's graph, a route policy and the assistant with its declared thresholds: the first choice is right for "
        f"{share['first choice right']:.1%}. {share['routed']:.1%} are routed at once, "
        f"{share['right of the routed']:.1%} of them rightly; {share['asked again']:.1%} are asked to say it in other "
        f"words, and {share['handed over']:.1%} get a person at once for their words or language. The reference is "
        f"a logistic regression's accuracy ({LINEAR}).\n",
        f"clinc150, full: not routed is what the assistant asks about or hands over. At the confidence of "
        f"{number(figures['clinc150, threshold']['median'])}, the highest with {support.WANTED:.0%} on the validation "
        f"rows, {inside:.1%} of what is in scope goes to its intent and {outside:.1%} of what is not goes to nobody's. "
        "No out-of-scope row was trained on or looked at for the threshold. Published (Larson et al. 2019): MLP 93.5 "
        "and 47.4, SVM 91.0 and 14.5.\n",
    ]
