import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity

from functions.chat.assistant.retrieval import LETTER_SHARE, NEAREST, Retrieval, grams

WORDINGS = [
    ("cost", "what does delivery cost"),
    ("cost", "how much is shipping"),
    ("cost", "shipping costs"),
    ("return", "how do I return an item"),
    ("return", "I want to send it back"),
    ("hours", "when are you open"),
]


def test_the_same_words_are_found() -> None:
    retrieval = Retrieval(WORDINGS)
    for entry, text in WORDINGS:
        assert retrieval.matches(text)[0].entry == entry
    assert Retrieval([("hours", "when are you open")]).matches("WHEN are you open?")[0].score == pytest.approx(1)


def test_words_that_are_misspelt_are_found_by_their_letters() -> None:
    assert Retrieval(WORDINGS).matches("hw much is shiping")[0].entry == "cost"


@pytest.mark.parametrize("text", ["", "?!", "12", "日本語"])
def test_nothing_shared_is_no_match(text: str) -> None:
    assert Retrieval(WORDINGS).matches(text) == []


def test_nothing_known_is_no_match() -> None:
    assert Retrieval([]).matches("hello") == []


def test_the_similarity_is_that_of_scikit_learns_vectors() -> None:
    """Of words and of letters apart, each cosine weighed by its share."""
    texts = [text for _, text in WORDINGS]
    query = "what is the cost of shipping an item back"
    expected = np.zeros(len(texts))
    for kind, share in (("w", 1 - LETTER_SHARE), ("l", LETTER_SHARE)):
        vectoriser = TfidfVectorizer(
            analyzer=lambda text, kind=kind: [gram for gram in grams(text) if gram[0] == kind],
            sublinear_tf=True,
            smooth_idf=True,
        )
        fitted = vectoriser.fit_transform(texts)
        known = [gram for gram in grams(query) if gram[0] == kind and gram in vectoriser.vocabulary_]
        similar = cosine_similarity(vectoriser.transform([query]), fitted)[0]
        counted = {gram: 1 for gram in grams(query) if gram[0] == kind}
        unknown = (np.log(1 + len(texts)) + 1) ** 2 * (len(counted) - len(set(known)))
        own = sum(vectoriser.idf_[vectoriser.vocabulary_[gram]] ** 2 for gram in set(known))
        expected += share * similar * np.sqrt(own / (own + unknown))  # unknown words make it less alike
    found = Retrieval([(str(index), text) for index, text in enumerate(texts)]).matches(query, most=99)
    assert {match.entry: match.score for match in found} == pytest.approx(
        {str(index): score for index, score in enumerate(expected) if score > 0}
    )


def test_an_entry_is_scored_by_its_nearest_wordings_together() -> None:
    retrieval = Retrieval([("a", "red tent"), ("b", "red tent now"), ("b", "red tent here"), ("b", "blue boat")])
    single = Retrieval([("b", "red tent now"), ("c", "red tent here"), ("d", "blue boat"), ("a", "red tent")])
    scores = {match.entry: match.score for match in single.matches("red tent", most=9)}
    mean = (scores["b"] + scores["c"] + scores.get("d", 0.0)) / NEAREST
    assert {m.entry: m.score for m in retrieval.matches("red tent")}["b"] == pytest.approx(mean)


@given(st.text(max_size=60))
def test_scores_are_shares_and_fall(text: str) -> None:
    scores = [match.score for match in Retrieval(WORDINGS).matches(text)]
    assert all(0 < score <= 1 + 1e-9 for score in scores)
    assert scores == sorted(scores, reverse=True)
