"""Profiles as objects: one per delivery of captures and version, and one per day in which those are merged.

Whatever a log delivers again is counted once. The same delivery has the same name and overwrites itself. Deliveries
cut differently are told by what they hold of one log stream: where two overlap, the later is counted again from its
captures, without what the earlier holds.
"""

from lastmile.profiles.counting import count, merged
from lastmile.profiles.day import Span
from lastmile.profiles.kept import ProfileStore
from lastmile.profiles.paths import HOUR, captures_path

__all__ = ["HOUR", "ProfileStore", "Span", "captures_path", "count", "merged"]
