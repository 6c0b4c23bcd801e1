"""A run becomes one version: with its card, its certificate and its profile, and a lineage that names the run."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from functions.retraining.work import Job, Outcome, read
from lastmile.manifest import Manifest
from lastmile.store import AlreadyExists


def register(job: Job) -> Outcome:
    """Push what the earlier steps made. Repeated, it finds the version that it registered, or goes on with it."""
    manifest = _registered(job) or _pushed(job)
    job.desk.leases.hold(job.run, registered=job.run.upload)
    return Outcome(facts={"version": manifest.version, "sha256": manifest.artefact.sha256}, version=manifest.version)


def _registered(job: Job) -> Manifest | None:
    """The version of this very run, among those that came since it began."""
    registry, latest = job.desk.registry, job.run.found("claim")["latest"]
    release = registry.release(job.run.model)
    newer = release.latest - latest
    if newer <= 0:
        return None
    found = registry.versions(job.run.model, limit=newer, release=release)
    mine = (one for one in found if one.version > latest and one.lineage.get("run") == job.run.id)
    return next(mine, None)


def _pushed(job: Job) -> Manifest:
    from lastmile.artefact import inspect
    from lastmile.model import OnnxModel

    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(read(job, job.run.found("compress")["file"]))
        data = inspect(path)
    model = OnnxModel.open(data, threads=1)
    evaluation = orjson.loads(read(job, "evaluation.json"))
    return job.desk.registry.push(
        job.spec,
        data,
        signature=model.signature,
        actor=job.actor,
        why=f"trained on {job.run.upload.key}",
        metrics=job.run.found("evaluate")["metrics"],
        lineage=_lineage(job),
        compression=job.run.found("compress")["table"],
        files={name: _once(job, name, make) for name, make in _files(job, model, evaluation).items()},
    )


def _lineage(job: Job) -> dict[str, Any]:
    upload, validated = job.run.upload, job.run.found("validate")
    data = {"key": upload.key, "version": upload.version, "sha256": validated["sha256"], "rows": validated["rows"]}
    return {"run": job.run.id, "data": data, "parent": job.run.found("evaluate")["champion"]} | job.desk.code


def _once(job: Job, name: str, make: Callable[[], bytes]) -> bytes:
    """The first that was made: a repeated push must bring the same files."""
    try:
        data = make()
        job.desk.data.create(job.run.path(f"files/{name}"), data)
    except AlreadyExists:
        return read(job, f"files/{name}")
    return data
