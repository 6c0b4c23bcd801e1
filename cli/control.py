"""Where releases are read and moved: the deployed control API, or a registry without one (on-prem, a directory)."""

import getpass
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol
from urllib.parse import quote, unquote, urlencode, urlsplit

import typer

from cli.answers import refused
from cli.errors import CommandFailed
from cli.target import Access, Options, Target
from cli.wire import Answer

if TYPE_CHECKING:
    from lastmile.registry import Registry

type Document = dict[str, Any]

PAGE = 100

RegistryOption = Annotated[
    str | None,
    typer.Option(
        "--registry",
        envvar="LASTMILE_REGISTRY",
        metavar="URI",
        help="A registry without a stack: a folder, file:///folder or s3://bucket.",
    ),
]
WhyOption = Annotated[str, typer.Option(help="The reason, for the audit.")]
RevisionOption = Annotated[
    int | None, typer.Option("--revision", min=0, help="Only if the release is still at this revision.")
]


class Control(Protocol):
    """Documents are as the control API gives them; releases always come back as they are after the call."""

    def models(self) -> list[Document]: ...

    def versions(self, model: str, *, limit: int) -> list[Document]: ...

    def release(self, model: str) -> Document: ...

    def audit(self, model: str, *, limit: int) -> list[Document]: ...

    def promote(self, model: str, version: int, *, why: str, revision: int | None) -> Document: ...

    def canary(self, model: str, version: int | None, *, weight: float, why: str, revision: int | None) -> Document: ...

    def shadow(self, model: str, version: int | None, *, why: str, revision: int | None) -> Document: ...

    def rollback(self, model: str, *, why: str, revision: int | None) -> Document: ...

    def reject(self, model: str, version: int, *, why: str) -> Document: ...


def open_control(options: Options, registry: str | None) -> Control:
    if registry is None:
        return ApiControl(options.target())
    return RegistryControl(open_registry(options, registry), operator())


def open_registry(options: Options, uri: str | None, *, create: bool = False) -> "Registry":
    """The registry itself, with the user's own credentials; a folder that is not there is made only by a push."""
    if uri is None:
        return options.target().registry()
    if not uri or uri.startswith("memory:"):
        lacks = "is empty" if not uri else f"{uri} is gone when the command ends"
        raise CommandFailed(f"--registry {lacks}.", next_step="Name a folder, file:///folder or s3://bucket.")
    from lastmile.registry import Registry
    from lastmile.store import Store

    location = uri if "://" in uri else Path(uri).resolve().as_uri()
    folder = Path(unquote(urlsplit(location).path))
    if location.startswith("file://") and not create and not folder.is_dir():
        raise CommandFailed(f"There is no registry in {folder}.", next_step="Push a model into it first.")
    return Registry(Store.open(location, environ=store_environ(options, location)))


def store_environ(options: Options, location: str) -> Mapping[str, str]:
    """The user's environment; for S3 with the credentials and region that the AWS SDK finds for the profile."""
    environ = dict(os.environ)
    if location.startswith("s3://") and (options.profile or "AWS_ACCESS_KEY_ID" not in environ):
        environ.pop("AWS_SESSION_TOKEN", None)  # another identity's
        environ |= Access.from_profile(options.profile, region=options.region).environ
    return environ | ({"AWS_REGION": options.region} if options.region else {})


def operator() -> str:
    """Who acts, where no AWS identity does; a container may run under a number that has no name."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def identity(options: Options, registry: str | None) -> str:
    """The AWS identity behind the user's credentials; for the local AWS and other stores the user and machine."""
    if registry is not None:
        return operator()
    target = options.target()
    return operator() if target.is_local else str(target.client("sts").get_caller_identity()["Arn"])


def quoted(model: str) -> str:
    """A name as one segment of a path, whatever the user typed."""
    return quote(model, safe="")


