"""Pieces of a page: tables, and figures as people read them."""

from collections.abc import Iterable, Sequence
from html import escape

KINDS = {"stable": "stable", "drifted": "drifted"}  # every other verdict is unsure


def kind_of(verdict: str) -> str:
    return KINDS.get(verdict, "unsure")


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def verdict(verdict: str) -> str:
    return f'<span class="verdict {kind_of(verdict)}">{escape(verdict)}</span>'


def cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def share(value: float | None) -> str | None:
    return None if value is None else f"{value:.2%}"


def time(moment: str) -> str:
    """`2026-03-14 15:00` of an RFC 3339 time."""
    return escape(moment[:16].replace("T", " "))
