"""docs/performance.md, made from the results alone."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import sections
from benchmarks.result import RESULTS
from layers.uv import ROOT

PAGE = ROOT / "docs/performance.md"
PLOTS = ROOT / "docs/performance"

HEAD = """# Performance

Every figure here was measured by `make bench`, which writes `benchmarks/results/` and this page: cold start to
growth in 30 minutes (`make bench QUICK=1`: 3), one section with `make bench SECTION=drift`, all with `make bench
ALL=1`. Contenders run in turns on the same machine in the same run, and each answer is checked against
`InferenceSession.run`; where nothing else is said, the model is gradient-boosted trees on 30 floats, scikit-learn's
breast-cancer data. Figures are medians with their quartiles; ratios are medians of the rounds' ratios with a
bootstrapped 95 % interval. Times depend on the machine, and this one is shared: trust the ratios. `make
bench-compare` prints what moved beyond its spread since the results in git.
"""


def write(page: Path = PAGE, results: Path = RESULTS) -> None:
    documents = {path.stem: json.loads(path.read_text()) for path in sorted(results.glob("*.json"))}
    page.parent.mkdir(parents=True, exist_ok=True)
    parts = [HEAD, _summary(documents)]
    parts += [_part(name, documents[name]) for name in sections.NAMES if name in documents]
    page.write_text("\n".join(parts))


def targets_table(document: dict[str, Any]) -> str:
    rows = [_target_row(name, target, document["ratios"][name]) for name, target in document["targets"].items()]
    return table(("ratio", "measured", "95 % interval", "target", ""), rows)


def ratios_table(document: dict[str, Any]) -> str:
    rows = [(name, number(ratio["value"]), _interval(ratio)) for name, ratio in document["ratios"].items()]
    return table(("ratio", "measured", "95 % interval"), rows)


def figures_table(document: dict[str, Any], names: list[str] | None = None) -> str:
    figures = document["figures"]
    rows = [(name, with_unit(figures[name]), _quartiles(figures[name])) for name in names or figures]
    return table(("", "median", "quartiles"), rows)


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---", *["---:"] * (len(head) - 1)), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def number(value: float) -> str:
    """Three digits that count, thousands set apart."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def with_unit(figure: dict[str, Any]) -> str:
    return f"{number(figure['median'])} {figure['unit']}"


def _summary(documents: dict[str, dict[str, Any]]) -> str:
    rows = [
        (
            f"[{sections.section(section).TITLE}](#{section})",
            *_target_row(name, target, documents[section]["ratios"][name]),
        )
        for section in sections.NAMES
        if section in documents
        for name, target in documents[section]["targets"].items()
    ]
    return table(("section", "ratio", "measured", "95 % interval", "target", ""), rows)


def _part(name: str, document: dict[str, Any]) -> str:
    body = sections.description(name, document) or f"{ratios_table(document)}\n{figures_table(document)}"
    machine = document["machine"]
    versions = ", ".join(f"{library} {version}" for library, version in document["versions"].items())
    made = (
        f"{document['at']}, {machine['run']} run, {machine['processor']}, {machine['cores']} cores, {machine['system']}"
    )
    return f'<a id="{name}"></a>\n\n## {sections.section(name).TITLE}\n\n{body}\n<sub>{made}; {versions}</sub>\n'


def _target_row(name: str, target: dict[str, Any], ratio: dict[str, Any]) -> tuple[str, ...]:
    bound = f"≤ {target['at_most']:g}" if "at_most" in target else f"≥ {target['at_least']:g}"
    return name, number(ratio["value"]), _interval(ratio), bound, "reached" if target["reached"] else "**not reached**"


def _interval(ratio: dict[str, Any]) -> str:
    return "exact" if ratio["low"] == ratio["high"] else f"{number(ratio['low'])} to {number(ratio['high'])}"


def _quartiles(figure: dict[str, Any]) -> str:
    return "counted" if figure["n"] == 1 else f"{number(figure['low'])} to {number(figure['high'])}"


if __name__ == "__main__":
    write()
