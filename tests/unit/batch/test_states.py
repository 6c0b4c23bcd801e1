"""The state machine of a batch with transform jobs, gone through state by state: what it passes on is what the function
asks for, and what it branches on is what the function says."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from functions.batch.desk import Transforms
from infra.batch_states import Machine
from lastmile.batches import Batch
from lastmile.registry import Registry
from lastmile.store import Store
from tests.unit.batch.test_heavy import BAD, FAULT, MACHINES, PART, ROWS, Answers, World, at_fault, check

type Document = dict[str, Any]

DEFINITION = Machine("function", "data", "aws", 2, {"ModelName.$": "$.asking.order.name"},
                     {"ModelName.$": "$.asking.order.name"}).definition()  # fmt: skip
ALL: Answers = lambda name, x: True  # noqa: E731


class TransformFailed(Exception):
    pass


@dataclass
class Walk:
    """`jobs` are the transform jobs' behaviours, first to last."""

    world: World
    jobs: list[Answers]
    seen: list[str] = field(default_factory=list)

    def run(self, batch: Batch, attempt: str) -> str:
        """The name of the state at its end."""
        document: Document = {"job": {"model": batch.model, "id": batch.id}}
        return self._through(DEFINITION, document, {"Execution": {"Name": attempt}}, batch)

    def _through(self, machine: Document, document: Document, context: Document, batch: Batch) -> str:
        name = machine["StartAt"]
        while True:
            self.seen.append(name)
            state = machine["States"][name]
            if state["Type"] in ("Succeed", "Fail"):
                return str(name)
            if state["Type"] == "Choice":
                name = chosen(state, document)
                continue
            try:
                told = self._does(state, document, context, batch)
            except TransformFailed as error:
                (catch,) = state["Catch"]
                put(document, catch["ResultPath"], {"Error": type(error).__name__, "Cause": str(error)})
                name = catch["Next"]
                continue
            if "ResultSelector" in state:
                told = filled(state["ResultSelector"], told, context)
            put(document, state.get("ResultPath", "$.out"), told)
            if state.get("End"):
                return str(name)
            name = state["Next"]

    def _does(self, state: Document, document: Document, context: Document, batch: Batch) -> Any:
        if state["Type"] == "Map":
            reader = filled(state["ItemReader"]["Parameters"], document, context)
            items = orjson.loads(self.world.data.get(reader["Key"]).data)
            for item in items:
                inner = context | {"Map": {"Item": {"Value": item}}}
                self._through(state["ItemProcessor"], filled(state["ItemSelector"], document, inner), context, batch)
            return []
        given = filled(state["Parameters"], document, context)
        match state["Resource"].rpartition(":")[2]:
            case "invoke":
                return {"Payload": self.world.door(given["Payload"])}
            case "createTransformJob.sync":
                refused: list[str] = []
                order = document["asking"]["order"]
                assert given["ModelName"] == order["name"]
                self.world.transformed(batch, order, answers=noting(self.jobs.pop(0), refused))
                if refused:
                    raise TransformFailed("a request has failed")
        return {}


def noting(answers: Answers, refused: list[str]) -> Answers:
    def asked(name: str, x: np.ndarray) -> bool:
        fine = answers(name, x)
        refused.extend([] if fine else [name])
        return fine

    return asked


def filled(template: Document, document: Document, context: Document) -> Document:
    """A KeyError where a path leads nowhere, as Step Functions fails there."""
    found = {}
    for key, value in template.items():
        if isinstance(value, dict):
            found[key] = filled(value, document, context)
        elif key.endswith(".$"):
            place = context if value.startswith("$$") else document
            for step in value.lstrip("$").removeprefix(".").split("."):
                place = place[step]
            found[key.removesuffix(".$")] = place
        else:
            found[key] = value
    return found


def chosen(state: Document, document: Document) -> str:
    for choice in state["Choices"]:
        keys = choice["Variable"].removeprefix("$.").split(".")
        value: Any = document
        for key in keys:
            value = value.get(key) if "IsPresent" in choice and isinstance(value, dict) else value[key]
        wanted = choice.get("StringEquals", choice.get("BooleanEquals"))
        if value is not None if "IsPresent" in choice else value == wanted:
            return str(choice["Next"])
    return str(state["Default"])


def put(document: Document, path: str, told: Any) -> None:
    document[path.removeprefix("$.")] = told


@pytest.fixture
def world(sided_place: Path, tmp_path: Path) -> World:
    registry = Registry(Store.open(sided_place.as_uri(), environ={}))
    return World(registry, tmp_path, transforms=Transforms("test", "s3://artifacts", MACHINES))


def test_a_job_that_answers_everything_is_the_only_one(world: World) -> None:
    batch, walk = world.job("alone"), Walk(world, [ALL])
    assert walk.run(batch, "a-1") == "over"
    assert walk.jobs == []
    assert walk.seen.count("slices") == 1
    check(world.table(batch), "alone")


def test_a_row_that_breaks_its_request_costs_one_more_job_and_no_other_row(world: World) -> None:
    batch, walk = world.job("alone"), Walk(world, [lambda name, x: not at_fault(x)] * 2)
    assert walk.run(batch, "a-1") == "over"
    assert walk.jobs == []
    assert walk.seen.count("again") == 1
    bad = [row["row"] for row in world.table(batch).to_pylist() if row["error"]]
    assert bad == [BAD + 1, FAULT + 1]


@pytest.mark.parametrize("jobs", [[lambda name, x: False], [lambda name, x: not at_fault(x), lambda name, x: False]])
def test_a_job_that_fails_as_a_whole_is_told_and_what_it_left_is_done_the_next_time(
    world: World, jobs: list[Answers]
) -> None:
    batch, walk = world.job("alone"), Walk(world, list(jobs))
    assert walk.run(batch, "a-1") == "broken"
    assert walk.jobs == []
    report = world.batches.document(batch, "report.json")
    assert (report["state"], report["reason"]) == ("incomplete", "a request has failed")
    assert report["missing_rows"] == (ROWS if len(jobs) == 1 else PART)
    assert Walk(world, [ALL]).run(batch, "a-2") == "over"
    check(world.table(batch), "alone")
