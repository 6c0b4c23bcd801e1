"""One report in the making: what a window holds, what follows from it, and what is remembered for the next."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from functions.drift import checking as looking
from functions.drift.checking import Checking, Look, Window, moment
from functions.drift.estimating import estimate
from functions.drift.telling import Told, gates, newest
from lastmile import feedback
from lastmile.drift.budget import Budget
from lastmile.drift.verdict import ALPHA
from lastmile.labelled import Join, joined
from lastmile.quality import document as measured
from lastmile.registry import Release
from lastmile.spec import ModelSpec
from lastmile.store import Store

QUALITY_DAYS = 30.0  # labels may be late
MOST_HISTORY = 180
HOUR = 3600.0

type Document = dict[str, Any]


class Making:
    """A report in the making; what costs something is made once, when it is asked for."""

    def __init__(
        self,
        checking: Checking,
        data: Store,
        spec: ModelSpec,
        release: Release,
        window: Window,
        at: float,
        state: Document,
        *,
        days: float = QUALITY_DAYS,
        is_scheduled: bool = False,
    ) -> None:
        self._is_scheduled = is_scheduled
        self._checking = checking
        self._data = data
        self._spec = spec
        self._release = release
        self._window = window
        self._state = state
        self._days = days
        self.at = at

    @cached_property
    def looks(self) -> Sequence[Look]:
        return self._checking.looks(self._spec, self._release, self._window, alpha=self._alpha)

    @property
    def _alpha(self) -> float:
        """What the budget of alarms leaves for a scheduled check; somebody who asks gets the usual level."""
        return self._budget.level(self._spec.drift, self._window.until) if self._is_scheduled else ALPHA

    @cached_property
    def _budget(self) -> Budget:
        """As the check before has left it; of another champion drift is news again."""
        known = self._state.get("budget")
        return (
            replace(Budget.from_document(known), is_active=self._is_same and known["is_active"]) if known else Budget()
        )

    @cached_property
    def _budgeted(self) -> tuple[Budget, bool]:
        """After this check, and whether an alarm begins with it."""
        return self._budget.after(self.look.drift, self._spec.drift, self._window.until)

    @property
    def _is_same(self) -> bool:
        return bool(self._state.get("version") == self._release.champion)

    @property
    def look(self) -> Look:
        """At the champion."""
        return self.looks[0]

    @cached_property
    def join(self) -> Join:
        model = self._spec.name
        return joined(self._data, model, feedback.read(self._data, model, *self._quality_window))

    @property
    def _quality_window(self) -> Window:
        return Window(self._window.until - self._days * HOUR * 24, self._window.until)

    @cached_property
    def quality(self) -> Document:
        since, until = self._quality_window
        numbers = sorted({row.version for row in self.join.rows if row.role != "shadow"})
        predictions = self._checking.rows(self._spec.name, numbers, self._quality_window) if numbers else None
        answered = sorted({row.version for row in self.join.rows})
        signatures = self._checking.signatures(self._spec.name, answered, self._release)
        return measured(self.join, self._spec, since=since, until=until, predictions=predictions, signatures=signatures)

    @cached_property
    def estimate(self) -> Document | None:
        return estimate(self._spec, self.look, self.join.rows, self._window)

    @property
    def newly_drifted(self) -> list[str]:
        """What had not drifted when this version was looked at before."""
        known = set(self._state.get("drifted", ())) if self._is_same else set()
        return [name for name in self.look.drifted if name not in known]

    @cached_property
    def told(self) -> Told:
        missed = gates(self._spec, self.quality, self._release.champion)
        return Told(self._spec.name, self.look, self.quality, missed, self.estimate)

    @cached_property
    def report(self) -> Document:
        look, name = self.look, self._spec.name
        path = f"reports/{name}/drift/{stamp(self._window.until)}"
        return {
            "model": name,
            "task": self._spec.task,
            "kind": "drift",
            "made_at": moment(self.at),
            "path": f"{path}.json",
            "page": f"{path}.html",
            "window": self._window.to_document(),
            "version": look.manifest.version,
            "verdict": look.verdict,
            "summary": looking.summary(look),
            "alarm": self._is_scheduled and self._budgeted[1],
            "alpha": self._alpha,
            "newly_drifted": self.newly_drifted,
            "reference": {"kind": look.reference.kind, "sentence": look.reference.sentence},
            "features": looking.features(look),
            "traffic": looking.traffic(look.profile),
            "versions": looking.versions(self.looks, self._release),
            "estimate": self.estimate,
            "quality": self.quality,
            "gates": self.told.gates,
            "history": [*self._state.get("history", ()), self._entry()][-MOST_HISTORY:],
            "budget": {
                "sentence": (self._budgeted[0] if self._is_scheduled else self._budget).sentence(self._spec.drift)
            },
            "notes": list(self._notes()),
            "retrain": None,
        }

    def _notes(self) -> Iterator[str]:
        yield from (other.reason for other in self.looks[1:] if other.reason)
        if self.estimate is not None and not self.estimate["trusted"]:
            yield f"The estimate without labels cannot be trusted: {'; '.join(self.estimate['reasons'])}."
        yield from self.quality["notes"]

    def state_after(self, report: Document, end: float) -> Document:
        look = self.look
        pending = None
        budget, begins = self._budgeted
        if begins:
            pending = {
                "id": f"{self._spec.name}-{stamp(end)}",
                "model": self._spec.name,
                "version": look.manifest.version,
                "drifted": look.drifted,
                "summary": report["summary"],
                "report": report["path"],
                "at": moment(end),
            }
        return {
            "checked_until": end,
            "version": look.manifest.version,
            "drifted": look.drifted,
            "budget": budget.to_document(),
            "history": report["history"],
            "pending": pending,
        }

    def _entry(self) -> Document:
        """What later reports say of this one."""
        look = self.look
        return {
            "at": moment(self._window.until),
            "version": look.manifest.version,
            "verdict": look.verdict,
            "drifted": len(look.drifted),
            "rows": look.profile.rows if look.profile else 0,
            "quality": newest(self.quality, look.manifest.version),
            "estimate": self.estimate["value"] if self.estimate else None,
            "estimate_low": self.estimate["low"] if self.estimate else None,
            "estimate_high": self.estimate["high"] if self.estimate else None,
        }


def stamp(at: float) -> str:
    """`20260314T150000Z`."""
    return f"{moment(at)[:19].replace('-', '').replace(':', '')}Z"
