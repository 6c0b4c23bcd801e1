"""`lastmile push`: a model file and its spec become an immutable version, or nothing at all."""

import hashlib
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.control import RegistryOption, identity, open_control, open_registry
from cli.errors import CommandFailed, sentence
from cli.output import note, print_fields, print_json, size
from cli.progress import Progress
from cli.specimen import check_is_onnx, disagreement, missing_spec
from cli.target import Options
from cli.waiting import interruptible

if TYPE_CHECKING:
    from cli.packing import HeavySide
    from lastmile.manifest import Manifest
    from lastmile.registry import Registry
    from lastmile.spec import ModelSpec
    from lastmile.tensors import Signature


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that has passed every check on this machine."""

    spec: "ModelSpec"
    data: bytes
    signature: "Signature"  # what the graph says
    sha256: str  # of the graph
    heavy: "HeavySide | None" = None

    @property
    def artefact(self) -> str:
        """What the file is called: without a light model it is the package for the endpoint."""
        from lastmile.heavy.packaging import PACKAGE
        from lastmile.shelf import MODEL_FILE

        return PACKAGE if self.heavy is not None and self.data is self.heavy.package else MODEL_FILE

    @property
    def files(self) -> dict[str, bytes]:
        """Of the version's folder, beside the artefact."""
        if self.heavy is None:
            return {}
        import orjson

        from cli.packing import CERTIFICATE
        from lastmile.heavy.packaging import PACKAGE

        certificate = self.heavy.certificate
        return ({} if self.artefact == PACKAGE else {PACKAGE: self.heavy.package}) | (
            {} if certificate is None else {CERTIFICATE: orjson.dumps(certificate, option=orjson.OPT_INDENT_2)}
        )


@dataclass(frozen=True, slots=True)
class Report:
    """What is known about the file: how good it is, what it was made from, how it was made smaller."""

    metrics: dict[str, Any]
    lineage: dict[str, Any]
    compression: dict[str, Any]


def push(
    context: typer.Context,
    *,
    model: Annotated[
        Path | None, typer.Argument(exists=True, dir_okay=False, help="The ONNX file that a function can hold.")
    ] = None,
    heavy: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="The ONNX file for the spec's GPU endpoint.")
    ] = None,
    rows: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="CSV or JSON rows that certify --heavy's fp16.")
    ] = None,
    spec: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="The model's spec.toml; without it one is proposed."),
    ] = None,
    why: Annotated[str | None, typer.Option(help="The reason, for the audit.")] = None,
    metrics: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="JSON: metrics, or a training report.")
    ] = None,
    promote: Annotated[bool, typer.Option("--promote", help="Make it the champion at once.")] = False,
    registry: RegistryOption = None,
) -> None:
    """Check a model file and register it as a new version.

    Everything is checked on this machine first; what is refused leaves nothing behind, and a push that was cut short
    can be repeated.
    """
    options: Options = context.obj
    progress = Progress()
    name = " and ".join(path.name for path in (model, heavy) if path is not None)
    if spec is None:
        raise without_spec(model or heavy)
    with progress.step(f"Checking {name or spec.name}"):
        candidate = check(model, spec, heavy=heavy, rows=rows)
    report = read_report(metrics, candidate.sha256)
    reason = why or f"push of {name}"
    store = open_registry(options, registry, create=True)
    existing = same_version(store, candidate)
    if existing is None:
        contents = [candidate.data, *candidate.files.values()]
        with progress.step(f"Registering {size(sum(map(len, contents)))}"):
            actor = identity(options, registry)
            report = replace(report, lineage=report.lineage | source_of(spec))
            manifest = interruptible(lambda: registered(store, candidate, report, actor=actor, why=reason))
    else:
        manifest = existing
        note(f"Version {manifest.version} is this very model; nothing to upload.")
    if promote and store.release(manifest.model).champion != manifest.version:
        with progress.step(f"Promoting version {manifest.version}"):
            open_control(options, registry).promote(manifest.model, manifest.version, why=reason, revision=None)
    say(options, store, manifest, pushed=existing is None)


def registered(store: "Registry", candidate: Candidate, report: Report, *, actor: str, why: str) -> "Manifest":
    heavy = {} if candidate.heavy is None else {"heavy": candidate.heavy.facts}
    return store.push(
        candidate.spec,
        candidate.data,
        signature=candidate.signature,
        actor=actor,
        why=why,
        metrics=report.metrics,
        lineage=report.lineage,
        compression=report.compression | heavy,
        files=candidate.files,
        artefact=candidate.artefact,
    )


def check(model: Path | None, spec: Path, *, heavy: Path | None = None, rows: Path | None = None) -> Candidate:
    """Everything that can be known before anything is written; the first thing wrong is raised as one sentence."""
    from cli.packing import pack
    from cli.trial import try_out
    from lastmile.artefact import inspect
    from lastmile.errors import InvalidArtefact
    from lastmile.model import OnnxModel
    from lastmile.spec import ModelSpec

    declared = ModelSpec.from_toml(spec)
    check_sides(declared, model, heavy, rows)
    if model is None:
        assert heavy is not None
        side = pack(heavy, declared, rows)
        return Candidate(declared, side.package, side.signature, hashlib.sha256(heavy.read_bytes()).hexdigest(), side)
    check_is_onnx(model)
    data = inspect(model)
    opened = OnnxModel.open(data, threads=1)
    try:
        signature = declared.signature(opened.signature)
    except InvalidArtefact as error:
        raise disagreement(sentence(str(error)), opened.signature) from None
    try_out(opened, signature)
    beside = None if heavy is None else pack(heavy, declared, rows)
    if beside is not None and declared.signature(beside.signature) != signature:
        raise InvalidArtefact(
            f"{model} and {heavy} differ in the lengths of their tensors: one version has one signature"
        )
    return Candidate(declared, data, opened.signature, hashlib.sha256(data).hexdigest(), beside)