@dataclass(frozen=True, slots=True)
class ApiControl:
    """The deployed control API, each call with a token of exactly the scope it needs."""

    target: Target

    def models(self) -> list[Document]:
        page = self._get("/control/models", "models", "next")
        found: list[Document] = page["models"]
        while page["next"] is not None:
            page = self._get(f"/control/models?{urlencode({'after': page['next']})}", "models", "next")
            found += page["models"]
        return found

    def versions(self, model: str, *, limit: int) -> list[Document]:
        path = f"/control/models/{quoted(model)}/versions"
        return self._newest(path, "versions", limit=limit)

    def release(self, model: str) -> Document:
        return self._get(f"/control/models/{quoted(model)}/release")

    def audit(self, model: str, *, limit: int) -> list[Document]:
        path = f"/control/models/{quoted(model)}/audit"
        return self._newest(path, "entries", limit=limit)

    def promote(self, model: str, version: int, *, why: str, revision: int | None) -> Document:
        return self._post(f"{quoted(model)}/versions/{version}/promote", "approve", why=why, expected_revision=revision)

    def canary(self, model: str, version: int | None, *, weight: float, why: str, revision: int | None) -> Document:
        order = {"version": version, "weight": weight, "why": why, "expected_revision": revision}
        return self._post(f"{quoted(model)}/canary", "operate", **order)

    def shadow(self, model: str, version: int | None, *, why: str, revision: int | None) -> Document:
        return self._post(f"{quoted(model)}/shadow", "operate", version=version, why=why, expected_revision=revision)

    def rollback(self, model: str, *, why: str, revision: int | None) -> Document:
        return self._post(f"{quoted(model)}/rollback", "operate", why=why, expected_revision=revision)

    def reject(self, model: str, version: int, *, why: str) -> Document:
        return self._post(f"{quoted(model)}/versions/{version}/reject", "approve", why=why)

    def _get(self, path: str, *members: str) -> Document:
        return self._read(self.target.call("GET", path, token=self.target.token(["read"])), *members)

    def _read(self, answer: Answer, *members: str) -> Document:
        """What is deployed may be older, and know another document than this one with these members."""
        if answer.status != 200:
            raise refused(answer)
        return answer.document(*members)

    def _newest(self, path: str, key: str, *, limit: int) -> list[Document]:
        """The newest `limit` entries of a list that comes in pages, which may be shorter than is asked for."""
        found: list[Document] = []
        before: dict[str, Any] = {}
        while len(found) < limit:
            query = {"limit": min(PAGE, limit - len(found))} | before
            page = self._get(f"{path}?{urlencode(query)}", key, "next")
            found += page[key]
            if page["next"] is None:
                break
            before = {"before": page["next"]}
        return found

    def _post(self, path: str, scope: str, **order: Any) -> Document:
        answer = self.target.call(
            "POST",
            f"/control/models/{path}",
            body=json.dumps({key: value for key, value in order.items() if value is not None}).encode(),
            headers={"content-type": "application/json"},
            token=self.target.token([scope]),
        )
        return self._read(answer)


@dataclass(frozen=True, slots=True)
class RegistryControl:
    """The same on the registry itself, for whoever may write to its store."""

    registry: "Registry"
    actor: str

    def models(self) -> list[Document]:
        return [asdict(release) for release in self.registry.releases(self.registry.models())]

    def versions(self, model: str, *, limit: int) -> list[Document]:
        manifests = self.registry.versions(model, limit=limit)
        rejections = self.registry.rejections(model, [manifest.version for manifest in manifests])
        return [
            manifest.to_document() | {"rejected": rejection}
            for manifest, rejection in zip(manifests, rejections, strict=True)
        ]

    def release(self, model: str) -> Document:
        return asdict(self.registry.release(model))

    def audit(self, model: str, *, limit: int) -> list[Document]:
        return [asdict(entry) for entry in self.registry.audit(model, limit=limit)]

    def promote(self, model: str, version: int, *, why: str, revision: int | None) -> Document:
        return asdict(self.registry.promote(model, version, actor=self.actor, why=why, expected_revision=revision))

    def canary(self, model: str, version: int | None, *, weight: float, why: str, revision: int | None) -> Document:
        return asdict(
            self.registry.canary(model, version, weight=weight, actor=self.actor, why=why, expected_revision=revision)
        )

    def shadow(self, model: str, version: int | None, *, why: str, revision: int | None) -> Document:
        return asdict(self.registry.shadow(model, version, actor=self.actor, why=why, expected_revision=revision))

    def rollback(self, model: str, *, why: str, revision: int | None) -> Document:
        return asdict(self.registry.rollback(model, actor=self.actor, why=why, expected_revision=revision))

    def reject(self, model: str, version: int, *, why: str) -> Document:
        return asdict(self.registry.reject(model, version, actor=self.actor, why=why))
