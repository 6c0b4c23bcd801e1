import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity

from functions.chat.assistant.retrieval import FIRST_SHARE, LETTER_SHARE, NEAREST, Retrieval, grams

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
    """And by the very nearest for itself; equal wordings weigh what one does, as a word's rarity counts entries."""
    alone = Retrieval([("a", "red tent"), ("b", "blue boat")]).matches("red tent now")[0].score
    beside = Retrieval([("a", "red tent"), ("a", "green oar"), ("b", "blue boat")]).matches("red tent now")[0].score
    assert beside == pytest.approx(alone * (FIRST_SHARE + (1 - FIRST_SHARE) / 2))
    equal = Retrieval([*[("a", "red tent")] * NEAREST, ("b", "blue boat")]).matches("red tent now")[0].score
    assert equal == pytest.approx(alone)


def test_what_all_wordings_of_an_entry_share_tells_it_from_the_others() -> None:
    tents = [("tent", f"my tent {word}") for word in ("leaks", "smells", "sags", "flaps")]
    boats = [("boat", f"my boat {word}") for word in ("leaks", "smells", "sags", "flaps")]
    found = Retrieval([*tents, *boats]).matches("the tent and my things")
    assert found[0].entry == "tent"
    assert found[0].score > 2 * found[1].score


@given(st.text(max_size=60))
def test_scores_are_shares_and_fall(text: str) -> None:
    scores = [match.score for match in Retrieval(WORDINGS).matches(text)]
    assert all(0 < score <= 1 + 1e-9 for score in scores)
    assert scores == sorted(scores, reverse=True)
