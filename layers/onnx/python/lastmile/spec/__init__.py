"""The specification of a model: what it is called, what it does, what it takes and gives."""

from lastmile.spec.validation import validate
from lastmile.spec.whole import Backend, ModelSpec, Task

__all__ = ["Backend", "ModelSpec", "Task", "validate"]
