import orjson
from hypothesis import given
from hypothesis import strategies as st

from lastmile.manifest import Artefact, Manifest
from lastmile.tensors import DATATYPES, Signature, TensorSpec

texts = st.text(st.characters(exclude_categories=["Cs"]))
tensors = st.builds(
    TensorSpec,
    name=texts,
    datatype=st.sampled_from(sorted(DATATYPES)),
    shape=st.lists(st.integers(-1, 100)).map(tuple),
    columns=st.lists(texts).map(tuple),
    nullable=st.booleans(),
    pii=st.sampled_from([None, "drop", "hash", "mask"]),
)
facts = st.dictionaries(texts, st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | texts)
artefacts = st.builds(Artefact, path=texts, sha256=texts, bytes=st.integers(0, 1 << 50))
manifests = st.builds(
    Manifest,
    model=texts,
    version=st.integers(1, 1 << 50),
    created_at=texts,
    artefact=artefacts,
    signature=st.builds(Signature, inputs=st.lists(tensors).map(tuple), outputs=st.lists(tensors).map(tuple)),
    metrics=facts,
    lineage=facts,
    compression=facts,
    policy=facts,
    files=st.lists(artefacts).map(tuple),
)


@given(manifests)
def test_a_manifest_comes_back_from_its_document(manifest: Manifest) -> None:
    assert Manifest.from_document(orjson.loads(orjson.dumps(manifest.to_document()))) == manifest
