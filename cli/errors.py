"""What ends a command, and how that is said.

CommandFailed
├── StackMissing       nothing is deployed where the command looked
├── Unreachable        deployed, but it does not answer
└── WrongUsage         what nobody can mean
"""

from lastmile.errors import (
    Damaged,
    InvalidArtefact,
    InvalidSpec,
    LastmileError,
    ModelNotFound,
    ReleaseConflict,
    StoreUnavailable,
    VersionNotFound,
    VersionRejected,
)

UNREACHABLE = 3  # 0 done, 1 refused or failed, 2 usage
NEXT_STEPS: tuple[tuple[type[LastmileError], str], ...] = (
    (ModelNotFound, "See `lastmile models`."),
    (VersionNotFound, "See `lastmile versions <model>`."),
    (VersionRejected, "See `lastmile versions <model>`."),
    (ReleaseConflict, "See `lastmile release show <model>`, then decide again."),
    (InvalidSpec, "Nothing was registered: mend the spec and push again."),
    (Damaged, "Bring back the object's version before; docs/registry.md says how."),
    (InvalidArtefact, "Nothing was registered: mend the model and push again."),
    (StoreUnavailable, "Run `lastmile doctor`."),
)


class CommandFailed(Exception):
    """A command stopped for a reason its user can act on: one sentence, and the next step to take."""

    exit_code = 1

    def __init__(self, message: str, *, next_step: str | None = None) -> None:
        super().__init__(message)
        self.next_step = next_step


class StackMissing(CommandFailed):
    exit_code = 3


class Unreachable(CommandFailed):
    exit_code = 3


class WrongUsage(CommandFailed):
    exit_code = 2


def sentence(said: str) -> str:
    """With a capital and a full stop; names of files and keys stay as they are."""
    first, said = said.partition(" ")[0], said.rstrip(".")
    return f"{said[:1].upper()}{said[1:]}." if first.isalpha() else f"{said}."
