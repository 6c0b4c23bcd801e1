"""Where runs of the learning pipeline are found and answered: the deployed control API, or stores without one."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol
from urllib.parse import quote

import typer

from cli.control import ApiControl, Document, RegistryControl, open_registry, operator, quoted, store_environ
from cli.target import Options

if TYPE_CHECKING:
    from lastmile.answering import Answering
    from lastmile.store import Store

DataOption = Annotated[
    str | None,
    typer.Option(
        "--data",
        envvar="LASTMILE_DATA",
        metavar="URI",
        help="Where uploads and runs are, beside --registry; without it in the registry's own folder.",
    ),
]


class Learning(Protocol):
    """Documents are as the control API gives them."""

    def model_names(self) -> list[str]: ...

    def runs(self, model: str, *, limit: int) -> list[Document]: ...

    def run(self, model: str, run: str) -> Document | None: ...

    def approve(self, model: str, version: int, *, why: str) -> Document: ...

    def turn_down(self, model: str, version: int, *, why: str) -> Document: ...


def open_learning(options: Options, registry: str | None, data: str | None) -> Learning:
    if registry is None:
        return ApiLearning(options.target())
    return StoreLearning(open_registry(options, registry), operator(), open_data(options, registry, data))


def open_data(options: Options, registry: str, data: str | None) -> "Store":
    from lastmile.store import Store

    location = located(data or registry)
    return Store.open(location, environ=store_environ(options, location))


def located(uri: str) -> str:
    return uri if "://" in uri else Path(uri).resolve().as_uri()


@dataclass(frozen=True, slots=True)
class ApiLearning(ApiControl):
    def model_names(self) -> list[str]:
        return [str(release["model"]) for release in self.models()]

    def runs(self, model: str, *, limit: int) -> list[Document]:
        found: list[Document] = self._get(f"/control/models/{quoted(model)}/runs?limit={limit}", "runs")["runs"]
        return found

    def run(self, model: str, run: str) -> Document | None:
        path = f"/control/models/{quoted(model)}/runs/{quote(run, safe='')}"
        answer = self.target.call("GET", path, token=self.target.token(["read"]))
        if answer.status in (404, 422):
            return None
        return self._read(answer)

    def approve(self, model: str, version: int, *, why: str) -> Document:
        return self._post(f"{quoted(model)}/versions/{version}/approve", "approve", why=why)

    def turn_down(self, model: str, version: int, *, why: str) -> Document:
        return self.reject(model, version, why=why)


@dataclass(frozen=True, slots=True)
class StoreLearning(RegistryControl):
    """The same on the stores, for whoever may write to them; nobody has to be woken."""

    data: "Store"

    def model_names(self) -> list[str]:
        from lastmile.runs import Runs

        return sorted({*self.registry.models(), *Runs(self.data).models()})

    def runs(self, model: str, *, limit: int) -> list[Document]:
        from lastmile.runs import Runs

        return [shown(run.to_document()) for run in Runs(self.data).newest(model, limit=limit)]

    def run(self, model: str, run: str) -> Document | None:
        from lastmile.errors import NotFound
        from lastmile.runs import Runs

        try:
            return shown(Runs(self.data).seen(model, run).to_document())
        except NotFound:
            return None

    def approve(self, model: str, version: int, *, why: str) -> Document:
        self.registry.manifest(model, version)
        return self._answering().approve(model, version, actor=self.actor, why=why).to_document()

    def turn_down(self, model: str, version: int, *, why: str) -> Document:
        return asdict(self._answering().reject(model, version, actor=self.actor, why=why))

    def _answering(self) -> "Answering":
        from lastmile.answering import Answering
        from lastmile.approvals import Approvals

        return Answering(self.registry, Approvals(self.data), lambda token: None)


def shown(document: Document) -> Document:
    """Times as the control API writes them."""
    from lastmile.audit import rfc3339

    upload = document["upload"] | {"at": rfc3339(int(document["upload"]["at"] * 1000))}
    times = {name: rfc3339(int(document[name] * 1000)) for name in ("started_at", "updated_at")}
    return document | times | {"upload": upload}
