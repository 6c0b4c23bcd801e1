"""The look of every page that a run leaves behind: one self-contained HTML file, for light and dark, for paper too."""

import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Literal

type Tone = Literal["good", "warning", "bad", "plain"]

LONG = 30  # characters of a cell that wants a line's width, so that a phone does not stack its words
TAGS = re.compile(r"<[^>]*>")

STYLE = Path(__file__).with_name("sheet.css")


def sheet(title: str, lead: str, sections: Iterable[str]) -> str:
    """`lead` and the sections are HTML; the title is text."""
    style = STYLE.read_text(encoding="utf-8")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{style}</style></head>\n<body><main><h1>{escape(title)}</h1><p class='lead'>{lead}</p>\n"
        + "\n".join(section for section in sections if section)
        + "\n</main></body></html>\n"
    )


def verdict(tone: Tone, word: str, sentence: str) -> str:
    return f'<div class="verdict {tone}"><b>{escape(word)}</b><p>{escape(sentence)}</p></div>'


def tag(tone: Tone, word: str) -> str:
    return f'<span class="tag {tone}">{escape(word)}</span>'


def section(title: str, *parts: str) -> str:
    """Nothing at all where every part is empty."""
    return f"<h2>{escape(title)}</h2>\n{''.join(parts)}" if any(parts) else ""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[int] = ()) -> str:
    """Cells are HTML; the columns in `numbers` stand to the right. Without a head it is a list of facts."""
    rows = list(rows)
    if not rows:
        return ""
    kinds = [_kind(index in numbers, [row[index] for row in rows]) for index in range(len(heads))]
    head = "".join(f'<th scope="col"{kind}>{escape(name)}</th>' for kind, name in zip(kinds, heads, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{kind}>{cell}</td>' for kind, cell in zip(kinds, row, strict=True))}</tr>\n" for row in rows
    )
    if not any(heads):
        return _wide("facts", f'<table class="facts"><tbody>{body}</tbody></table>')
    return _wide(", ".join(filter(None, heads)), f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")


def _wide(name: str, drawn: str) -> str:
    """What is wider than the page can be moved, by keys too."""
    return f'<div class="wide" tabindex="0" role="region" aria-label="Table: {escape(name)}">{drawn}</div>'


def _kind(is_number: bool, cells: Sequence[str]) -> str:
    if is_number:
        return ' class="number"'
    return ' class="long"' if any(len(TAGS.sub("", cell)) > LONG for cell in cells) else ""


def plots(*figures: str) -> str:
    return f'<div class="plots">{"".join(figures)}</div>' if any(figures) else ""


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>" if text else ""
