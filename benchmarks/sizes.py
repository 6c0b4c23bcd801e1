"""Bytes of every layer and function, against a plain install of the same and against Lambda's limit."""

from typing import Any

from benchmarks.environments import bundle, locked
from benchmarks.machine import versions
from benchmarks.plot import Bar, bars
from benchmarks.progress import Tell, silence
from benchmarks.report import number, table
from benchmarks.result import Figure, Ratio, Result, Target
from layers.assets import ASSETS, PLATFORMS, Asset
from layers.build import OUT, ensure, every_target, size
from layers.uv import ROOT

TITLE = "Sizes"
# A function and its layers, unzipped: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
LAMBDA_LIMIT = 262_144_000


def run(quick: bool, tell: Tell = silence) -> Result:
    """There is nothing to repeat: bytes are the same each time, and the short run is the full one."""
    ensure(every_target())
    figures: dict[str, Figure] = {}
    ratios: dict[str, Ratio] = {}
    targets: dict[str, Target] = {}
    for architecture in PLATFORMS:
        for asset in ASSETS.values():
            tell(f"{asset.name} {architecture}")
            name = f"{asset.name} {architecture}"
            ours, plain = size(OUT / f"{asset.name}-{architecture}"), _plain(asset, architecture)
            figures[name] = Figure.count(ours, "bytes")
            figures[f"{name}, plain"] = Figure.count(plain, "bytes")
            ratios[f"{name} / plain install"] = Ratio.exact(ours / plain)
            if asset.layers:
                whole = ours + sum(size(OUT / f"{layer}-{architecture}") for layer in asset.layers)
                ratios[f"{name} with its layers / Lambda's limit"] = Ratio.exact(whole / LAMBDA_LIMIT)
                targets[f"{name} with its layers / Lambda's limit"] = Target(at_most=1.0)
    return Result(figures, ratios, targets, versions())


def describe(document: dict[str, Any]) -> str:
    figures, ratios = document["figures"], document["ratios"]
    rows = [
        (
            name,
            f"{figures[name]['median']:,}",
            f"{figures[f'{name}, plain']['median']:,}",
            number(ratios[f"{name} / plain install"]["value"]),
            _share(ratios.get(f"{name} with its layers / Lambda's limit")),
        )
        for name in figures
        if not name.endswith(", plain")
    ]
    text = (
        "Bytes unzipped, bytecode included in ours and not in the plain install (`pip install -t` of the same locked "
        f"versions). Lambda takes {LAMBDA_LIMIT:,} bytes, a function with its layers.\n"
    )
    shown = [
        Bar(name, _megabytes(figures[name]), is_ours=not name.endswith(", plain"))
        for name in figures
        if name.startswith("onnx-layer")
    ]
    return "\n".join(
        (
            text,
            bars("sizes", "Megabytes of the layer, unzipped", shown),
            table(("", "ours", "plain", "ours / plain", "with its layers, of the limit"), rows),
        )
    )


def _megabytes(figure: dict[str, Any]) -> dict[str, Any]:
    return {**{key: figure[key] / 1e6 for key in ("median", "low", "high")}, "unit": "MB"}


def _plain(asset: Asset, architecture: str) -> int:
    installed = bundle(f"plain-{asset.name}-{architecture}", locked(asset.group), platform=PLATFORMS[architecture])
    return size(installed) + sum(_source_bytes(source) for source in asset.sources)


def _source_bytes(source: str) -> int:
    path = ROOT / source
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*.py")))


def _share(ratio: dict[str, Any] | None) -> str:
    return "" if ratio is None else f"{ratio['value']:.1%}"
