"""From an upload to a certified graph. Each step reads what the ones before it left, and leaves what the next needs.

What trains and measures is imported by the step that uses it: looking at a canary needs none of it.
"""

import hashlib
import posixpath
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
import orjson

from functions.retraining import pipeline
from functions.retraining.table import Table
from functions.retraining.work import Job, Outcome, Refused, keep, read
from lastmile.errors import NotFound
from lastmile.spec import ModelSpec

if TYPE_CHECKING:
    from functions.retraining.compression import Timed
    from functions.retraining.data import Validation
    from functions.retraining.recipes.contract import Examples, Recipe


def validate(job: Job) -> Outcome:
    """Read the upload; leave a table, the bad rows, and a report. What is too large is for a training job."""
    if job.desk.jobs is not None and _is_beyond(job):
        return Outcome(pipeline.BEYOND)
    with TemporaryFile() as file:
        _fetch(job, file)
        return validated(job, file)


def _is_beyond(job: Job) -> bool:
    from functions.retraining.recipes import load

    largest = job.desk.largest_bytes
    return getattr(load(job.spec), "outside", False) or (largest is not None and job.run.upload.size > largest)


def validated(job: Job, file: IO[bytes]) -> Outcome:
    """Of the upload in this file, which may also lie in a training container."""
    from functions.retraining.data import validate as check
    from functions.retraining.recipes import load

    spec, upload = job.spec, job.run.upload
    recipe = load(spec)
    columns = getattr(recipe, "columns", None)
    digest = hashlib.file_digest(cast(Any, file), "sha256").hexdigest()
    file.seek(0)
    found = check(
        file,
        posixpath.basename(upload.key),
        spec,
        columns=None if columns is None else columns(spec),
        size=upload.size,
        limit=job.desk.largest_bytes,
    )
    facts = report_on(job, found, digest)
    if found.refusal is not None:
        raise Refused(str(found.refusal), found.refusal.advice, facts)
    keep(job, "table.bin", found.table.to_bytes())
    return Outcome(facts=facts)


def report_on(job: Job, found: "Validation", digest: str) -> dict[str, Any]:
    """Leave the report and the bad rows, whatever came of it; the facts of the step."""
    report = f"reports/{job.run.model}/data/{job.run.id}"
    job.desk.data.put(f"{report}.json", orjson.dumps(found.report.to_document(), option=orjson.OPT_SERIALIZE_NUMPY))
    job.desk.data.put(f"{report}.html", found.report.page().encode())
    if found.bad_rows.total:
        quarantine = f"quarantine/training/{job.run.model}/{job.run.id}.jsonl"
        job.desk.data.put(quarantine, b"".join(found.bad_rows.to_lines()))
    return {
        "rows": found.report.rows,
        "bad_rows": found.bad_rows.total,
        "sha256": digest,
        "report": f"{report}.json",
    }


def _fetch(job: Job, file: Any) -> None:
    """What would not fit is not even fetched: the check that follows refuses it by its size."""
    upload, largest = job.run.upload, job.desk.largest_bytes
    if largest is not None and upload.size > largest:
        return
    try:
        job.desk.data.fetch(upload.key, file, version=upload.version)
    except NotFound:
        raise Refused("the upload is no longer there", "Upload the data again.") from None
    file.seek(0)


def train(job: Job) -> Outcome:
    """Fit on the training rows; leave both parts, the graph, and what the trained object answers."""
    from functions.retraining.answers import Remembered
    from functions.retraining.recipes import load

    spec = job.spec
    recipe = load(spec)
    training, unseen = recipe.split(_table(job, "table.bin"), spec)
    started = job.desk.clock()
    fitted = recipe.fit(training, spec)
    seconds = job.desk.clock() - started
    rows = {"training_rows": training.rows, "held_out_rows": unseen.rows}
    training, unseen = (_some(table, recipe, spec, job.desk.most_cells) for table in (training, unseen))
    asked = [recipe.examples(unseen, spec, training=training).feeds]
    remembered = Remembered.of(fitted, seed=_seed(spec), asked=asked)
    keep(job, "training.bin", training.to_bytes())
    keep(job, "held-out.bin", unseen.to_bytes())
    keep(job, "answers.bin", remembered.to_bytes())
    keep(job, "trained.onnx", fitted.onnx)
    return Outcome(
        facts={
            **rows,
            "seconds": round(seconds, 3),
            "bytes": len(fitted.onnx),
            "sha256": hashlib.sha256(fitted.onnx).hexdigest(),
        }
    )


