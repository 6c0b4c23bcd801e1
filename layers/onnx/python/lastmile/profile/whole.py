"""The counts of a version over some time: of every feature and output, of requests, errors and latency."""

import bisect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lastmile.errors import ProfileMismatch
from lastmile.personal import hiding
from lastmile.policies import Feature
from lastmile.profile.counts import FeatureProfile
from lastmile.profile.edges import LATENCY_EDGES_MS
from lastmile.profile.layout import FeatureLayout, Layout, as_text
from lastmile.tensors import Array, Signature

FORMAT = 1


def _no_latency() -> Array:
    return np.zeros(len(LATENCY_EDGES_MS) + 1, np.int64)


@dataclass(frozen=True, eq=False)
class Profile:
    """`rows` are those whose values were counted; `first_at` and `last_at` are seconds since 1970, or None.

    `latency` counts requests per bin of `LATENCY_EDGES_MS`. `correct`, of a classifier's reference alone, counts the
    right answers per bin of `confidence`: how far its confidence can be believed.
    """

    layout: Layout
    features: dict[str, FeatureProfile]
    outputs: dict[str, FeatureProfile]
    requests: int = 0
    errors: int = 0
    rows: int = 0
    latency: Array = field(default_factory=_no_latency)
    first_at: float | None = None
    last_at: float | None = None
    correct: Array | None = None

    @classmethod
    def empty(cls, layout: Layout) -> "Profile":
        return cls(
            layout,
            {name: FeatureProfile.empty(row) for name, row in layout.features.items()},
            {name: FeatureProfile.empty(row) for name, row in layout.outputs.items()},
        )

    @classmethod
    def of(cls, layout: Layout, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> "Profile":
        """Of rows: arrays by tensor name, rows on the first axis. A tensor that is absent is not counted."""
        return cls(
            layout,
            {name: _feature(row, inputs) for name, row in layout.features.items()},
            {name: _feature(row, outputs) for name, row in layout.outputs.items()},
            rows=max((_rows(array) for array in (*inputs.values(), *outputs.values())), default=0),
        )

    def observed(self, *, ms: float, error: bool, at: float) -> "Profile":
        """With one request more; `at` in seconds since 1970."""
        latency = self.latency.copy()
        latency[bisect.bisect_left(LATENCY_EDGES_MS, ms)] += 1
        return replace(
            self,
            requests=self.requests + 1,
            errors=self.errors + error,
            latency=latency,
            first_at=at if self.first_at is None else min(at, self.first_at),
            last_at=at if self.last_at is None else max(at, self.last_at),
        )

    def merge(self, other: "Profile") -> "Profile":
        """Both together. Raises ProfileMismatch when they do not count the same."""
        self.check_layout(other)
        firsts = [at for at in (self.first_at, other.first_at) if at is not None]
        lasts = [at for at in (self.last_at, other.last_at) if at is not None]
        return Profile(
            self.layout,
            {name: mine.merge(other.features[name]) for name, mine in self.features.items()},
            {name: mine.merge(other.outputs[name]) for name, mine in self.outputs.items()},
            self.requests + other.requests,
            self.errors + other.errors,
            self.rows + other.rows,
            self.latency + other.latency,
            min(firsts, default=None),
            max(lasts, default=None),
        )

    def check_layout(self, other: "Profile") -> None:
        if self.layout is other.layout or self.layout.digest == other.layout.digest:
            return
        names = sorted(_differing(self.layout.features, other.layout.features)) + sorted(
            _differing(self.layout.outputs, other.layout.outputs)
        )
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        raise ProfileMismatch(
            f"the profiles have different layouts ({self.layout.digest} and {other.layout.digest}): "
            f"{', '.join(names[:5])}{more} differ; compare profiles of the same reference"
        )

    def latency_quantile(self, share: float) -> float | None:
        """Milliseconds within which this share of the requests was answered: the upper edge of its bin."""
        if not self.latency.sum():
            return None
        place = int(np.searchsorted(np.cumsum(self.latency), share * self.latency.sum()))
        return LATENCY_EDGES_MS[min(place, len(LATENCY_EDGES_MS) - 1)]

    def to_document(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "layout": self.layout.to_document(),
            "requests": self.requests,
            "errors": self.errors,
            "rows": self.rows,
            "latency": self.latency.tolist(),
            "first_at": self.first_at,
            "last_at": self.last_at,
            "correct": None if self.correct is None else self.correct.tolist(),
            "features": {name: row.to_document() for name, row in self.features.items()},
            "outputs": {name: row.to_document() for name, row in self.outputs.items()},
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Profile":
        """Raises ProfileMismatch for what another format wrote, or what is no profile."""
        if not isinstance(document, Mapping):
            raise ProfileMismatch("the document is no profile: it is no object")
        if document.get("format") != FORMAT:
            raise ProfileMismatch(f"the profile has format {document.get('format')!r}, format {FORMAT} is read")
        try:
            layout = Layout.from_document(document["layout"])
            found = cls(
                layout,
                {
                    name: FeatureProfile.from_document(row, document["features"][name])
                    for name, row in layout.features.items()
                },
                {
                    name: FeatureProfile.from_document(row, document["outputs"][name])
                    for name, row in layout.outputs.items()
                },
                document["requests"],
                document["errors"],
                document["rows"],
                np.array(document["latency"], np.int64),
                document["first_at"],
                document["last_at"],
                None if document["correct"] is None else np.array(document["correct"], np.int64),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ProfileMismatch(f"the document is no profile: {error!r}") from None
        _check_lengths(found)
        return found


def reference(
    signature: Signature,
    task: str | None,
    inputs: Mapping[str, Array],
    outputs: Mapping[str, Array],
    *,
    features: Mapping[str, Feature] | None = None,
    truth: Mapping[str, Array] | None = None,
) -> Profile:
    """A layout from these rows, and their counts: what a version's `profile.json` holds.

    With the `truth` of a classifier's rows, its `label`, it also holds how often each confidence was right.
    Texts are masked as they will be when predictions are captured.
    """
    inputs = {**inputs, **_masked(signature, inputs)}
    layout = Layout.from_rows(signature, task, inputs, outputs, features=features)
    counted = Profile.of(layout, inputs, outputs)
    return replace(
        counted,
        features={name: _between(row, inputs) for name, row in counted.features.items()},
        outputs={name: _between(row, outputs) for name, row in counted.outputs.items()},
        correct=_correct(layout, outputs, (truth or {}).get("label")),
    )


def _correct(layout: Layout, outputs: Mapping[str, Array], truth: Array | None) -> Array | None:
    confidence, given = layout.outputs.get("confidence"), outputs.get("label")
    if confidence is None or given is None or truth is None:
        return None
    answers, labels = (as_text(side.reshape(-1)) for side in (given, truth))
    is_right = np.array([one == other for one, other in zip(answers, labels, strict=True)], bool)
    return FeatureProfile.of(confidence, outputs[confidence.tensor][is_right]).counts


def _masked(signature: Signature, inputs: Mapping[str, Array]) -> dict[str, Array]:
    hide = hiding({tensor.name: tensor for tensor in signature.inputs if tensor.pii == "mask"}, None)
    made = {name: hide[name](inputs[name]) for name in hide if name in inputs}
    return {name: array for name, array in made.items() if array is not None}


def _feature(layout: FeatureLayout, arrays: Mapping[str, Array]) -> FeatureProfile:
    array = arrays.get(layout.tensor)
    return FeatureProfile.empty(layout) if array is None else FeatureProfile.of(layout, array)


def _between(row: FeatureProfile, arrays: Mapping[str, Array]) -> FeatureProfile:
    """Of an alternate feature, the rows that did not choose its categories."""
    array = arrays.get(row.layout.tensor)
    is_split = row.layout.alternate and array is not None and _rows(array) > 1
    return FeatureProfile.of(row.layout, array[1::2]) if is_split and array is not None else row


def _rows(array: Array) -> int:
    return array.shape[0] if array.ndim else 1


def _differing(one: Mapping[str, FeatureLayout], other: Mapping[str, FeatureLayout]) -> set[str]:
    return {name for name in {*one, *other} if one.get(name) != other.get(name)}


def _check_lengths(profile: Profile) -> None:
    for name, row in (*profile.features.items(), *profile.outputs.items()):
        empty = FeatureProfile.empty(row.layout)
        if row.counts.shape != empty.counts.shape or row.words.shape != empty.words.shape:
            raise ProfileMismatch(f"the profile of '{name}' has {len(row.counts)} counts, its layout {row.layout.bins}")
    confidence = profile.outputs.get("confidence")
    if profile.correct is not None and (confidence is None or profile.correct.shape != confidence.counts.shape):
        raise ProfileMismatch("the profile counts right answers in other bins than their confidence")
    if profile.latency.shape != _no_latency().shape:
        raise ProfileMismatch(
            f"the profile counts latencies in {len(profile.latency)} bins, {len(_no_latency())} are read"
        )
