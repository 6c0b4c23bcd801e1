"""Entry of the CDK app. Its context (`cdk synth -c stage=prod`): stage, architecture, assets, token_url, and those of
`infra.chatops` and `infra.heavy`."""

from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks

from infra.assets import REPOSITORY, Assets
from infra.batch import Batch
from infra.chat import Chat
from infra.chatops import SLACK, TEAMS, Channels, ChatOps
from infra.config import Stage, choose
from infra.identity import Identity
from infra.jobs import are_wanted
from infra.layers import Layers
from infra.learning import Learning
from infra.serving import Serving
from infra.storage import Storage
from infra.watching import Watching


def build() -> App:
    # Traces of CDK's own JavaScript would be noted for every resource, with the name of its temporary folder.
    traces = {"aws:cdk:disable-creation-stack-traces": True}
    app = App(analytics_reporting=False, tree_metadata=False, stack_traces=False, context=traces)
    stage = choose(app.node.try_get_context("stage") or "dev", architecture=app.node.try_get_context("architecture"))
    assets = Assets(app.node.try_get_context("assets") or ".build/assets", stage.architecture)
    is_local = app.node.try_get_context("token_url") is not None  # where some services do not exist
    storage = Storage(app, stage=stage)
    layers = Layers(app, stage=stage, assets=assets, keep_replaced=not is_local)
    identity = Identity(app, stage=stage, token_url=app.node.try_get_context("token_url"))
    chat = Chat(app, stage=stage, assets=assets, layers=layers, storage=storage)
    serving = Serving(
        app, stage=stage, assets=assets, layers=layers, storage=storage, identity=identity, hook=chat.hook
    )
    watching = Watching(app, stage=stage, assets=assets, layers=layers, storage=storage, with_queries=not is_local)
    for watched in (serving, chat):
        watching.add_stack_dependency(watched)  # its log groups must be there
    jobs = are_wanted(stage, app.node.try_get_context("training_jobs"), app.node.try_get_context("token_url"))
    Learning(app, stage=stage, assets=assets, layers=layers, storage=storage, training_jobs=jobs)
    with_gpu = app.node.try_get_context("gpu") == "true" and not is_local
    Batch(app, stage=stage, assets=assets, layers=layers, storage=storage, transforms=with_gpu)
    if app.node.try_get_context("chatops") == "true" and not is_local:
        given = {name: app.node.try_get_context(name) for name in (*SLACK, *TEAMS)}
        ChatOps(app, stage=stage, storage=storage, channels=Channels.of(given))
    if with_gpu:
        add_gpu(app, stage=stage, storage=storage)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app, verbose=True))
    return app


def add_gpu(app: App, *, stage: Stage, storage: Storage) -> None:
    from infra.gpu import Gpu  # SageMaker's constructs take two seconds to import
    from infra.heavy import chosen

    context = app.node.try_get_context
    versions = chosen(context("heavy"), context("heavy_settings"), models=REPOSITORY / "models")
    Gpu(app, stage=stage, storage=storage, versions=versions)


if __name__ == "__main__":
    build().synth()
