"""The one mutable object of a model, whom it lets answer, and the moves that are allowed on it: pure functions."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson

from lastmile.audit import AuditEntry, Serving
from lastmile.errors import InvalidInput, NotFound, ReleaseConflict

LABELS = ("champion", "challenger", "shadow", "previous")


@dataclass(frozen=True, slots=True)
class Release:
    """Which versions of a model serve.

    `revision` counts the moves of what serves; registering a version is none. A version is visible when it is at most
    `latest` and not in `gaps`, the numbers that were claimed by a push that never ended. `head` is the newest audit
    entry: it lives in here, so a move and its entry are one write.
    """

    model: str
    revision: int
    champion: int | None
    challenger: int | None
    weight: float
    shadow: int | None
    previous: int | None
    latest: int
    head: AuditEntry
    gaps: tuple[int, ...] = ()

    @property
    def serving(self) -> Serving:
        return Serving(self.champion, self.challenger, self.weight, self.shadow, self.previous)

    def has(self, version: object) -> bool:
        return type(version) is int and 1 <= version <= self.latest and version not in self.gaps

    def to_bytes(self) -> bytes:
        return orjson.dumps(asdict(self), option=orjson.OPT_SORT_KEYS)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Release":
        """Raises ValueError, TypeError, KeyError or AttributeError for what is none."""
        document: Mapping[str, Any] = orjson.loads(data)
        head = AuditEntry.from_document(document["head"])
        release = cls(**{**document, "head": head, "gaps": tuple(document["gaps"])})
        _check(release)
        return release


def _check(release: Release) -> None:
    """Somebody may have written it by hand."""
    for name in ("revision", "latest"):
        if type(getattr(release, name)) is not int:
            raise TypeError(f"'{name}' is {getattr(release, name)!r}, an integer is wanted")
    if not all(type(gap) is int for gap in release.gaps):
        raise TypeError("'gaps' must hold integers")
    for name in LABELS:
        version = getattr(release, name)
        if not (version is None or release.has(version)):
            raise ValueError(f"'{name}' is {version!r}, which is no version of the model")
    if not (type(release.weight) in (int, float) and 0 <= release.weight <= 1):
        raise ValueError(f"'weight' is {release.weight!r}, a number from 0 to 1 is wanted")


def choose(release: Release, routing_key: str | None) -> tuple[int | None, str]:
    """Champion or challenger: a key always falls on the same side, and raising the weight moves nobody back.

    Without a key each request draws afresh.
    """
    if release.challenger is None or release.weight <= 0.0:
        return release.champion, "champion"
    if routing_key is None:
        drawn = os.urandom(8)
    else:
        salted = f"{release.model}/{release.challenger}/{routing_key}".encode()
        drawn = hashlib.blake2b(salted, digest_size=8).digest()
    if int.from_bytes(drawn) < release.weight * 2.0**64:
        return release.challenger, "challenger"
    return release.champion, "champion"


def labelled(release: Release, label: str) -> tuple[int | None, str]:
    """The version of that label, and the role it answers in. Raises NotFound for what is no label."""
    if label not in LABELS:
        raise NotFound(f"label '{label}' is none of {', '.join(LABELS)}")
    version: int | None = getattr(release, label)
    return version, "pinned" if label in ("shadow", "previous") else label


def serve(release: Release, serving: Serving) -> Release:
    return replace(release, **asdict(serving))


def promoted(release: Release, version: int) -> Release:
    """The version is champion, the old champion is previous, and a canary has come to its end."""
    if version == release.champion:
        return serve(release, replace(release.serving, challenger=None, weight=0.0))
    shadow = None if release.shadow == version else release.shadow
    return serve(release, Serving(champion=version, shadow=shadow, previous=release.champion))


def with_canary(release: Release, version: int | None, weight: float) -> Release:
    if type(weight) not in (int, float) or not 0 <= weight <= 1:
        raise InvalidInput(f"weight must be a number from 0 to 1, not {weight!r}")
    if version is None or weight == 0:
        return serve(release, replace(release.serving, challenger=None, weight=0.0))
    _check_beside_champion(release, version, "a canary")
    return serve(release, replace(release.serving, challenger=version, weight=float(weight)))


def with_shadow(release: Release, version: int | None) -> Release:
    if version is not None:
        _check_beside_champion(release, version, "a shadow")
    return serve(release, replace(release.serving, shadow=version))


def rolled_back(release: Release) -> Release:
    """A running canary is stopped; without one the previous champion returns, and there is no way further back."""
    if release.challenger is not None:
        return serve(release, replace(release.serving, challenger=None, weight=0.0))
    if release.previous is None:
        raise ReleaseConflict(f"model '{release.model}' has no canary and no previous champion to go back to")
    shadow = None if release.shadow == release.previous else release.shadow
    return serve(release, Serving(champion=release.previous, shadow=shadow))


def without(release: Release, version: int) -> Release:
    """The version serves nowhere any more."""
    if version == release.champion:
        raise ReleaseConflict(f"version {version} is the champion of model '{release.model}': promote another first")
    serving = release.serving
    if serving.challenger == version:
        serving = replace(serving, challenger=None, weight=0.0)
    return serve(
        release,
        replace(
            serving,
            shadow=None if serving.shadow == version else serving.shadow,
            previous=None if serving.previous == version else serving.previous,
        ),
    )


def registered(release: Release, version: int) -> Release:
    """The version is visible; numbers between it and the latest that nobody has registered are gaps."""
    skipped = range(release.latest + 1, version)
    gaps = tuple(number for number in (*release.gaps, *skipped) if number != version)
    return replace(release, latest=max(release.latest, version), gaps=gaps)


def _check_beside_champion(release: Release, version: int, what: str) -> None:
    if release.champion is None:
        raise ReleaseConflict(f"model '{release.model}' has no champion: promote a version before {what}")
    if version == release.champion:
        raise ReleaseConflict(f"version {version} is the champion of model '{release.model}', not {what}")
