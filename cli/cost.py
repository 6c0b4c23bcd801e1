"""`lastmile cost`: what it would cost to serve a model in each of the ways there are, and how fast each would be."""

import math
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.control import Document, RegistryOption, open_registry
from cli.cost_crossovers import Crossover, crossovers
from cli.cost_curves import HIGHEST, LOWEST, Curves, in_svg, in_text
from cli.cost_load import spread
from cli.cost_measure import benchmark, captured
from cli.cost_options import AWAKE_SECONDS, Assumed, Estimate, Market, Measured, cheapest
from cli.errors import CommandFailed
from cli.output import Figure, note, print_json, print_table
from cli.prices import TABLE, Prices
from cli.progress import Progress
from cli.target import Options

type Shape = Literal["flat", "diurnal", "weekly", "bursty"]

UNCHECKED = "others"


def cost(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Name of the model.")],
    rps: Annotated[float, typer.Option(min=LOWEST, max=HIGHEST, help="Requests per second, on average.")] = 5.0,
    profile: Annotated[Shape, typer.Option(help="How they are spread over a week.")] = "diurnal",
    version: Annotated[int | None, typer.Option(min=1, help="By default the one that serves.")] = None,
    captured_hours: Annotated[
        float | None,
        typer.Option("--captured", min=1, max=8784, help="Take the durations of the stack's last hours instead."),
    ] = None,
    memory_mb: Annotated[int, typer.Option(min=128, max=10_240, help="Of the function that was captured.")] = 1769,
    heavy_share: Annotated[float, typer.Option(min=0, max=1, help="Rows that a cascade sends to the GPU.")] = 0.1,
    heavy_ms: Annotated[float, typer.Option(min=0.1, max=60_000, help="What the heavy model takes there.")] = 50.0,
    gpu_speedup: Annotated[float, typer.Option(min=0.1, max=1000, help="Of this model on a GPU over one vCPU.")] = 10.0,
    arm_speed: Annotated[float, typer.Option(min=0.1, max=10, help="Of one arm vCPU over an x86 one.")] = 1.0,
    cold_ms: Annotated[
        float, typer.Option(min=0, max=60_000, help="To restore a snapshot, before the model is opened.")
    ] = 300.0,
    plot: Annotated[Path | None, typer.Option(help="Write the curves to this SVG file.")] = None,
    prices: Annotated[Path, typer.Option(help="Another table of prices.", show_default=False)] = TABLE,
    everything: Annotated[bool, typer.Option("--all", help="Every size, not the cheapest of each kind.")] = False,
    registry: RegistryOption = None,
) -> None:
    """Say what each way of serving a model costs and takes.

    A month on Lambda, on SageMaker and as a cascade of both, and from where on one is cheaper than another.
    """
    options: Options = context.obj
    _check_plot(plot)
    table = Prices.read(prices)
    if options.region not in (None, table.region):
        raise CommandFailed(
            f"{prices.name} holds prices of {table.region}, not of {options.region}.",
            next_step=f"Copy {prices}, put the region's prices in, and give the copy with --prices.",
        )
    measured = _measured(options, registry, model, version, captured_hours, memory_mb)
    market = Market(table, measured, Assumed(arm_speed, cold_ms, gpu_speedup, heavy_share, heavy_ms))
    estimates = sorted(market.all(spread(profile, rps)), key=lambda one: one.monthly)

    @cache
    def costs(rate: float) -> Mapping[str, float]:
        return {family: one.monthly for family, one in cheapest(market.all(spread(profile, rate))).items()}

    curves, passings = Curves.of(costs), crossovers(costs)
    if plot is not None:
        _write(plot, in_svg(curves, rps, f"{model}: monthly cost, {profile} load, {table.region}"))
    if options.json:
        print_json(_document(model, rps, profile, market, estimates, passings))
        return
    best = cheapest(estimates)
    print_table(
        ["way", "size", "$ a month", "p50", "p99", "remark"],
        [_row(one) for one in (estimates if everything else best.values())],
        title=f"{model}: {rps:g} requests per second on average, {profile}",
    )
    print()
    print(in_text(curves, rps))
    print()
    for one in passings:
        print(_sentence(one))
    _explain(market)


