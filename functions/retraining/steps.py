"""From an upload to a certified graph. Each step reads what the ones before it left, and leaves what the next needs.

What trains and measures is imported by the step that uses it: looking at a canary needs none of it.
"""

import hashlib
import posixpath
from tempfile import TemporaryFile
from typing import Any

import orjson

from functions.retraining.table import Table
from functions.retraining.work import Job, Outcome, Refused, keep, read
from lastmile.errors import NotFound
from lastmile.spec import ModelSpec


def validate(job: Job) -> Outcome:
    """Read the upload; leave a table, the bad rows, and a report."""
    from functions.retraining.data import validate as check
    from functions.retraining.recipes import load

    spec, upload = job.spec, job.run.upload
    recipe = load(spec)
    columns = getattr(recipe, "columns", None)
    with TemporaryFile() as file:
        _fetch(job, file)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        found = check(
            file,
            posixpath.basename(upload.key),
            spec,
            columns=None if columns is None else columns(spec),
            size=upload.size,
            limit=job.desk.largest_bytes,
        )
    report = f"reports/{job.run.model}/data/{job.run.id}"
    job.desk.data.put(f"{report}.json", orjson.dumps(found.report.to_document(), option=orjson.OPT_SERIALIZE_NUMPY))
    job.desk.data.put(f"{report}.html", found.report.to_html().encode())
    if found.bad_rows.total:
        quarantine = f"quarantine/training/{job.run.model}/{job.run.id}.jsonl"
        job.desk.data.put(quarantine, b"".join(found.bad_rows.to_lines()))
    table = found.table
    keep(job, "table.bin", table.to_bytes())
    facts = {"rows": table.rows, "bad_rows": found.bad_rows.total, "sha256": digest, "report": f"{report}.json"}
    return Outcome(facts=facts)


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
    training, held_out = recipe.split(_table(job, "table.bin"), spec)
    started = job.desk.clock()
    fitted = recipe.fit(training, spec)
    seconds = job.desk.clock() - started
    asked = [recipe.examples(held_out, spec, training=training).feeds]
    remembered = Remembered.of(fitted, seed=_seed(spec), asked=asked)
    keep(job, "training.bin", training.to_bytes())
    keep(job, "held-out.bin", held_out.to_bytes())
    keep(job, "answers.bin", remembered.to_bytes())
    keep(job, "trained.onnx", fitted.onnx)
    return Outcome(
        facts={
            "training_rows": training.rows,
            "held_out_rows": held_out.rows,
            "seconds": round(seconds, 3),
            "bytes": len(fitted.onnx),
            "sha256": hashlib.sha256(fitted.onnx).hexdigest(),
        }
    )


def _table(job: Job, name: str) -> Table:
    return Table.from_bytes(read(job, name))


def _seed(spec: ModelSpec) -> int:
    assert spec.training is not None
    return spec.training.seed
