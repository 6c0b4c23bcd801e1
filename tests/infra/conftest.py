"""Both stages, synthesised once."""

from pathlib import Path

import pytest

from tests.infra.synthesis import synthesise
from tests.infra.templates import Stacks


@pytest.fixture(scope="session")
def tiny_assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders where the app looks for assets, with one file each: synthesis does not look inside."""
    root = tmp_path_factory.mktemp("assets")
    for name in (
        "onnx-layer",
        "training-layer",
        "inference",
        "control",
        "chat",
        "capture",
        "drift",
        "retraining",
        "batch",
    ):
        for architecture in ("x86_64", "arm64"):
            folder = root / f"{name}-{architecture}"
            folder.mkdir()
            (folder / "content.py").write_text(f"# {name} for {architecture}\n")
    return root


@pytest.fixture(scope="session")
def dev(assembly: Path) -> Stacks:
    return Stacks.read(assembly, "dev")


@pytest.fixture(scope="session")
def prod_assembly(tiny_assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesise(tmp_path_factory.mktemp("prod") / "cdk.out", stage="prod", assets=str(tiny_assets))


@pytest.fixture(scope="session")
def prod(prod_assembly: Path) -> Stacks:
    return Stacks.read(prod_assembly, "prod")


@pytest.fixture(params=["dev", "prod"])
def stacks(request: pytest.FixtureRequest) -> Stacks:
    """Each stage in turn, for what must hold in both."""
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]
