"""The heavy steps as they are, from a file to a certificate, and what a refusal leaves to be read."""

from dataclasses import replace
from typing import Any

import orjson

from functions.retraining import steps
from functions.retraining.door import ACTS, Door
from functions.retraining.work import Act, Job, Outcome, keep, read
from lastmile.policies import Gate
from lastmile.spec import ModelSpec
from tests.unit.retraining.pipelines import Place
from tests.unit.retraining.recipes.examples import classified, rows
from tests.unit.retraining.test_certificate import altered_tree, threshold_of

KEY = "training/example/may.csv"


def wanted(*gates: Gate, **more: Any) -> ModelSpec:
    return replace(classified(compression={"candidates": ["optimised"]}, **more), gates=gates)


def placed(spec: ModelSpec) -> tuple[Place, Door]:
    """A place with data to learn from, and the door with its real steps."""
    place = Place(spec)
    table = rows(400)
    lines = (",".join(map(str, row)).replace("nan", "") for row in zip(*table.columns.values(), strict=True))
    place.data.put(KEY, "\n".join((",".join(table.columns), *lines)).encode())
    door = place.door()
    door.acts = dict(ACTS)
    return place, door


def altered(act: Act) -> Act:
    """A conversion that went wrong in one number."""

    def train(job: Job) -> Outcome:
        outcome = act(job)
        model = read(job, "trained.onnx")
        keep(job, "trained.onnx", altered_tree(model, "nodes_values", threshold_of(model), lambda value: value + 0.5))
        return outcome

    return train


def test_from_a_file_to_a_version() -> None:
    place, door = placed(wanted())
    run = place.run(KEY, door=door)
    assert run.state == "promoted", run.problem
    manifest = place.registry.manifest("example", 1)
    assert [row["name"] for row in manifest.compression["candidates"]] == ["fp32", "optimised"]
    assert manifest.metrics["accuracy"] > 0.7
    certificate = orjson.loads(place.registry.file(manifest, "certificate.json"))
    assert all(found["beyond"] == 0 for found in certificate["compared"])


def test_an_altered_conversion_is_refused_and_everything_that_was_measured_is_kept() -> None:
    place, door = placed(wanted())
    door.acts = {**door.acts, "train": altered(steps.train)}
    run = place.run(KEY, door=door)
    assert run.problem is not None
    assert (run.state, run.problem["step"]) == ("refused", "certify")
    assert "Lower no tolerance lightly" in run.problem["advice"]
    facts = place.report(run)["steps"]
    assert facts["compress"]["facts"]["table"]["candidates"][0]["name"] == "fp32"
    assert facts["certify"]["facts"]["largest_difference"] > 1e-4
    certificate = orjson.loads(place.data.get(run.path("certificate.json")).data)
    assert any(found["beyond"] for found in certificate["compared"])
    assert place.registry.release("example").latest == 0


def test_what_does_not_pass_its_gates_is_refused_with_every_metric_and_gate() -> None:
    place, door = placed(wanted(Gate("accuracy", at_least=0.5), Gate("auc", at_least=0.9999)))
    run = place.run(KEY, door=door)
    assert run.problem is not None
    assert (run.state, run.problem["step"]) == ("refused", "evaluate")
    facts = place.report(run)["steps"]["evaluate"]["facts"]
    assert [gate["passed"] for gate in facts["gates"]] == [True, False]
    assert facts["metrics"]["auc"] > 0.8
    page = place.data.get(f"reports/example/run/{run.id}.html").data.decode()
    assert "at least 0.9999 is wanted" in page


def test_data_that_is_refused_leaves_its_report() -> None:
    place, door = placed(wanted())
    place.data.put(KEY, b"a,b,kind,y\n1,2,k1,\n")
    run = place.run(KEY, door=door)
    assert run.problem is not None
    assert (run.state, run.problem["step"]) == ("refused", "validate")
    facts = place.report(run)["steps"]["validate"]["facts"]
    assert (facts["bad_rows"], facts["report"]) == (1, f"reports/example/data/{run.id}.json")
    report = orjson.loads(place.data.get(facts["report"]).data)
    assert report["verdict"] == "refused"
