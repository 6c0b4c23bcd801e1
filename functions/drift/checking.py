"""One look at one model: what its versions were asked and answered in a window, beside what they were made for."""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from functions.drift import sampling
from functions.drift.references import Reference, References
from functions.drift.shapes import bars, missing_share, unseen_share
from lastmile.audit import rfc3339
from lastmile.drift.report import DriftReport, Row
from lastmile.drift.together import judge
from lastmile.drift.verdict import ALPHA
from lastmile.errors import LastmileError, NotFound, ProfileMismatch
from lastmile.manifest import Manifest
from lastmile.profile import Profile
from lastmile.profiles import ProfileStore, merged
from lastmile.registry import Registry, Release
from lastmile.release import LABELS
from lastmile.spec import ModelSpec
from lastmile.store import Store
from lastmile.tensors import Signature

NO_TRAFFIC = "no traffic"
NO_REFERENCE = "no reference"
NOT_COMPARABLE = "not comparable"
SHOWN_NAMES = 8
UNREADABLE = (ProfileMismatch, orjson.JSONDecodeError, OSError, EOFError, zlib.error)  # what half an object raises
NO_BARS: Mapping[str, Any] = {
    "kind": "joint",
    "labels": [],
    "reference": [],
    "current": [],
    "missing": {"reference": None, "current": None},
    "unseen": None,
    "mean": {"reference": None, "current": None},
}

type Document = dict[str, Any]


class Window(NamedTuple):
    """Seconds since 1970; `until` is no longer in it."""

    since: float
    until: float

    def to_document(self) -> Document:
        hours = round((self.until - self.since) / 3600, 3)
        return {"since": moment(self.since), "until": moment(self.until), "hours": hours}


@dataclass(frozen=True, eq=False)
class Look:
    """What one version did in the window, altogether and hour by hour; `drift` is None where it cannot be compared, and
    `reason` says why."""

    manifest: Manifest
    profile: Profile | None
    reference: Reference
    drift: DriftReport | None
    verdict: str
    reason: str
    hours: Sequence[tuple[float, Profile]] = ()

    @property
    def drifted(self) -> list[str]:
        """Names of features and answers, the surest first."""
        if self.drift is None:
            return []
        rows = [row for row in (*self.drift.by_feature(), *self.drift.by_output()) if row.verdict == "drifted"]
        return [row.name for row in sorted(rows, key=lambda row: row.p_value or 0.0)]


class Checking:
    def __init__(self, registry: Registry, data: Store) -> None:
        self._registry = registry
        self._data = data
        self._profiles = ProfileStore(data, merges=True)
        self._references = References(registry, data)

    def looks(self, spec: ModelSpec, release: Release, window: Window, *, alpha: float = ALPHA) -> list[Look]:
        """The champion first, then the other versions with traffic. Raises NotFound without a champion."""
        if release.champion is None:
            raise NotFound(f"model '{spec.name}' has no champion; promote a version first")
        seen = self._profiles.versions(spec.name, *window)
        others = sorted({version for version in seen if version != release.champion and release.has(version)})
        return [self._look(spec, release, version, window, alpha) for version in (release.champion, *others)]

    def rows(self, model: str, versions: Sequence[int], window: Window) -> int | None:
        """How many rows these versions answered; None where profiles cannot be read."""
        try:
            found = [self._profiles.read(model, version, *window) for version in versions]
        except UNREADABLE:
            return None
        return sum(profile.rows for profile in found if profile is not None)

    def signatures(self, model: str, versions: Sequence[int], release: Release) -> dict[int, Signature]:
        """Of those versions that are there."""
        found = {}
        for version in versions:
            with suppress(NotFound):
                found[version] = self._registry.manifest(model, version, release=release).signature
        return found

    def traffic(self, model: str, window: Window) -> list[tuple[int, Profile]]:
        """Of every version what it was asked in the window; without those whose profiles cannot be read."""
        found = []
        for version in self._profiles.versions(model, *window):
            with suppress(*UNREADABLE):
                profile = self._profiles.read(model, version, *window)
                found += [] if profile is None else [(version, profile)]
        return found

    def _look(self, spec: ModelSpec, release: Release, version: int, window: Window, alpha: float) -> Look:
        manifest = self._registry.manifest(spec.name, version, release=release)
        nothing = Reference(None, "none", f"version {version} could not be compared")
        try:
            hours = self._profiles.hours(spec.name, version, *window)
            profile = merged(of_hour for _, of_hour in hours)
        except UNREADABLE as error:
            return Look(manifest, None, nothing, None, NOT_COMPARABLE, f"Its profiles cannot be used: {error}.")
        try:
            reference = self._references.of(manifest)
        except LastmileError as error:
            return Look(manifest, profile, nothing, None, NOT_COMPARABLE, f"The reference cannot be used: {error}.")
        if profile is None or not profile.rows:
            return Look(manifest, profile, reference, None, NO_TRAFFIC, f"Version {version} answered nothing.")
        if reference.profile is None:
            reference = self._references.take(manifest, profile)
            return Look(manifest, profile, reference, None, NO_REFERENCE, "There was nothing to compare with.")
        try:
            drift = self._drift(spec, manifest, reference.profile, profile, window, alpha)
        except ProfileMismatch as error:
            return Look(manifest, profile, reference, None, NOT_COMPARABLE, f"It cannot be compared: {error}.")
        return Look(manifest, profile, reference, drift, drift.verdict, "", hours)

    def _drift(
        self, spec: ModelSpec, manifest: Manifest, before: Profile, now: Profile, window: Window, alpha: float
    ) -> DriftReport:
        """Feature by feature and, where the spec wants it and there are rows, all of them together."""
        if not spec.drift.joint:
            return judge(before, now, None, policy=spec.drift, alpha=alpha)
        known, rows = sampling.kept(self._data, manifest), sampling.sampled(self._data, manifest, *window)
        if not known:
            sampling.keep(self._data, manifest, rows)
        both = (known, rows) if known and known.keys() == rows.keys() else None
        return judge(before, now, both, policy=spec.drift, alpha=alpha)


