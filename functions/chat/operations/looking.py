"""What operators can ask: how every model does, what is registered, whether one has drifted."""

from collections.abc import Iterator
from typing import Any

import orjson

from lastmile.errors import NotFound
from lastmile.executions import Ask, untold
from lastmile.registry import Registry, Release
from lastmile.runs import LIVE, Runs
from lastmile.store import Store

MOST = 20  # models in one answer

type Document = dict[str, Any]


class Looking:
    """`ask` knows how executions of the learning pipeline have ended."""

    def __init__(self, registry: Registry, data: Store, *, ask: Ask = untold) -> None:
        self._registry = registry
        self._data = data
        self._runs = Runs(data, ask=ask)

    def status(self) -> str:
        names = self._registry.models()
        lines = [self._state(release) for release in self._registry.releases(names[:MOST])]
        return "\n".join([*lines, *_more(names)]) or "There is no model yet."

    def models(self) -> str:
        names = self._registry.models()
        return "\n".join([*(self._about(name) for name in names[:MOST]), *_more(names)]) or "There is no model yet."

    def drift(self, model: str) -> str:
        """The newest report; raises NotFound for a model that is not there."""
        self._registry.release(model)
        state = self._read(f"reports/{model}/drift/state.json") or {}
        history = state.get("history") or ()
        if not history:
            return f"{model} has not been looked at yet: that is done every hour for models that are due."
        last = history[-1]
        path = f"reports/{model}/drift/{str(last['at'])[:19].replace('-', '').replace(':', '')}Z.json"
        report = self._read(path) or {}
        said = f"{model}, version {last['version']}, {last['at']}: {last['verdict']}."
        lines = [said, str(report.get("summary") or ""), *_quality(last)]
        return "\n".join([line for line in lines if line] + [f"The report: `lastmile report open {model}`."])

    def _state(self, release: Release) -> str:
        parts = [f"{release.model}: {serving(release)}"]
        newest = self._runs.newest(release.model, limit=1)
        parts += [f"run {run.id} is {run.state}" for run in newest if run.state in LIVE]
        history = (self._read(f"reports/{release.model}/drift/state.json") or {}).get("history") or ()
        if history and history[-1]["verdict"] == "drifted":
            parts.append("has drifted")
        return "; ".join(parts)

    def _about(self, name: str) -> str:
        release = self._registry.release(name)
        try:
            about = self._registry.spec(name).description
        except NotFound:
            about = "no spec yet"
        return f"{name}: {serving(release)}; versions up to {release.latest}. {about}"

    def _read(self, path: str) -> Document | None:
        try:
            document: Document = orjson.loads(self._data.get(path).data)
        except NotFound:
            return None
        return document


def serving(release: Release) -> str:
    if release.champion is None:
        return "nothing serves"
    parts = [f"version {release.champion} serves"]
    if release.challenger is not None:
        parts.append(f"version {release.challenger} gets {release.weight:.0%} of the requests")
    if release.shadow is not None:
        parts.append(f"version {release.shadow} runs beside it")
    return ", ".join(parts)


def _more(names: list[str]) -> list[str]:
    return [f"… and {len(names) - MOST} more: `lastmile models`."] if len(names) > MOST else []


def _quality(last: Document) -> Iterator[str]:
    if (estimate := last.get("estimate")) is not None:
        yield f"Estimated without labels: {estimate:.3g}."
