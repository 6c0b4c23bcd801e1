"""Which versions of heavy models get an endpoint, and what their `[heavy]` says of it.

`-c heavy=tickets:3,tickets:4` names them; the settings are those of `models/<name>/spec.toml`, unless
`-c heavy_settings={"tickets:3": {…}}` gives those that a version was registered with, as `lastmile heavy deploy` does.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

from infra.accelerators import INSTANCES, Instance
from infra.config import Stage

VERSION = re.compile(r"([a-z][a-z0-9-]{0,62}):([1-9][0-9]{0,8})")
LONGEST_NAME = 63


@dataclass(frozen=True, slots=True)
class Settings:
    """Of the spec's `[heavy]` what an endpoint needs; the library's own class has the same defaults."""

    instance: str = "ml.g5.xlarge"
    max_instances: int = 2
    concurrency: float = 8.0
    memory_mb: int = 4096
    max_batch: int = 32

    @classmethod
    def of(cls, document: Mapping[str, Any], name: str) -> "Settings":
        found = cls(**{field.name: document[field.name] for field in fields(cls) if field.name in document})
        if found.instance not in INSTANCES:
            raise SystemExit(
                f"{name}: infra/accelerators.py knows no instance {found.instance!r}, only {', '.join(INSTANCES)}."
            )
        return found


@dataclass(frozen=True, slots=True)
class HeavyVersion:
    model: str
    number: int
    settings: Settings

    @property
    def id(self) -> str:
        return f"{self.model}-v{self.number}"

    @property
    def package(self) -> str:
        """Its key in the artifacts bucket."""
        return f"models/{self.model}/versions/{self.number}/model.tar.gz"

    @property
    def instance(self) -> Instance:
        return INSTANCES[self.settings.instance]

    @property
    def most_copies(self) -> int:
        """Each has a GPU of its own."""
        return self.settings.max_instances * self.instance.gpus


def chosen(named: str | None, settings: str | None, *, models: Path) -> tuple[HeavyVersion, ...]:
    """The versions that the context names; raises SystemExit with a sentence."""
    given = _given(settings)
    versions = []
    for word in (named or "").split(","):
        found = VERSION.fullmatch(word.strip())
        if found is None:
            raise SystemExit(
                f"-c heavy={named or '…'}: versions are named like tickets:3,tickets:4, and {word!r} is none."
            )
        model, number = found[1], int(found[2])
        document = given.get(word.strip()) or _declared(models / model / "spec.toml")
        versions.append(HeavyVersion(model, number, Settings.of(document, word.strip())))
    instances = {version.settings.instance for version in versions}
    if len(instances) > 1:
        raise SystemExit(
            f"Heavy models share one endpoint, and with it one kind of instance: {', '.join(sorted(instances))}."
        )
    if len({version.id for version in versions}) < len(versions):
        raise SystemExit(f"-c heavy={named}: a version is named twice.")
    return tuple(versions)


def endpoint_name(stage: Stage) -> str:
    return f"lastmile-{stage.name}-heavy"


def component_name(stage: Stage, version: HeavyVersion) -> str:
    return _short(f"lastmile-{stage.name}-{version.id}")


def asynchronous_name(stage: Stage, version: HeavyVersion) -> str:
    return _short(f"lastmile-{stage.name}-{version.id}-async")


def _short(name: str) -> str:
    """As lastmile.heavy.names says it; a test compares the two."""
    if len(name) <= LONGEST_NAME:
        return name
    head, tail = name[: LONGEST_NAME - 25], name[-15:]
    return f"{head.rstrip('-')}-{sha256(name.encode()).hexdigest()[:8]}-{tail.lstrip('-')}"


def _given(settings: str | None) -> dict[str, dict[str, Any]]:
    try:
        found = json.loads(settings or "{}")
    except ValueError as error:
        raise SystemExit(f"-c heavy_settings is no JSON: {error}.") from None
    if not isinstance(found, dict) or not all(isinstance(value, dict) for value in found.values()):
        raise SystemExit('-c heavy_settings must be like {"tickets:3": {"instance": "ml.g5.xlarge"}}.')
    return found


def _declared(path: Path) -> dict[str, Any]:
    try:
        spec = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SystemExit(f"{path} is missing: give its settings with -c heavy_settings.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SystemExit(f"{path} is no TOML: {error}.") from None
    if not isinstance(spec.get("heavy"), dict):
        raise SystemExit(f"{path} has no [heavy]: a model with a heavy side says there what its endpoint needs.")
    found: dict[str, Any] = spec["heavy"]
    return found