def _some(table: Table, recipe: "Recipe", spec: ModelSpec, most: int | None) -> Table:
    """At most so many values, of rows drawn by the spec's seed; all where a row's inputs come from others."""
    if most is None or table.rows * len(table.columns) <= most or getattr(recipe, "whole", False):
        return table
    rows = max(1, most // len(table.columns))
    return table.take(np.sort(np.random.default_rng(_seed(spec)).choice(table.rows, rows, replace=False)))


def evaluate(job: Job) -> Outcome:
    """Measure the graph and the champion on the held-out rows; refused when it does not pass the gates."""
    champion = job.desk.registry.release(job.run.model).champion
    facts = _evaluated(job, read(job, "trained.onnx"), champion, "evaluation.json")
    if failed := [gate["sentence"] for gate in facts["gates"] if not gate["passed"]]:
        raise Refused(
            f"{len(failed)} of {len(facts['gates'])} gates are not passed: {'; '.join(failed)}",
            "The champion goes on serving. Look at the data report; more or better rows may help, or another recipe.",
            facts,
        )
    return Outcome(facts=facts)


def _evaluated(job: Job, onnx: bytes, champion: int | None, name: str) -> dict[str, Any]:
    from functions.retraining.evaluation import Champion
    from functions.retraining.evaluation import evaluate as measure
    from functions.retraining.gates import check_gates
    from lastmile.heavy.packaging import graph_of

    spec, registry = job.spec, job.desk.registry
    serving = None
    if champion is not None:
        manifest = registry.manifest(job.run.model, champion)
        serving = Champion(champion, graph_of(manifest, registry.artefact(manifest)), manifest.signature)
    evaluation = measure(
        onnx,
        held_out(job, spec),
        _examples(job, spec, "training.bin"),
        spec.task,
        spec,
        champion=serving,
        threads=job.desk.threads,
    )
    gates = check_gates(spec.gates, evaluation)
    keep(job, name, orjson.dumps(evaluation.to_document(), option=orjson.OPT_SERIALIZE_NUMPY))
    return {
        "champion": champion,
        "metrics": {metric: measured.value for metric, measured in evaluation.metrics.items()},
        "gates": [gate.to_document() for gate in gates],
        "evaluation": name,
    }


def compress(job: Job, *, timed: "Timed | None" = None) -> Outcome:
    """Try smaller and faster graphs on the held-out rows; leave the adopted one, and all that was measured. `timed` is
    as compression has it."""
    from functions.retraining.compression import compress as tried

    spec, trained = job.spec, read(job, "trained.onnx")
    found = tried(trained, spec, held_out(job, spec), timed=timed)
    evaluated = job.run.found("evaluate")
    adopted, onnx = found.adopted, found.onnx
    if onnx != trained:
        again = _evaluated(job, onnx, evaluated["champion"], "evaluation-compressed.json")
        if all(gate["passed"] for gate in again["gates"]):
            evaluated = again
        else:
            adopted, onnx = "fp32", trained
    digest = hashlib.sha256(onnx).hexdigest()
    file = keep(job, f"{digest[:12]}.onnx", onnx)
    table = {"kind": adopted, "candidates": found.table}
    return Outcome(facts={"file": file, "sha256": digest, "bytes": len(onnx), "table": table, **evaluated})


def certify(job: Job) -> Outcome:
    """Hold the converted graph against what the trained object answered, on held-out rows and on probing ones."""
    from functions.retraining.answers import Remembered
    from functions.retraining.certificate import CertificateRefused
    from functions.retraining.certificate import certify as compare

    spec, onnx = job.spec, read(job, "trained.onnx")
    remembered = Remembered.from_bytes(onnx, read(job, "answers.bin"))
    refused: str | None = None
    try:
        report = compare(remembered, onnx, held_out(job, spec).feeds, spec)
    except CertificateRefused as refusal:
        report, refused = refusal.report, str(refusal)
    keep(job, "certificate.json", orjson.dumps(report.to_document(), option=orjson.OPT_SERIALIZE_NUMPY))
    facts = {
        "certificate": "certificate.json",
        "rows": report.rows,
        "probes": report.probes,
        "largest_difference": max((found.largest_difference for found in report.compared), default=0.0),
    }
    if refused is not None:
        raise Refused(refused, facts=facts)
    return Outcome(facts=facts)


def held_out(job: Job, spec: ModelSpec) -> "Examples":
    """Those that nothing was learnt from."""
    return _examples(job, spec, "held-out.bin")


def _examples(job: Job, spec: ModelSpec, name: str) -> "Examples":
    from functions.retraining.recipes import load

    training = _table(job, "training.bin")
    rows = training if name == "training.bin" else _table(job, name)
    return load(spec).examples(rows, spec, training=training)


def _table(job: Job, name: str) -> Table:
    return Table.from_bytes(read(job, name))


def _seed(spec: ModelSpec) -> int:
    assert spec.training is not None
    return spec.training.seed
