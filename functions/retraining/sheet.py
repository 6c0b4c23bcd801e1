"""The look of every page that a run leaves behind: one self-contained HTML file, for light and dark, for paper too."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Literal

type Tone = Literal["good", "warning", "bad", "plain"]

STYLE = Path(__file__).with_name("sheet.css")


def sheet(title: str, lead: str, sections: Iterable[str]) -> str:
    """`lead` and the sections are HTML; the title is text."""
    style = STYLE.read_text(encoding="utf-8")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{style}</style></head>\n<body><h1>{escape(title)}</h1><p class='lead'>{lead}</p>\n"
        + "\n".join(section for section in sections if section)
        + "\n</body></html>\n"
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
    kinds = [' class="number"' if index in numbers else "" for index in range(len(heads))]
    head = "".join(f"<th{kind}>{escape(name)}</th>" for kind, name in zip(kinds, heads, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{kind}>{cell}</td>' for kind, cell in zip(kinds, row, strict=True))}</tr>\n" for row in rows
    )
    if not body:
        return ""
    if not any(heads):
        return f'<div class="wide"><table class="facts"><tbody>{body}</tbody></table></div>'
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def plots(*figures: str) -> str:
    return f'<div class="plots">{"".join(figures)}</div>' if any(figures) else ""


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>" if text else ""