def summary(look: Look) -> str:
    """The verdict in a sentence."""
    if look.drift is None or look.profile is None:
        return look.reason
    names = look.drifted
    if names:
        more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
        return f"Drifted: {', '.join(names[:SHOWN_NAMES])}{more}."
    rows = (*look.drift.by_feature(), *look.drift.by_output())
    unsure = [row for row in rows if row.verdict == "not enough data"]
    if not unsure:
        return f"{look.profile.rows} rows show no change beyond the tolerance."
    return f"{look.profile.rows} rows are not enough for a verdict on {len(unsure)} of {len(rows)}: {unsure[0].reason}."


def features(look: Look) -> list[Document]:
    """One entry per input and answer: the verdict on it, and the bars to draw."""
    if look.drift is None:
        return []
    return [*_entries("input", look.drift.by_feature(), look), *_entries("output", look.drift.by_output(), look)]


def _entries(side: str, rows: Sequence[Row], look: Look) -> Iterator[Document]:
    assert look.reference.profile is not None
    assert look.profile is not None
    parts = "features" if side == "input" else "outputs"
    for row in rows:
        if row.aspect == "joint":
            yield {**row.to_document(), **NO_BARS, "side": side}
            continue
        before = getattr(look.reference.profile, parts)[row.name]
        now = getattr(look.profile, parts)[row.name]
        drawn = bars(before, now)
        yield row.to_document() | {
            "side": side,
            "kind": before.layout.kind,
            "labels": drawn.labels,
            "reference": drawn.reference,
            "current": drawn.current,
            "missing": {"reference": missing_share(before), "current": missing_share(now)},
            "unseen": unseen_share(now),
            "mean": {"reference": before.mean, "current": now.mean},
        }


def traffic(profile: Profile | None) -> Document:
    """Requests, errors and latency; all of them 0 or null without traffic."""
    if profile is None:
        return {"requests": 0, "rows": 0, "errors": 0, "error_rate": None, "latency_ms": _latency(None)}
    return {
        "requests": profile.requests,
        "rows": profile.rows,
        "errors": profile.errors,
        "error_rate": profile.errors / profile.requests if profile.requests else None,
        "latency_ms": _latency(profile),
    }


def versions(looks: Sequence[Look], release: Release) -> list[Document]:
    """A line per version that answered."""
    return [
        traffic(look.profile)
        | {
            "version": look.manifest.version,
            "roles": [name for name in LABELS if getattr(release, name) == look.manifest.version],
            "verdict": look.verdict,
            "drifted": look.drifted,
            "reason": look.reason,
        }
        for look in looks
    ]


def _latency(profile: Profile | None) -> dict[str, float | None]:
    shares: Mapping[str, float] = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
    return {name: None if profile is None else profile.latency_quantile(share) for name, share in shares.items()}


def moment(at: float) -> str:
    return rfc3339(int(at * 1000))
