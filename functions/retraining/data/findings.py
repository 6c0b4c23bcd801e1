"""What is said about data, and how grave it is."""

from dataclasses import dataclass
from typing import Literal

type Level = Literal["refused", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """A sentence about the data; `advice` says what to do, where there is something."""

    level: Level
    sentence: str
    advice: str = ""
    column: str | None = None
