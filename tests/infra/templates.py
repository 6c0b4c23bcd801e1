"""Synthesised templates as plain values, without CDK's hashed names."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

HASH = re.compile(r"[0-9A-F]{8}(?:[0-9a-f]{32})?$")


@dataclass(frozen=True)
class Resource:
    """`name` is the logical id without its hash; references in `properties` read `${name}` or `${name.Attribute}`."""

    name: str
    type: str
    properties: dict[str, Any]
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Stacks:
    """What one stage consists of, over all its stacks."""

    folder: Path
    stage: str
    resources: tuple[Resource, ...]
    outputs: dict[str, dict[str, Any]]

    @classmethod
    def read(cls, folder: Path, stage: str) -> "Stacks":
        templates = {
            file.name.removesuffix(".template.json"): json.loads(file.read_text())
            for file in sorted(folder.glob("*.template.json"))
        }
        exports = {
            output["Export"]["Name"]: output["Value"]
            for template in templates.values()
            for output in template.get("Outputs", {}).values()
            if "Export" in output
        }
        return cls(
            folder=folder,
            stage=stage,
            resources=tuple(
                Resource(
                    name=HASH.sub("", key),
                    type=entry["Type"],
                    properties=plain(entry.get("Properties", {}), exports),
                    attributes=plain({name: entry[name] for name in entry if name != "Properties"}, exports),
                )
                for template in templates.values()
                for key, entry in template["Resources"].items()
            ),
            outputs={
                name: {key: plain(output["Value"], exports) for key, output in template.get("Outputs", {}).items()}
                for name, template in templates.items()
            },
        )

    def all(self, kind: str) -> dict[str, dict[str, Any]]:
        """Properties of the resources of a type such as `S3::Bucket`, by name."""
        return {found.name: found.properties for found in self._of(kind)}

    def one(self, kind: str, name: str | None = None) -> dict[str, Any]:
        found = [entry for entry in self._of(kind) if name is None or entry.name == name]
        assert len(found) == 1, f"{len(found)} of {kind} {name}: {[entry.name for entry in self._of(kind)]}"
        return found[0].properties

    def attributes(self, kind: str) -> dict[str, dict[str, Any]]:
        return {found.name: found.attributes for found in self._of(kind)}

    def _of(self, kind: str) -> Iterator[Resource]:
        return (entry for entry in self.resources if entry.type == f"AWS::{kind}")


def plain(value: Any, exports: dict[str, Any]) -> Any:
    """The value with CloudFormation's functions written out as text."""
    if isinstance(value, list):
        return [plain(entry, exports) for entry in value]
    if not isinstance(value, dict):
        return value
    match list(value.items()):
        case [("Ref", str(name))]:
            return f"${{{HASH.sub('', name)}}}"
        case [("Fn::GetAtt", [str(name), str(attribute)])]:
            return f"${{{HASH.sub('', name)}.{attribute}}}"
        case [("Fn::ImportValue", str(name))]:
            return plain(exports[name], exports)
        case [("Fn::Select", [int(index), {"Fn::Split": [str(separator), whole]}])]:
            return f"{plain(whole, exports)}[{separator}{index}]"
        case [("Fn::Join", [str(separator), list(parts)])]:
            return separator.join(cast(list[str], plain(parts, exports)))
        case [("Fn::FindInMap", [str(name), key, str(attribute)])]:
            return f"${{{name}[{plain(key, exports)}].{attribute}}}"
        case [("Fn::Sub", str(text))]:
            return text
    return {key: plain(entry, exports) for key, entry in value.items()}
