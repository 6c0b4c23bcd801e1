"""Words by which the assistant knows what a text wants, before it looks any further."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import ClassVar


@dataclass(frozen=True)
class Words:
    """For each kind words or phrases, as `words_pattern` takes them."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    person: tuple[str, ...]
    upset: tuple[str, ...]
    thanks: tuple[str, ...]
    greeting: tuple[str, ...]
    yes: tuple[str, ...]
    no: tuple[str, ...]

    def found(self, kind: str, text: str) -> bool:
        return self._patterns[kind].search(text) is not None

    @cached_property
    def _patterns(self) -> Mapping[str, re.Pattern[str]]:
        return {each.name: words_pattern(getattr(self, each.name)) for each in fields(self)}


def words_pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    """One of the words or phrases, whole, in any case; a trailing * stands for any ending."""
    parts = [re.escape(word).replace(r"\*", r"\w*").replace(r"\ ", r"\s+") for word in words]
    return re.compile(rf"(?<!\w)(?:{'|'.join(parts)})(?!\w)" if parts else r"(?!)", re.IGNORECASE)
