"""What a version's predictions are compared with: the profile that came with it, else its own first traffic."""

from dataclasses import dataclass

import orjson

from functions.drift.records import encoded
from lastmile.audit import rfc3339
from lastmile.errors import NotFound, ProfileMismatch
from lastmile.manifest import Manifest
from lastmile.profile import Profile
from lastmile.registry import Registry
from lastmile.store import AlreadyExists, Store

FILE = "profile.json"
FEWEST_ROWS = 200  # of traffic that is taken as the reference


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """`profile` is None while there is none; `kind` is "version", "first window" or "none"."""

    profile: Profile | None
    kind: str
    sentence: str


class References:
    def __init__(self, registry: Registry, store: Store) -> None:
        self._registry = registry
        self._store = store

    def of(self, manifest: Manifest) -> Reference:
        """What there is already. Raises ProfileMismatch or InvalidArtefact for one that cannot be used."""
        try:
            data = self._registry.file(manifest, FILE)
            sentence = f"compared with the reference profile of version {manifest.version}"
            return Reference(_read(data), "version", sentence)
        except NotFound:
            pass
        try:
            return _taken(_read(self._store.get(_path(manifest)).data), manifest)
        except NotFound:
            return Reference(None, "none", f"version {manifest.version} came without a reference profile")

    def take(self, manifest: Manifest, profile: Profile) -> Reference:
        """This traffic becomes the version's reference, unless another check was faster or it is too little."""
        if profile.rows < FEWEST_ROWS:
            sentence = (
                f"version {manifest.version} came without a reference profile, and {profile.rows} rows are too few to "
                f"become one ({FEWEST_ROWS} are needed)"
            )
            return Reference(None, "none", sentence)
        try:
            self._store.create(_path(manifest), encoded(profile.to_document()))
        except AlreadyExists:
            return self.of(manifest)
        return Reference(None, "first window", f"{_taken(profile, manifest).sentence}, which has just been taken")


def _path(manifest: Manifest) -> str:
    return f"reports/{manifest.model}/drift/reference-{manifest.version}.json"


def _read(data: bytes) -> Profile:
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise ProfileMismatch("the reference profile is no JSON") from None
    if not isinstance(document, dict):
        raise ProfileMismatch("the reference profile is no object")
    return Profile.from_document(document)


def _taken(profile: Profile, manifest: Manifest) -> Reference:
    since = "" if profile.first_at is None else f" from {rfc3339(int(profile.first_at * 1000))[:16]}"
    sentence = f"compared with the first traffic of version {manifest.version} ({profile.rows} rows{since})"
    return Reference(profile, "first window", sentence)
