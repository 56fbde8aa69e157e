from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmvt.errors import DataError, MissingPackageError
from mmvt.evaluators.metrics.wordnet import FILES, WordNet
from mmvt.evaluators.metrics.wups import wups
from tests.small_wordnet import write_wordnet

INSTALLED = Path(os.environ.get("MMVT_WORDNET", "/usr/share/wordnet"))


@pytest.fixture
def small(tmp_path: Path) -> WordNet:
    return WordNet(write_wordnet(tmp_path))


def test_likeness_is_the_depth_that_two_words_share(small: WordNet) -> None:
    # entity 1, animal 2, dog and cat 3, puppy 4; table 2
    assert small.likeness("dog", "cat") == 2 * 2 / (3 + 3)
    assert small.likeness("puppy", "cat") == small.likeness("cat", "puppy") == 2 * 2 / (4 + 3)
    assert small.likeness("puppy", "dog") == 2 * 3 / (4 + 3)
    assert small.likeness("dog", "hound") == 1  # of one sense
    assert small.likeness("dog", "table") == 2 * 1 / (3 + 2)


def test_words_are_alike_in_their_likest_senses(small: WordNet) -> None:
    assert small.senses("bat") == ["00000700", "00000800"]  # an animal, a thing
    assert small.likeness("bat", "dog") == 2 * 2 / (3 + 3)
    assert small.likeness("bat", "table") == 2 * 1 / (2 + 2)


def test_forms_of_a_noun_have_its_senses(small: WordNet) -> None:
    assert small.senses("dogs") == small.senses("dog") != []
    assert small.senses("mice") == ["00000900"]  # an exception
    assert small.senses("puppies") == small.senses("puppy")
    assert small.senses("runs") == small.senses("") == []


def test_the_longest_way_to_the_root_is_the_depth(small: WordNet) -> None:
    # a mouse is an animal (depth 3), and a pet, which is an animal too (depth 4)
    assert small.likeness("mouse", "pet") == 2 * 3 / (3 + 4)
    assert small.likeness("mouse", "dog") == 2 * 2 / (2 + 1 + 2 + 1)


@pytest.mark.parametrize(
    ("said", "right", "at_0", "at_9"),
    [
        ("dog", "dog", 1.0, 1.0),
        ("dog", "cat", 2 / 3, 2 / 30),
        ("puppy", "dog", 6 / 7, 6 / 70),
        ("dog dog", "dog", 1.0, 1.0),  # sets
        ("dog cat", "dog", 2 / 3, 2 / 30),
        ("dog", "dog cat", 2 / 3, 2 / 30),
        ("red dog", "dog", 0.0, 0.0),  # red is no noun here
        ("cat dog", "dog cat", 1.0, 1.0),
        ("dog hound", "hound", 1.0, 1.0),
        ("", "dog", 0.0, 0.0),
        ("dog", "", 0.0, 0.0),
        ("", "", 1.0, 1.0),
    ],
)
def test_wups_is_the_smaller_of_two_products(
    said: str, right: str, at_0: float, at_9: float, small: WordNet
) -> None:
    for threshold, expected in ((0.0, at_0), (0.9, at_9)):
        found = wups(said.split(), right.split(), threshold, small)
        assert found == pytest.approx(expected)


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_absent_or_something_else_are_named(name: str, tmp_path: Path) -> None:
    folder = write_wordnet(tmp_path)
    if name != "noun.exc":
        (folder / name).write_text("dog\n")
        with pytest.raises(DataError, match="holds no dictionary files of WordNet 3"):
            WordNet(folder)
    (folder / name).unlink()
    with pytest.raises(MissingPackageError, match=f"{name} cannot be read: No such file"):
        WordNet(folder)


def test_files_that_are_torn_or_of_several_dictionaries_are_refused(tmp_path: Path) -> None:
    folder = write_wordnet(tmp_path)
    whole = (folder / "data.noun").read_text()
    for torn in ("", whole[: whole.index("00000700")]):
        (folder / "data.noun").write_text(torn)
        with pytest.raises(DataError, match="torn, or not of one WordNet"):
            WordNet(folder)
    (folder / "data.noun").write_text(whole)
    for other in ("", "dog n 1 2 @ ~ 1 0 00000333\n"):
        (folder / "index.noun").write_text(other)
        with pytest.raises(DataError, match="torn, or not of one WordNet"):
            WordNet(folder)


# what NLTK 3.10.4 says with the files of WordNet 3.0
OF_NLTK = {
    ("dog", "cat"): 0.8571428571428571,
    ("cat", "woman"): 0.631578947368421,
    ("woman", "cat"): 0.9473684210526315,
    ("guitars", "band"): 0.7368421052631579,
    ("couch", "sofa"): 1.0,
    ("man", "men"): 1.0,
    ("basketball", "soccer"): 0.75,
    ("red", "car"): 0.4444444444444444,
    ("knives", "potatoes"): 0.4,
    ("two", "children"): 0.2857142857142857,
    ("mice", "dogs"): 0.8148148148148148,
    ("leaves", "table"): 0.47058823529411764,
    ("singing", "soccer"): 0.6363636363636364,
    ("feet", "bus"): 0.7777777777777778,
}


@pytest.mark.may_skip("WordNet is no part of mmvt")
@pytest.mark.skipif(not (INSTALLED / "data.noun").is_file(), reason=f"no WordNet in {INSTALLED}")
def test_the_likeness_of_words_is_that_of_nltk() -> None:
    wordnet = WordNet(INSTALLED)
    found = {pair: wordnet.likeness(*pair) for pair in OF_NLTK}
    assert found == pytest.approx(OF_NLTK)
    assert len(wordnet.senses("dog")) == 7
