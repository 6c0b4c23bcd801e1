"""The control API: what is registered, what serves, and the orders that change it."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Path, Query, Security
from fastapi.security import OAuth2

from functions.control import documents
from functions.control.caller import Caller, authorized
from functions.control.documents import LARGEST, fitting
from functions.control.feedback import add_feedback
from functions.control.learning import ApprovalDocument, Approving, add_runs, approval_document, ask, wake
from functions.control.refusals import add_refusals
from lastmile import __version__
from lastmile.answering import Answering, Wake
from lastmile.approvals import Approvals
from lastmile.errors import NotFound
from lastmile.executions import Ask
from lastmile.manifest import Manifest
from lastmile.registry import Registry, Release
from lastmile.runs import Runs
from lastmile.store import Store

SCOPES = {
    "lastmile/feedback": "say what was right",
    "lastmile/read": "read the registry, reports and audit",
    "lastmile/operate": "canary, shadow, roll back",
    "lastmile/approve": "promote and reject versions",
}
DESCRIPTION = (
    "What is registered, what serves, who changed it and why. A model's release says which versions answer; every "
    "order that moves it is kept in a chain of audit entries. Get a token with the client-credentials grant and send "
    "it as `Authorization: Bearer …`."
)
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": documents.Refusal, "description": "The request cannot be understood."},
    401: {"model": documents.Refusal | documents.GatewayRefusal, "description": "No token, or one that is not valid."},
    403: {"model": documents.Refusal | documents.GatewayRefusal, "description": "The token lacks the scope."},
    404: {"model": documents.Refusal, "description": "There is no such model, version or entry."},
    422: {"model": documents.Refusal, "description": "A field is wrong; the message names it."},
    500: {
        "model": documents.Incident | documents.Refusal | documents.GatewayRefusal,
        "description": "Something nobody foresaw, or an object of the registry that somebody has changed or removed.",
    },
    503: {"model": documents.Refusal | documents.GatewayRefusal, "description": "The registry does not answer."},
}
CONFLICT: dict[int | str, dict[str, Any]] = {
    409: {"model": documents.Refusal, "description": "The release has moved, or does not allow this, or a rejection."}
}

type Name = Annotated[str, Path(description="Name of the model.", examples=["digits"])]
type Number = Annotated[int, Path(ge=1, le=LARGEST, description="The version.", examples=[8])]
type Who = Annotated[Caller, Depends(authorized)]


def create_app(registry: Registry, data: Store, *, token_url: str, wake: Wake = wake, ask: Ask = ask) -> FastAPI:
    """`wake` lets a run of the learning pipeline go on that waits for a person, by the token that it left; `ask` knows
    what has become of its execution."""
    app = FastAPI(
        title="Lastmile control",
        version=__version__,
        description=DESCRIPTION,
        openapi_url="/control/openapi.json",
        docs_url=None,
        redoc_url=None,
        servers=[{"url": "..", "description": "Where this document is served."}],
        generate_unique_id_function=lambda route: route.name,
        redirect_slashes=False,  # it answers with absolute addresses, wrong behind a path prefix
    )
    answering = Answering(registry, Approvals(data), wake)
    app.include_router(add_runs(_reading(registry, token_url), Runs(data, ask=ask)))
    app.include_router(_operating(registry, token_url))
    app.include_router(_approving(registry, answering, token_url))
    app.include_router(add_feedback(_router("lastmile/feedback", "feedback", token_url, prefix=""), registry, data))
    add_refusals(app)
    return app


def _router(scope: str, tag: str, token_url: str, *, prefix: str = "/control/models") -> APIRouter:
    """Routes that need the scope; API Gateway checks it first, and so does the dependency."""
    flows: Any = {"clientCredentials": {"tokenUrl": token_url, "scopes": SCOPES}}
    scheme = OAuth2(scheme_name="oauth2", flows=flows, auto_error=False)
    needed = [Security(scheme, scopes=[scope]), Security(authorized, scopes=[scope])]
    return APIRouter(prefix=prefix, tags=[tag], dependencies=needed, responses=REFUSALS)


def _reading(registry: Registry, token_url: str) -> APIRouter:
    router = _router("lastmile/read", "read", token_url)

    @router.get("", summary="All models with their releases")
    async def models(page: Annotated[documents.ModelPage, Query()]) -> documents.Models:
        names = [name for name in registry.models() if name > page.after]
        asked = names[: page.limit]
        found = [_released(release) for release in registry.releases(asked)]
        shown = fitting(found)
        last = shown[-1].model if len(shown) < len(found) else asked[-1] if len(asked) < len(names) else None
        return documents.Models(models=shown, next=last)

    @router.get("/{model}", summary="A model: its spec and its release")
    async def model(model: Name) -> documents.Model:
        release = registry.release(model)
        try:
            spec = documents.Spec.model_validate(registry.spec(model).to_document())
        except NotFound:
            spec = None
        return documents.Model(model=model, spec=spec, release=_released(release))

    @router.get("/{model}/versions", summary="Versions, newest first")
    async def versions(model: Name, page: Annotated[documents.VersionPage, Query()]) -> documents.Versions:
        release = registry.release(model)
        manifests = registry.versions(model, before=page.before, limit=page.limit, release=release)
        rejections = registry.rejections(model, [manifest.version for manifest in manifests], release=release)
        shown = fitting([_version(*pair) for pair in zip(manifests, rejections, strict=True)])
        last = shown[-1].version if shown else 1
        is_more = any(release.has(number) for number in range(last - 1, 0, -1))
        return documents.Versions(versions=shown, next=last if is_more else None)

    @router.get("/{model}/versions/{version}", summary="A version: its manifest, metrics and lineage")
    async def version(model: Name, version: Number) -> documents.Version:
        release = registry.release(model)
        manifest = registry.manifest(model, version, release=release)
        return _version(manifest, registry.rejection(model, version, release=release))

    @router.get("/{model}/release", summary="What serves now")
    async def release(model: Name) -> documents.Release:
        return _released(registry.release(model))

    @router.get("/{model}/audit", summary="Who did what and why, newest first")
    async def audit(model: Name, page: Annotated[documents.AuditPage, Query()]) -> documents.Audit:
        entries = registry.audit(model, limit=page.limit, before=page.before)
        last = entries[-1] if entries else None
        return documents.Audit(
            entries=[documents.AuditEntry.model_validate(asdict(entry)) for entry in entries],
            next=last.id if last is not None and last.previous is not None else None,
        )

    return router


def _operating(registry: Registry, token_url: str) -> APIRouter:
    router = _router("lastmile/operate", "operate", token_url)

    @router.post("/{model}/canary", responses=CONFLICT, summary="Start, change or end a canary")
    async def canary(model: Name, order: documents.Canary, who: Who) -> documents.Release:
        return _released(registry.canary(model, actor=who.name, **dict(order)))

    @router.post(
        "/{model}/shadow", responses=CONFLICT, summary="Run a version beside the one that answers, or end that"
    )
    async def shadow(model: Name, order: documents.Shadow, who: Who) -> documents.Release:
        return _released(registry.shadow(model, actor=who.name, **dict(order)))

    @router.post(
        "/{model}/rollback", responses=CONFLICT, summary="End a canary, or else go back to the champion before"
    )
    async def rollback(model: Name, order: documents.Rollback, who: Who) -> documents.Release:
        return _released(registry.rollback(model, actor=who.name, **dict(order)))

    return router


def _approving(registry: Registry, answering: Answering, token_url: str) -> APIRouter:
    router = _router("lastmile/approve", "approve", token_url)

    @router.post(
        "/{model}/versions/{version}/approve", responses=CONFLICT, summary="Say yes to a run that waits for a person"
    )
    async def approve(model: Name, version: Number, order: Approving, who: Who) -> ApprovalDocument:
        return approval_document(answering.approve(model, version, actor=who.name, why=order.why))

    @router.post("/{model}/versions/{version}/promote", responses=CONFLICT, summary="Make a version the champion")
    async def promote(model: Name, version: Number, order: documents.Promotion, who: Who) -> documents.Release:
        return _released(registry.promote(model, version, actor=who.name, **dict(order)))

    @router.post("/{model}/versions/{version}/reject", responses=CONFLICT, summary="Never let a version serve")
    async def reject(model: Name, version: Number, order: documents.Rejection, who: Who) -> documents.Release:
        return _released(answering.reject(model, version, actor=who.name, why=order.why))

    return router


def _released(release: Release) -> documents.Release:
    return documents.Release.model_validate(asdict(release))


def _version(manifest: Manifest, rejection: dict[str, Any] | None) -> documents.Version:
    return documents.Version.model_validate(manifest.to_document() | {"rejected": rejection})
