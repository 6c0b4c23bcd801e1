"""The step that orders training jobs, one after the other, and takes in what they leave.

It is looked at again after each job: what a job left says that it is done. A job reads an upload by its name alone, so
the step makes sure that it is still the version that the run is about.
"""

import hashlib
from collections.abc import Iterator
from posixpath import basename, dirname
from tarfile import TarError, TarInfo
from tarfile import open as open_tar
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import orjson

from functions.retraining import pipeline
from functions.retraining.job.request import OUTCOME, Request, Told
from functions.retraining.work import Job, Outcome, Refused, keep, read
from lastmile.errors import NotFound

if TYPE_CHECKING:
    from functions.retraining.table import Table

HELD_SECONDS = 5 * 86_400.0  # jobs may take as long; the model is free sooner when the execution ends
MOST_ORDERS = 3  # of one job: each has succeeded, and left nothing
LARGEST_MEMBER = 1 << 30
LEFT = ("training.bin", "held-out.bin", "answers.bin", "trained.onnx", "encoding.json")
BOOSTER = "xgboost-model"  # as AWS's container names it


def order(job: Job) -> Outcome:
    if "train" in job.run.steps:
        return Outcome()
    _check_upload(job)
    boosted = _is_boosted(job)
    stage = "prepare" if boosted else "train"
    archive = _archive(job, stage)
    if archive is None:
        return _ordered(job, stage, {"stage": stage})
    facts = dict(_taken_in(job, archive).facts)
    if boosted:
        prepared, archive = facts.pop("prepare"), _archive(job, "boost")
        if archive is None:
            return _ordered(job, "boost", prepared["hyperparameters"])
        facts["train"] = _converted(job, archive, prepared)
    _note(job, facts)
    return Outcome()


def _is_boosted(job: Job) -> bool:
    from functions.retraining.recipes import load

    return bool(getattr(load(job.spec), "outside", False))


def _check_upload(job: Job) -> None:
    upload = job.run.upload
    try:
        version = job.desk.data.stat(upload.key).version
    except NotFound:
        raise Refused("the upload is no longer there", "Upload the data again.") from None
    if version != upload.version:
        raise Refused("the upload has been replaced by a newer one", "Nothing: the newer one has a run of its own.")


def _archive(job: Job, stage: str) -> str | None:
    """What SageMaker made of the job's folder, where it has ended well."""
    found = [path for path in job.desk.data.list(job.run.path(f"jobs/{stage}")) if basename(path) == "model.tar.gz"]
    return max(found, default=None)


def _ordered(job: Job, stage: str, told: dict[str, str]) -> Outcome:
    data, run = job.desk.data, job.run
    before: dict[str, int] = run.waits.get("order", {})
    times = before.get(stage, 0) + 1
    if times > MOST_ORDERS:
        raise Refused(f"the training job '{stage}' has ended without a result", "Look at its log in CloudWatch.")
    job.desk.leases.hold(run, seconds=HELD_SECONDS)
    folder = run.path("jobs")
    data.put(f"{folder}/request.json", Request(run, job.spec).to_bytes())
    # https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_S3DataSource.html: a prefix would match more.
    place = f"{job.desk.jobs}/{dirname(run.upload.key)}/"
    data.put(f"{folder}/upload.manifest", orjson.dumps([{"prefix": place}, basename(run.upload.key)]))
    execution = hashlib.sha256(run.execution.encode()).hexdigest()[:6]
    what = {
        "name": f"{run.id}-{stage}-{execution}{times}",
        "stage": stage,
        "request": f"{folder}/request.json",
        "upload": run.upload.key,
        "manifest": f"{folder}/upload.manifest",
        "shards": f"{folder}/shards",
        "output": f"{folder}/{stage}",
        "hyperparameters": told,
    }
    name = "boost" if stage == "boost" else "job"
    return Outcome(name, remember={**before, stage: times}, job=what)


def _taken_in(job: Job, archive: str) -> Told:
    """Everything that a step would have left, and nothing else; raises Refused with the job's own reason."""
    told = None
    for member, data in _members(job, archive):
        if member == OUTCOME:
            told = Told.from_bytes(data)
        elif member in _expected(job):
            job.desk.data.put(member, data)
    if told is None:
        raise Refused("the training job left no outcome", "Look at its log in CloudWatch.")
    if told.problem is not None:
        raise Refused(told.problem["reason"], told.problem["advice"])
    return told


def _expected(job: Job) -> set[str]:
    model, run = job.run.model, job.run.id
    reports = {f"reports/{model}/data/{run}.{kind}" for kind in ("json", "html")}
    return {*map(job.run.path, LEFT), *reports, f"quarantine/training/{model}/{run}.jsonl"}


def _members(job: Job, archive: str) -> Iterator[tuple[str, bytes]]:
    with TemporaryFile() as file:
        job.desk.data.fetch(archive, file)
        file.seek(0)
        try:
            with open_tar(fileobj=file, mode="r:gz") as tar:
                for member in filter(TarInfo.isfile, tar):
                    if member.size > LARGEST_MEMBER:
                        raise Refused(f"{member.name} of the training job is too large", "Train on fewer rows.")
                    content = tar.extractfile(member)
                    assert content is not None
                    yield member.name.removeprefix("./"), content.read()
        except TarError as error:
            raise Refused(f"the training job's model.tar.gz cannot be read: {error}", "Repeat the run.") from error


def _converted(job: Job, archive: str, prepared: dict[str, Any]) -> dict[str, Any]:
    """The booster as a graph, and what it answers: as the step `train` leaves them."""
    from functions.retraining.answers import Remembered
    from functions.retraining.recipes import feeding, probing, xgboost
    from functions.retraining.recipes.booster import Booster
    from functions.retraining.recipes.encoding import Encoding
    from functions.retraining.recipes.split import training_of

    model = next((data for name, data in _members(job, archive) if name == BOOSTER), None)
    if model is None:
        raise Refused(f"the training job left no file {BOOSTER}", "Look at its log in CloudWatch.")
    spec, seed = job.spec, training_of(job.spec).seed
    training, unseen = _table(job, "training.bin"), _table(job, "held-out.bin")
    known = {name: tuple(texts) for name, texts in orjson.loads(read(job, "encoding.json"))["categories"].items()}
    feeds = feeding.feeds(training, spec.inputs)
    encoding = Encoding.known(spec.inputs, known, xgboost.Options.read(spec).derived)
    fitted = xgboost.Boosted(spec, encoding, Booster.read(model), probing.background(feeds, seed))
    asked = [xgboost.examples(unseen, spec, training=training).feeds]
    keep(job, "answers.bin", Remembered.of(fitted, seed=seed, asked=asked).to_bytes())
    keep(job, "trained.onnx", fitted.onnx)
    return {
        "training_rows": prepared["training_rows"],
        "held_out_rows": prepared["held_out_rows"],
        "shards": prepared["shards"],
        "bytes": len(fitted.onnx),
        "sha256": hashlib.sha256(fitted.onnx).hexdigest(),
    }


def _table(job: Job, name: str) -> "Table":
    from functions.retraining.table import Table

    return Table.from_bytes(read(job, name))


def _note(job: Job, facts: dict[str, dict[str, Any]]) -> None:
    """The steps that jobs have done, as if they had been done here."""
    now = job.desk.clock()
    outcomes = {"validate": pipeline.BEYOND, "train": pipeline.DONE}
    done = {name: {"at": now, "outcome": outcomes[name], "facts": found} for name, found in facts.items()}
    job.write(steps={**job.run.steps, **done})
