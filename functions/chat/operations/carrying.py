"""Carries out what an authorised person asks for. Everything may be asked twice, and has one effect."""

import time
from collections.abc import Callable

from functions.chat.assistant.conversation import Button
from functions.chat.operations.looking import Looking, serving
from functions.chat.operations.orders import COMMAND, HELP, Order
from functions.chat.operations.posts import Post
from functions.chat.operations.reviews import Reviews
from lastmile.answering import Answering
from lastmile.approvals import Approval, Approvals
from lastmile.audit import DONE, AuditEntry
from lastmile.errors import ReleaseConflict, VersionRejected
from lastmile.registry import Registry

LOOK_BACK = 50  # audit entries, for the one that moved a release


class Carrying:
    def __init__(
        self,
        registry: Registry,
        *,
        approvals: Approvals,
        answering: Answering,
        reviews: Reviews,
        looking: Looking,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._registry = registry
        self._approvals = approvals
        self._answering = answering
        self._reviews = reviews
        self._looking = looking
        self._clock = clock

    def carry_out(self, order: Order, *, actor: str, platform: str, press: str, again: bool) -> Post:
        """`press` names this order, `again` says that it may have been carried out before. Raises LastmileError, whose
        sentence is for the person."""
        why = order.why or f"{'pressed' if order.way == 'button' else 'said'} {order.verb} in {platform}"
        match order.verb:
            case "status":
                return Post(self._looking.status())
            case "models":
                return Post(self._looking.models())
            case "drift":
                return Post(self._looking.drift(order.model))
            case "rollback" if order.number is None:
                return self._ask_rollback(order.model)
            case "rollback":
                return self._roll_back(order.model, order.number or 0, actor, why)
            case "approve":
                return self._approve(order.model, order.number or 0, actor, why, again=again)
            case "reject":
                return self._reject(order, actor, again=again)
            case "block" | "release":
                return self._judge(order, actor, why, press=press, again=again)
            case _:
                return Post(f"{COMMAND} {HELP}")

    def _ask_rollback(self, model: str) -> Post:
        release = self._registry.release(model)
        if release.challenger is not None:
            what = f"end the canary of version {release.challenger}, so that version {release.champion} serves alone"
        elif release.previous is not None:
            what = f"bring version {release.previous} back in the place of version {release.champion}"
        else:
            return Post(f"{model} has no canary and no previous champion to go back to.")
        button = Button("Roll back", f"rollback:{model}/{release.revision}")
        terminal = f"lastmile release rollback {model} --why … --revision {release.revision}"
        return Post(f"Roll {model} back? That would {what}.", (button,), terminal=terminal)

    def _roll_back(self, model: str, revision: int, actor: str, why: str) -> Post:
        """From the revision that was asked about, and no other: the second press finds the first one's work."""
        if (mover := self._mover(model, revision)) is None:
            try:
                release = self._registry.rollback(model, actor=actor, why=why, expected_revision=revision)
            except ReleaseConflict:
                if (mover := self._mover(model, revision)) is None:
                    raise
            else:
                return Post(f"{model} was rolled back by {actor}: {why}. Now {serving(release)}.", done=True)
        if mover.action == "rollback":
            now = serving(self._registry.release(model))
            return Post(f"{model} was rolled back by {mover.actor}: {mover.why}. Now {now}.", done=True)
        did = f"{mover.action} by {mover.actor}: {mover.why}"
        return Post(f"Nothing was rolled back: {model} has moved since ({did}). Ask again.", done=True)

    def _mover(self, model: str, revision: int) -> AuditEntry | None:
        """The entry that led away from the revision."""
        if self._registry.release(model).revision == revision:
            return None
        for entry in self._registry.audit(model, limit=LOOK_BACK):
            if entry.outcome == DONE and entry.from_revision == revision and entry.to_revision != revision:
                return entry
        return None

    def _approve(self, model: str, version: int, actor: str, why: str, *, again: bool) -> Post:
        try:
            answered = self._answering.approve(model, version, actor=actor, why=why)
        except (ReleaseConflict, VersionRejected) as error:
            asked = self._approvals.read(model, version)
            if again and (asked.answer, asked.actor, asked.why) == ("approve", actor, why):
                self._note_approval(asked)
                return _answered(asked)
            return Post(f"{_sentence(error)} Nothing was changed.", done=True)
        return _answered(answered)

    def _note_approval(self, asked: Approval) -> None:
        """A process that was cut short after the answer has not noted it."""
        for entry in self._registry.audit(asked.model, limit=LOOK_BACK):
            if (entry.action, entry.version, entry.actor) == ("approve", asked.version, asked.actor):
                return
        self._registry.record(asked.model, "approve", asked.version, actor=str(asked.actor), why=str(asked.why))

    def _reject(self, order: Order, actor: str, *, again: bool) -> Post:
        model, version = order.model, order.number or 0
        asked = self._approvals.read(model, version)
        if not order.why:
            said = f"Why? Write it into the field, or say `{COMMAND} reject {model} {version} <why>`."
            return Post(said, form=f"reject:{model}/{version}")
        rejection = self._registry.rejection(model, version)
        if rejection is not None and not (again and (rejection["actor"], rejection["why"]) == (actor, order.why)):
            who = f"{rejection['actor']}: {rejection['why']}"
            return Post(f"Version {version} of {model} was rejected already by {who}. Nothing was changed.", done=True)
        if rejection is None and asked.answer is not None:
            who = f"{asked.answer} by {asked.actor}: {asked.why}"
            return Post(f"Version {version} of {model} was answered already: {who}. Nothing was changed.", done=True)
        if rejection is None and self._clock() >= asked.expires_at:
            return Post(f"The question about version {version} of {model} has expired. Nothing was changed.", done=True)
        if rejection is None or asked.answer is None:
            self._answering.reject(model, version, actor=actor, why=order.why, again=rejection is not None)
        return Post(f"Version {version} of {model} was rejected by {actor}: {order.why}.", done=True)

    def _judge(self, order: Order, actor: str, why: str, *, press: str, again: bool) -> Post:
        judged = self._reviews.decide(
            order.model, order.prediction, order.row, order.verb, actor=actor, why=why, press=press, again=again
        )
        name = f"{order.model} {order.prediction} row {order.row}"
        if not judged.new:
            return Post(
                f"{name} was decided already: {judged.answer} by {judged.actor}. Nothing was changed.", done=True
            )
        return Post(f"{name}: {judged.answer} by {judged.actor}: {judged.why}. It is kept as feedback.", done=True)


def _answered(asked: Approval) -> Post:
    said = f"Version {asked.version} of {asked.model} was approved by {asked.actor}: {asked.why}."
    return Post(f"{said} Its run goes on.", done=True)


def _sentence(error: Exception) -> str:
    text = str(error).rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."
