"""Baselines of SageMaker Model Monitor as the reference of `lastmile drift compare`."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.errors import CommandFailed

if TYPE_CHECKING:
    from lastmile.profile import Profile


def opened(statistics: Path, constraints: Path | None) -> "Profile":
    """What `statistics.json`, and `constraints.json` where there is one, say of the rows they were made of."""
    from lastmile.drift.model_monitor import baseline
    from lastmile.errors import ProfileMismatch

    try:
        return baseline(document(statistics), None if constraints is None else document(constraints))
    except ProfileMismatch as error:
        raise CommandFailed(
            f"{statistics} is no baseline of Model Monitor: {error}.",
            next_step="Give the statistics.json of a baseline, or the rows themselves as CSV or Parquet.",
        ) from None


def narrowed(known: "Profile", names: Sequence[str]) -> "Profile":
    """To the features that the other side has."""
    from lastmile.profile import Layout

    features = {name: known.features[name] for name in names}
    layout = Layout({name: feature.layout for name, feature in features.items()})
    return replace(known, layout=layout, features=features)


def document(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandFailed(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise CommandFailed(f"{path} is no JSON: {error}.") from None
    except RecursionError:
        raise CommandFailed(f"{path} is nested too deeply.") from None
    if not isinstance(found, dict):
        raise CommandFailed(f"{path} is no JSON object.")
    return found