def without_spec(model: Path | None) -> CommandFailed:
    """With a spec to begin with, as far as the file tells."""
    from lastmile.artefact import inspect
    from lastmile.model import OnnxModel

    if model is None:
        return CommandFailed("There is no model to push.", next_step="Name an ONNX file, and its spec with --spec.")
    check_is_onnx(model)
    return missing_spec(model, OnnxModel.open(inspect(model), threads=1).signature)


def check_sides(spec: "ModelSpec", model: Path | None, heavy: Path | None, rows: Path | None) -> None:
    """Whether the spec's `[heavy]` and the files given go together."""
    if heavy is None and rows is not None:
        raise CommandFailed("--rows are for the heavy model.", next_step="Give it with --heavy, or leave --rows out.")
    if spec.heavy is None and heavy is not None:
        raise CommandFailed(
            "The spec has no [heavy].", next_step='Set backend = "sagemaker" and [heavy], or leave --heavy out.'
        )
    if spec.heavy is not None and heavy is None:
        raise CommandFailed("The spec has a [heavy] side.", next_step="Give its ONNX file with --heavy.")
    if model is not None:
        return
    if spec.heavy is None:
        raise CommandFailed("There is no model to push.", next_step="Name an ONNX file.")
    if spec.heavy.mode == "cascade" or spec.heavy.asleep == "degraded":
        wanted = 'mode "cascade"' if spec.heavy.mode == "cascade" else 'asleep "degraded"'
        raise CommandFailed(f"The spec's {wanted} needs a light model.", next_step="Name its ONNX file too.")


def read_report(path: Path | None, sha256: str) -> Report:
    """The metrics of a file. A training report describes several files by digest; one of them must be this one."""
    if path is None:
        return Report({}, {}, {})
    try:
        document = json.loads(path.read_bytes())
    except ValueError as error:
        raise CommandFailed(f"{path} is not JSON: {error}.") from None
    except RecursionError:
        raise CommandFailed(f"{path} is nested too deeply.") from None
    if not isinstance(document, dict):
        raise CommandFailed(f"{path} must hold a JSON object.")
    described = [
        part for part in document.values() if isinstance(part, dict) and "sha256" in part and "metrics" in part
    ]
    if not described:
        return Report(document, {}, {})
    mine = next((part for part in described if part["sha256"] == sha256), None)
    if mine is None:
        raise CommandFailed(
            f"{path} describes {', '.join(str(part.get('file', 'another file')) for part in described)}, "
            "and none of them is the file to be pushed: their sha256 differ.",
            next_step="Train again, or push the file that was measured.",
        )
    lineage = {key: document[key] for key in ("data", "seed", "libraries") if key in document}
    for name in ("metrics", "compression"):
        if not isinstance(mine.get(name, {}), dict):
            raise CommandFailed(f"{path}: the {name} of the file to be pushed must be a JSON object.")
    return Report(mine["metrics"], lineage, mine.get("compression", {}))


def source_of(spec: Path) -> dict[str, Any]:
    """The commit of the checkout that the spec lies in, and whether it was changed since; nothing outside of git."""

    def git(*arguments: str) -> str | None:
        command = ["git", "-C", str(spec.resolve().parent), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    return {} if commit is None else {"code": {"commit": commit, "changed": bool(git("status", "--porcelain", "."))}}


def same_version(registry: "Registry", candidate: Candidate) -> "Manifest | None":
    """The newest version, if it is the same file under the same spec: a push that was killed after its last write."""
    from lastmile.errors import NotFound

    try:
        newest = registry.versions(candidate.spec.name, limit=1)
        same_spec = registry.spec(candidate.spec.name) == candidate.spec
    except NotFound:
        return None
    if not newest or not same_spec:
        return None
    mine = {candidate.artefact: candidate.data, **candidate.files}
    theirs = {file.path: file.sha256 for file in (newest[0].artefact, *newest[0].files) if file.path in mine}
    is_same = theirs == {path: hashlib.sha256(data).hexdigest() for path, data in mine.items()}
    return newest[0] if is_same else None


def say(options: Options, registry: "Registry", manifest: "Manifest", *, pushed: bool) -> None:
    champion = registry.release(manifest.model).champion
    if options.json:
        print_json({"manifest": manifest.to_document(), "pushed": pushed, "champion": champion})
        return
    print_fields(
        [
            ("model", manifest.model),
            ("version", manifest.version),
            ("sha256", manifest.artefact.sha256),
            ("size", size(manifest.artefact.bytes)),
            *((file.path, size(file.bytes)) for file in manifest.files),
            *((name, value) for name, value in flat(manifest.metrics)),
            ("champion", "this version" if champion == manifest.version else champion),
        ]
    )
    if champion != manifest.version:
        note(f'Next: lastmile release promote {manifest.model} {manifest.version} --why "…"')


def flat(metrics: Mapping[str, Any]) -> list[tuple[str, object]]:
    return [(name, value) for name, value in metrics.items() if not isinstance(value, (dict, list))]
