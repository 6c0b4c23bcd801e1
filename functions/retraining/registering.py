"""A run becomes one version: with its card, its certificate and its profile, and a lineage that names the run."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from functions.retraining.work import Job, Outcome, exists, read
from lastmile.manifest import Manifest
from lastmile.store import AlreadyExists

if TYPE_CHECKING:
    from lastmile.model import OnnxModel


CARD = ("card.md", "card.html")


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

    compressed = job.run.found("compress")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(read(job, compressed["file"]))
        data = inspect(path)
    model = OnnxModel.open(data, threads=job.desk.threads)
    heavy = _heavy(job)
    return job.desk.registry.push(
        job.spec,
        data,
        signature=model.signature,
        actor=job.actor,
        why=f"trained on {job.run.upload.key}",
        metrics=compressed["metrics"],
        lineage=_lineage(job),
        compression=compressed["table"] | heavy.facts,
        files={**_files(job, model), **heavy.files},
    )


class Heavy(NamedTuple):
    """The side of the version that runs on an endpoint, where the spec wants one, and what the manifest tells of it."""

    files: dict[str, bytes]
    facts: dict[str, Any]


def _heavy(job: Job) -> Heavy:
    """The graph as it was trained and certified; beside it stands the one that was made smaller."""
    if job.spec.heavy is None:
        return Heavy({}, {})
    from lastmile.heavy.making import loadable, package
    from lastmile.heavy.packaging import PACKAGE
    from lastmile.model import OnnxModel

    onnx = loadable(read(job, "trained.onnx"), "the trained graph")
    files = {PACKAGE: package(onnx, job.spec, OnnxModel.open(onnx, threads=job.desk.threads))}
    facts = {"precision": job.spec.heavy.precision, "bytes": len(onnx)}
    return Heavy(files, {"heavy": facts | {"metrics": job.run.found("evaluate")["metrics"]}})


def _files(job: Job, model: "OnnxModel") -> dict[str, bytes]:
    """What is kept with the version; a repeated push brings the same bytes."""
    return {
        **_card(job),
        "certificate.json": read(job, job.run.found("certify")["certificate"]),
        "evaluation.json": read(job, job.run.found("compress")["evaluation"]),
        "profile.json": _once(job, "profile.json", lambda: _profile(job, model)),
    }


def _card(job: Job) -> dict[str, bytes]:
    """What the version is for, how good it is and where it comes from, for people."""
    if all(exists(job, name) for name in CARD):
        return {name: read(job, name) for name in CARD}
    from functions.retraining.card import Facts, card
    from functions.retraining.evaluation import Evaluation

    compressed = job.run.found("compress")
    facts = Facts(
        spec=job.spec,
        evaluation=Evaluation.from_document(orjson.loads(read(job, compressed["evaluation"]))),
        gates=compressed["gates"],
        data=orjson.loads(job.desk.data.get(job.run.found("validate")["report"]).data),
        compression=compressed["table"],
        certificate=orjson.loads(read(job, job.run.found("certify")["certificate"])),
        lineage=_lineage(job),
    )
    return {name: _once(job, name, text.encode) for name, text in zip(CARD, card(facts), strict=True)}


def _profile(job: Job, model: "OnnxModel") -> bytes:
    """What the held-out rows look like, and what the version answers: the reference that drift is measured from."""
    from functions.retraining.evaluation import answers
    from functions.retraining.steps import held_out
    from lastmile.profile import reference

    spec = job.spec
    rows = held_out(job, spec)
    signature, outputs = spec.signature(model.signature), answers(model, rows.feeds)
    profile = reference(signature, spec.task, rows.feeds, outputs, features=spec.features, truth=rows.truth)
    return orjson.dumps(profile.to_document(), option=orjson.OPT_SERIALIZE_NUMPY)


def _lineage(job: Job) -> dict[str, Any]:
    upload, validated = job.run.upload, job.run.found("validate")
    data = {"key": upload.key, "version": upload.version, "sha256": validated["sha256"], "rows": validated["rows"]}
    lineage = {"run": job.run.id, "data": data, "parent": job.run.found("evaluate")["champion"]}
    return lineage | ({"code": job.desk.code} if job.desk.code else {})


def _once(job: Job, name: str, make: Callable[[], bytes]) -> bytes:
    """The first that was made: a repeated push must bring the same files."""
    if exists(job, name):
        return read(job, name)
    try:
        data = make()
        job.desk.data.create(job.run.path(name), data)
    except AlreadyExists:
        return read(job, name)
    return data
