import re
import tomllib

import pytest

from layers.assets import ASSETS, Asset
from layers.requirements import locked, packages
from layers.uv import ROOT

every_asset = pytest.mark.parametrize("asset", ASSETS.values(), ids=ASSETS)


@every_asset
def test_requirements_agree_with_the_lock(asset: Asset) -> None:
    assert (ROOT / asset.requirements).read_text() == locked(asset), "run `make lock`"


@every_asset
def test_every_requirement_is_pinned_and_hashed(asset: Asset) -> None:
    text = (ROOT / asset.requirements).read_text()
    requirements = re.split(r"\n(?=\S)", text.strip())[1:]
    assert len(requirements) == len(packages(asset))
    assert all(
        re.fullmatch(r"[\w.-]+==\S+( ; [^\n\\]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+", text) for text in requirements
    )


@every_asset
def test_an_asset_does_not_repeat_what_the_layers_beside_it_hold(asset: Asset) -> None:
    layers = (*asset.layers, *asset.beside)
    assert not [name for layer in layers for name in packages(ASSETS[layer]) if name in packages(asset)]


@every_asset
def test_what_a_row_calls_unneeded_is_a_dependency_that_is_left_out(asset: Asset) -> None:
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    dependencies = {
        dependency["name"]
        for package in lock["package"]
        if package["name"] in packages(asset)
        for dependency in package.get("dependencies", ())
    }
    assert set(asset.unneeded) <= dependencies
    assert not set(asset.unneeded) & set(packages(asset))


def test_every_function_has_an_asset() -> None:
    functions = {handler.parent.name for handler in (ROOT / "functions").glob("*/handler.py")}
    assert functions <= set(ASSETS)


@every_asset
def test_what_a_row_places_elsewhere_is_there(asset: Asset) -> None:
    assert not [file for file in asset.elsewhere if not (ROOT / file).is_file()]
