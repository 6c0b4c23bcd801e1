"""Labels that arrive after the predictions they are about: checked, written once per content, read back by day.

An object's day is the prediction's own, from its id, so whoever looks for a day's labels finds them however late they
came. The same feedback sent twice is one object; another label for the same prediction is another object, and the
later `time` counts.
"""

from lastmile.feedback.checking import (
    LARGEST_ROW,
    LONGEST_SOURCE,
    LONGEST_TEXT,
    MOST_GROUPS,
    MOST_ITEMS,
    RFC3339,
    ULID,
    check_fits,
    checked,
    fits,
    groups_of,
)
from lastmile.feedback.record import Feedback, Label, day, folder, from_bytes, latest
from lastmile.feedback.storing import MOST_AT_ONCE, at_once, read, write

__all__ = [
    "LARGEST_ROW",
    "LONGEST_SOURCE",
    "LONGEST_TEXT",
    "MOST_AT_ONCE",
    "MOST_GROUPS",
    "MOST_ITEMS",
    "RFC3339",
    "ULID",
    "Feedback",
    "Label",
    "at_once",
    "check_fits",
    "checked",
    "day",
    "fits",
    "folder",
    "from_bytes",
    "groups_of",
    "latest",
    "read",
    "write",
]
