"""What a recipe is: a module with these functions. A model's own `models/<name>/recipe.py` has the same."""

from typing import NamedTuple, Protocol

from functions.retraining.table import Table
from lastmile.spec import ModelSpec
from lastmile.tensors import Array


class Examples(NamedTuple):
    """What the graph gets, and what was right; rows on the first axis everywhere.

    `truth` by task: classification and anomaly {"label"}, regression and forecast {"value"}, recommendation {"items"},
    an object array of lists of texts. It is empty where nothing is known. `groups` are the sensitive columns.
    """

    feeds: dict[str, Array]
    truth: dict[str, Array]
    groups: dict[str, Array]


class Fitted(Protocol):
    @property
    def onnx(self) -> bytes:
        """The whole graph: from the raw inputs of the spec to its outputs."""

    def predict(self, feeds: dict[str, Array]) -> dict[str, Array]:
        """The trained object's own answer by output name, not through ONNX."""

    def probes(self, seed: int) -> dict[str, Array]:
        """Feeds where a wrong conversion shows: split points, missing and unseen values, empty and odd texts."""


class Recipe(Protocol):
    """Besides these it may have `columns(spec)`, when a training file is not the spec's features and target."""

    def check(self, spec: ModelSpec) -> None:
        """Raise InvalidSpec naming the key that this recipe cannot work with."""

    def split(self, table: Table, spec: ModelSpec) -> tuple[Table, Table]:
        """Training rows, held-out rows."""

    def fit(self, training: Table, spec: ModelSpec) -> Fitted:
        """The same rows and spec give the same ONNX bytes."""

    def examples(self, rows: Table, spec: ModelSpec, *, training: Table) -> Examples:
        """`training` is what the model was fitted on, for recipes whose inputs come from earlier rows."""
