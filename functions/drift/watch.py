"""Looks at every model that is due, keeps what was found, and tells what is new; each step can be done twice."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from aws_lambda_powertools import Logger

from functions.drift import checking
from functions.drift.checking import Checking, Look, Window, moment
from functions.drift.estimating import estimate
from functions.drift.page import page
from functions.drift.records import encoded, move, read
from functions.drift.retraining import Retraining
from functions.drift.telling import Told, figures, gates, newest
from lastmile import feedback
from lastmile import figures as lines
from lastmile.bus import Bus
from lastmile.drift.budget import Budget
from lastmile.drift.verdict import ALPHA
from lastmile.errors import LastmileError
from lastmile.labelled import Join, joined
from lastmile.quality import document as measured
from lastmile.registry import Registry, Release
from lastmile.spec import ModelSpec
from lastmile.store import Store

HOUR = 3600.0
QUALITY_DAYS = 30.0  # labels may be late
MOST_HISTORY = 180
DETECTED = "DriftDetected"

logger = Logger(service="drift")

type Document = dict[str, Any]
type Write = Callable[[str], object]


class Watch:
    def __init__(self, registry: Registry, data: Store, bus: Bus, *, stage: str, write: Write) -> None:
        self._registry = registry
        self._data = data
        self._bus = bus
        self._stage = stage
        self._write = write
        self._checking = Checking(registry, data)

    def tick(self, at: float) -> Document:
        """Check the models that are due at that time (seconds since 1970). One that fails keeps no other from it."""
        checked: list[Document] = []
        failed: list[Document] = []
        waiting: list[str] = []
        for model in self._registry.models():
            try:
                found = self._tick(model, at)
            except LastmileError as error:
                failed.append({"model": model, "error": str(error)})
                logger.warning("a model could not be checked", extra=failed[-1])
            except Exception as error:
                failed.append({"model": model, "error": f"{type(error).__name__}: {error}"})
                logger.exception("a model could not be checked", extra={"model": model})
            else:
                if found is None:
                    waiting.append(model)
                else:
                    checked.append(found)
        self._figures({"ChecksFailed": len(failed), "ModelsChecked": len(checked)}, {}, at)
        return {"at": moment(at), "checked": checked, "failed": failed, "waiting": waiting}

    def check(self, model: str, at: float, *, window_hours: float | None = None) -> Document:
        """The report of a window that ends now, made because somebody asks: it is kept, but alarms nobody."""
        release, spec = self._registry.release(model), self._registry.spec(model)
        window = Window(at - (window_hours or spec.drift.window_hours) * HOUR, at)
        state = read(self._data, _state_path(model)) or {}
        return self._kept(Making(self, spec, release, window, at, state).report)

    def quality(self, model: str, at: float, *, days: float = QUALITY_DAYS) -> Document:
        """What labels say of the predictions of the last days; kept as `reports/<model>/quality/<time>.json`."""
        release, spec = self._registry.release(model), self._registry.spec(model)
        made = Making(self, spec, release, Window(at - days * HOUR * 24, at), at, {}, days=days)
        path = f"reports/{model}/quality/{stamp(at)}.json"
        document = made.quality | {"path": path, "champion": release.champion}
        self._data.put(path, encoded(document))
        return document

    def _tick(self, model: str, at: float) -> Document | None:
        """None when the model is not due."""
        release = self._registry.release(model)
        if release.champion is None:
            return None
        spec = self._registry.spec(model)
        self._announce(model)
        state = read(self._data, _state_path(model)) or {}
        end = at // HOUR * HOUR
        if not _is_due(state, spec, end):
            return None
        made = Making(
            self, spec, release, Window(end - spec.drift.window_hours * HOUR, end), at, state, is_scheduled=True
        )
        report = self._kept(made.report)
        if not self._claim(spec, made, report, end):
            return None
        self._tell(made)
        retraining = Retraining(self._data, self._bus, spec)
        report["retrain"] = retraining.decide(drifted=made.look.drifted, rows=lambda: made.join.rows, at=at)
        self._kept(report)
        self._announce(model)
        return {
            key: report[key] for key in ("model", "verdict", "summary", "alarm", "newly_drifted", "path", "retrain")
        }

    def _kept(self, report: Document) -> Document:
        """Written under its time, as JSON and as a page; doing it again writes the same object."""
        self._data.put(report["path"], encoded(report))
        self._data.put(report["page"], page(report).encode())
        return report

    def _claim(self, spec: ModelSpec, made: "Making", report: Document, end: float) -> bool:
        """Whether this check is the one that counts: of two for the same hour only one moves the state."""

        def moved(found: Document | None) -> Document | None:
            return made.state_after(report, end) if _is_due(found or {}, spec, end) else None

        return move(self._data, _state_path(spec.name), moved) is not None

    def _tell(self, made: "Making") -> None:
        for dimensions, values in figures(made.told):
            self._figures(values, {"model": made.told.model} | dimensions, made.at)

    def _figures(self, values: Document, dimensions: dict[str, str], at: float) -> None:
        written = lines.line(
            values, dimensions={"stage": self._stage} | dimensions, at=at, totals="metric" not in dimensions
        )
        if written is not None:
            self._write(written)

    def _announce(self, model: str) -> None:
        """Tell what has been found and is not known to have been told."""
        pending = (read(self._data, _state_path(model)) or {}).get("pending")
        if not pending:
            return
        self._bus.tell(DETECTED, pending)

        def told(found: Document | None) -> Document | None:
            return None if found is None or found.get("pending") != pending else found | {"pending": None}

        move(self._data, _state_path(model), told)


class Making:
    """A report in the making; what costs something is made once, when it is asked for."""

    def __init__(
        self,
        watch: Watch,
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
        self._checking = watch._checking
        self._data = watch._data
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
        return measured(self.join, self._spec, since=since, until=until, predictions=predictions)

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
            "summary": checking.summary(look),
            "alarm": self._is_scheduled and self._budgeted[1],
            "alpha": self._alpha,
            "newly_drifted": self.newly_drifted,
            "reference": {"kind": look.reference.kind, "sentence": look.reference.sentence},
            "features": checking.features(look),
            "traffic": checking.traffic(look.profile),
            "versions": checking.versions(self.looks, self._release),
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
        }


def _is_due(state: Document, spec: ModelSpec, end: float) -> bool:
    return bool(end >= state.get("checked_until", float("-inf")) + spec.drift.every_hours * HOUR)


def _state_path(model: str) -> str:
    return f"reports/{model}/drift/state.json"


def stamp(at: float) -> str:
    """`20260314T150000Z`."""
    return f"{moment(at)[:19].replace('-', '').replace(':', '')}Z"
