"""Looks at every model that is due, keeps what was found, and tells what is new; each step can be done twice."""

from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger

from functions.drift.checking import Checking, Window, moment
from functions.drift.making import HOUR, QUALITY_DAYS, Making, stamp
from functions.drift.page import page
from functions.drift.records import encoded, move, read
from functions.drift.retraining import Retraining
from functions.drift.telling import figures, of_version
from lastmile import figures as lines
from lastmile.bus import Bus
from lastmile.errors import LastmileError
from lastmile.registry import Registry
from lastmile.spec import ModelSpec
from lastmile.store import Store

DETECTED = "DriftDetected"
SETTLED_SECONDS = 600.0  # after an hour its captures have been counted

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
        for one in failed:
            self._figures({"ChecksFailed": 1}, {"model": one["model"]}, at)
        self._figures({"ModelsChecked": len(checked)}, {}, at)
        return {"at": moment(at), "checked": checked, "failed": failed, "waiting": waiting}

    def check(self, model: str, at: float, *, window_hours: float | None = None) -> Document:
        """The report of a window that ends now, made because somebody asks: it is kept, but alarms nobody."""
        release, spec = self._registry.release(model), self._registry.spec(model)
        window = Window(at - (window_hours or spec.drift.window_hours) * HOUR, at)
        state = read(self._data, _state_path(model)) or {}
        return self._kept(Making(self._checking, self._data, spec, release, window, at, state).report)

    def quality(self, model: str, at: float, *, days: float = QUALITY_DAYS) -> Document:
        """What labels say of the predictions of the last days; kept as `reports/<model>/quality/<time>.json`."""
        release, spec = self._registry.release(model), self._registry.spec(model)
        made = Making(self._checking, self._data, spec, release, Window(at - days * HOUR * 24, at), at, {}, days=days)
        path = f"reports/{model}/quality/{stamp(at)}.json"
        document = made.quality | {"path": path, "champion": release.champion}
        self._data.put(path, encoded(document))
        return document

    def _tick(self, model: str, at: float) -> Document | None:
        """None when the model is not due."""
        release = self._registry.release(model)
        if release.champion is None:
            return None
        self._tell_traffic(model, at)
        spec = self._registry.spec(model)
        self._announce(model)
        state = read(self._data, _state_path(model)) or {}
        end = at // HOUR * HOUR
        if not _is_due(state, spec, end):
            return None
        made = Making(
            self._checking,
            self._data,
            spec,
            release,
            Window(end - spec.drift.window_hours * HOUR, end),
            at,
            state,
            is_scheduled=True,
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

    def _claim(self, spec: ModelSpec, made: Making, report: Document, end: float) -> bool:
        """Whether this check is the one that counts: of two for the same hour only one moves the state."""

        def moved(found: Document | None) -> Document | None:
            return made.state_after(report, end) if _is_due(found or {}, spec, end) else None

        return move(self._data, _state_path(spec.name), moved) is not None

    def _tell_traffic(self, model: str, at: float) -> None:
        """Errors and latencies of each version in the last hour, from the profiles that the release's judge reads."""
        until = (at - SETTLED_SECONDS) // HOUR * HOUR
        for version, profile in self._checking.traffic(model, Window(until - HOUR, until)):
            self._figures(of_version(profile), {"model": model, "version": str(version)}, until - HOUR)

    def _tell(self, made: Making) -> None:
        for dimensions, values in figures(made.told):
            self._figures(values, {"model": made.told.model} | dimensions, made.at)

    def _figures(self, values: Document, dimensions: dict[str, str], at: float) -> None:
        written = lines.line(values, dimensions={"stage": self._stage} | dimensions, at=at)
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


def _is_due(state: Document, spec: ModelSpec, end: float) -> bool:
    return bool(end >= state.get("checked_until", float("-inf")) + spec.drift.every_hours * HOUR)


def _state_path(model: str) -> str:
    return f"reports/{model}/drift/state.json"
