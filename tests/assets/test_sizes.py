from pathlib import Path

import pytest

from layers.assets import ASSETS, PLATFORMS
from layers.build import size

# A function and its layers, unzipped: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
LAMBDA_LIMIT = 262_144_000
SPARE = 5_000_000
LAYER_LIMIT = 118_000_000
FUNCTIONS = [asset for asset in ASSETS.values() if asset.layers]


def test_every_function_with_its_layers_fits_into_lambda(assets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = []
    for architecture in PLATFORMS:
        for function in FUNCTIONS:
            parts = [size(assets / f"{name}-{architecture}") for name in (function.name, *function.layers)]
            rows.append((function.name, architecture, parts[0], sum(parts[1:]), sum(parts)))
    with capsys.disabled():
        print(f"\n{'function':<12} {'':<7} {'own bytes':>12} {'layers':>12} {'together':>12} {'of the limit':>12}")
        for name, architecture, own, layers, together in rows:
            share = f"{together / LAMBDA_LIMIT:.1%}"
            print(f"{name:<12} {architecture:<7} {own:>12,} {layers:>12,} {together:>12,} {share:>12}")
    assert all(own and layers for _, _, own, layers, _ in rows)
    assert not [row for row in rows if row[-1] > LAMBDA_LIMIT - SPARE]


@pytest.mark.parametrize("architecture", PLATFORMS)
def test_the_onnx_layer_stays_small(assets: Path, architecture: str) -> None:
    assert size(assets / f"onnx-layer-{architecture}") <= LAYER_LIMIT
