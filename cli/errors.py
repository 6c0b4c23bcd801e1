"""
CommandFailed
├── StackMissing       nothing is deployed where the command looked
└── Unreachable        deployed, but it does not answer
"""


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
