"""The options of a recipe, from `[training.options]`."""

from functions.retraining.recipes.split import training_of
from lastmile.decision.options import Options
from lastmile.spec import ModelSpec


class RecipeOptions(Options):
    @classmethod
    def of(cls, spec: ModelSpec) -> "RecipeOptions":
        return cls(training_of(spec).options, "training.options")

    def whole(self, key: str, otherwise: int | None = None, *, low: int = 0, high: int = 1 << 31) -> int:
        value = self.number(key, otherwise, low=low, high=high)
        if value != int(value):
            raise self.wrong(key, f"{value:g} is not a whole number")
        return int(value)

    def lists(self, key: str) -> list[list[str]]:
        """Lists of texts, none where nothing is said."""
        value = self._take(key, [])
        if not isinstance(value, list) or not all(
            isinstance(entry, list) and all(isinstance(text, str) for text in entry) for entry in value
        ):
            raise self.wrong(key, "must be a list of lists of texts")
        return value

    def numbers(self, key: str, otherwise: list[float], *, low: float, high: float) -> tuple[float, ...]:
        value = self._take(key, otherwise)
        if not isinstance(value, list) or not value:
            raise self.wrong(key, "must be a list of numbers")
        for entry in value:
            if isinstance(entry, bool) or not isinstance(entry, (int, float)) or not low <= entry <= high:
                raise self.wrong(key, f"{entry!r:.60} is no number from {low:g} to {high:g}")
        return tuple(map(float, value))

    def wholes(self, key: str, otherwise: list[float], *, low: float, high: float) -> tuple[int, ...]:
        found = self.numbers(key, otherwise, low=low, high=high)
        if any(value != int(value) for value in found):
            raise self.wrong(key, "must be whole numbers")
        return tuple(map(int, found))

    def flag(self, key: str, otherwise: bool) -> bool:
        value = self._take(key, otherwise)
        if not isinstance(value, bool):
            raise self.wrong(key, f"{value!r:.60} is neither true nor false")
        return value