def _measured(
    options: Options, uri: str | None, model: str, version: int | None, hours: float | None, memory_mb: int
) -> Measured:
    registry = open_registry(options, uri)
    chosen = version or registry.release(model).champion
    if chosen is None:
        raise CommandFailed(f"No version of '{model}' serves.", next_step="Name one with --version.")
    with Progress().step(f"Measuring {model} {chosen}"):
        found = benchmark(registry, model, chosen)
    if hours is None:
        return found
    if uri is not None:
        raise typer.BadParameter("captures are a stack's: leave --registry out", param_hint="--captured")
    from lastmile.profiles import ProfileStore
    from lastmile.store import Store

    target, now = options.target(), time.time()
    store = Store.open(f"s3://{target.data_bucket}", environ=target.environ)
    profile = ProfileStore(store).read(model, chosen, now - hours * 3600, now)
    if profile is None:
        raise CommandFailed("Nothing was captured in this time.", next_step="Leave out --captured to measure here.")
    return captured(profile, memory_mb, found)


def _check_plot(plot: Path | None) -> None:
    """Before anything is measured."""
    if plot is None:
        return
    if plot.suffix.lower() != ".svg":
        raise CommandFailed(f"{plot} would hold an SVG picture.", next_step="Give --plot a name that ends in .svg.")
    if not plot.parent.is_dir():
        raise CommandFailed(f"There is no folder {plot.parent}.", next_step="Make it, or give --plot another name.")


def _write(plot: Path, picture: str) -> None:
    try:
        plot.write_text(picture, encoding="utf-8")
    except OSError as error:
        why = error.strerror or error
        raise CommandFailed(f"{plot} cannot be written: {why}.", next_step="Give --plot another name.") from None


def _row(one: Estimate) -> list[object]:
    return [one.family, one.name, Figure(f"{one.monthly:,.2f}"), _ms(one.p50_ms), _ms(one.p99_ms), one.note]


def _ms(value: float) -> Figure:
    if math.isinf(value):
        return Figure("minutes")
    return Figure(f"{value:,.1f} ms" if value < 100 else f"{value:,.0f} ms")


def _sentence(one: Crossover) -> str:
    whom = "the cheapest of all" if one.cheapest else f"cheaper than {one.dearer}"
    rates, on = (_rate(one.rps), " on") if one.until is None else (f"{_rate(one.rps)} to {_rate(one.until)}", "")
    return f"From {rates} requests per second{on}, {one.cheaper} is {whom} (from ${one.monthly:,.2f} a month)."


def _rate(rps: float) -> str:
    """All its figures: it was rounded to the side on which the sentence is true."""
    return f"{rps:,.0f}" if rps >= 100 else f"{rps:.3g}"


def _explain(market: Market) -> None:
    measured, assumed, table = market.measured, market.assumed, market.prices
    note(
        f"Measured: {measured.how}: p50 {measured.p50_ms:.2f} ms, p99 {measured.p99_ms:.2f} ms; "
        f"{measured.parallel:.0%} of the work gains from a second core; the function needs {measured.needed_mb:.0f} MB."
    )
    note(
        f"Assumed: a GPU is {assumed.gpu_speedup:g} times as fast, arm {assumed.arm_speed:g} times; restoring takes "
        f"{assumed.cold_ms:g} ms; an endpoint sleeps after {AWAKE_SECONDS / 60:g} min; no free tier. See docs/cost.md."
    )
    dates = [one.date for one in table.sources]
    when = str(min(dates)) if min(dates) == max(dates) else f"{min(dates)} to {max(dates)}"
    weak = [one.name for one in table.sources if one.checked == UNCHECKED]
    note(f"Prices: {table.region}, looked up {when}; not checked at AWS itself: {', '.join(weak) or 'none'}.")


def _document(
    model: str, rps: float, profile: str, market: Market, estimates: list[Estimate], passings: list[Crossover]
) -> Document:
    """Without infinities: what takes minutes is null."""
    rows = [{key: None if value == math.inf else value for key, value in asdict(one).items()} for one in estimates]
    return {
        "model": model,
        "rps": rps,
        "profile": profile,
        "region": market.prices.region,
        "measured": asdict(market.measured),
        "assumed": asdict(market.assumed),
        "estimates": rows,
        "crossovers": [asdict(one) for one in passings],
        "sources": [asdict(one) for one in market.prices.sources],
    }
