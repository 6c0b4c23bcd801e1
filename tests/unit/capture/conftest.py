"""A deployment of the capture function in memory, with the model of the recorded delivery."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from functions.capture.door import Door
from lastmile.bus import Bus, Entry
from lastmile.keeping import Keeper
from lastmile.registry import Registry
from lastmile.spec import ModelSpec
from lastmile.store import Store
from lastmile.tensors import Signature, TensorSpec

EVENTS = Path(__file__).parents[3] / "events"
SIGNATURE = Signature(
    (TensorSpec("image", "FP32", (-1, 64)),),
    (TensorSpec("label", "INT64", (-1,)), TensorSpec("probabilities", "FP32", (-1, 10))),
)


class Broker:
    """EventBridge, as far as it is used: refuses the events whose turn is in `refuses`."""

    def __init__(self) -> None:
        self.asked = 0
        self.refuses: set[int] = set()
        self.taken: list[Entry] = []
        self.sizes: list[int] = []

    def put_events(self, *, Entries: list[Entry]) -> Mapping[str, Any]:
        self.sizes.append(len(Entries))
        results = []
        for entry in Entries:
            refused = self.asked in self.refuses
            self.asked += 1
            if not refused:
                self.taken.append(entry)
            results.append(
                {"ErrorCode": "InternalFailure", "ErrorMessage": "try again"} if refused else {"EventId": "1"}
            )
        return {"FailedEntryCount": len([one for one in results if "ErrorCode" in one]), "Entries": results}

    @property
    def details(self) -> list[dict[str, Any]]:
        return [json.loads(entry["Detail"]) for entry in self.taken]


class World:
    def __init__(self) -> None:
        self.data = Store.open("memory://", environ={})
        self.bus = Broker()
        self.lines: list[str] = []
        registry = Registry(Store.open("memory://", environ={}))
        registry.push(
            ModelSpec("digits", "classification", "Which digit?", SIGNATURE.inputs, SIGNATURE.outputs),
            b"the file",
            signature=SIGNATURE,
            actor="ann",
            why="because",
            metrics={},
            lineage={},
            compression={},
        )
        bus = Bus("default", connect=lambda: self.bus, pause=lambda seconds: None)
        self.door = Door(Keeper(registry, self.data), bus, stage="dev", write=self.lines.append, clock=lambda: 1.8e9)

    def paths(self) -> list[str]:
        return sorted(path for prefix in ("captures", "profiles", "quarantine") for path in self.data.list(prefix))


def recorded(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EVENTS / f"capture-{name}.json").read_text())
    return event


@pytest.fixture
def world() -> World:
    return World()
