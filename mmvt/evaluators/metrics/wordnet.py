"""How much alike two words are by WordNet, whose dictionary files are no part of mmvt."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

from mmvt.errors import DataError, MissingPackageError

FILES = DATA, INDEX, EXCEPTIONS = "data.noun", "index.noun", "noun.exc"
ABOVE = ("@", "@i")  # a kind of, an instance of
# how nouns end, and how they do in the dictionary: the rules of detachment of WordNet's morphy
ENDINGS = {
    "s": "",
    "ses": "s",
    "ves": "f",
    "xes": "x",
    "zes": "z",
    "ches": "ch",
    "shes": "sh",
    "men": "man",
    "ies": "y",
}


class WordNet:
    """The nouns of WordNet and what they are kinds of.

    Source: Fellbaum, WordNet (1998); its manual, ``wndb`` and ``morphy``.

    Args:
        folder: the dictionary files ``data.noun``, ``index.noun`` and ``noun.exc`` of WordNet 3, as
            Debian's package ``wordnet-base`` has them in ``/usr/share/wordnet``.

    Raises:
        MissingPackageError: one of them is not there.
        DataError: one of them holds something else.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._senses = dict(_senses(folder / INDEX))
            data = list(_data(folder / DATA))
            self._forms = {fields[0]: fields[1:] for fields in _lines(folder / EXCEPTIONS)}
        except (ValueError, IndexError) as error:
            raise DataError(f"{folder}: holds no dictionary files of WordNet 3") from error
        self._words = {sense: word for sense, word, _ in data}
        self._above = {sense: above for sense, _, above in data}
        named = itertools.chain(*self._senses.values(), *self._above.values())
        if not self._senses or not self._above.keys() >= set(named):
            raise DataError(f"{folder}: {DATA} and {INDEX} are torn, or not of one WordNet")
        self._kinds_of: dict[str, dict[str, int]] = {}
        self._depths_of: dict[str, tuple[int, int]] = {}
        self._likenesses: dict[tuple[str, str], float] = {}

    def senses(self, word: str) -> list[str]:
        """Return the senses of a noun, or of what it is a form of; none where it is no noun."""
        forms = self._forms.get(word)
        if forms is None:
            forms = [
                word.removesuffix(ending) + new
                for ending, new in ENDINGS.items()
                if word.endswith(ending)
            ]
        found = [sense for form in (word, *forms) for sense in self._senses.get(form, [])]
        return list(dict.fromkeys(found))

    def likeness(self, one: str, other: str) -> float:
        """Return the Wu-Palmer similarity of two words, from 0 to 1, in their likest senses.

        That of two senses is twice the depth of the deepest that both are kinds of, by that and
        the steps from both to it. The root has depth 1. The deepest is the one with the longest
        way to the root by its shortest one; of equally deep ones, the first sense itself, or the
        first in the alphabet. All of that is as in NLTK, which figures are published with, so that
        the order of the two words may matter.

        Source: Wu and Palmer, Verbs semantics and lexical selection (ACL 1994), §4.
        """
        pair = (one, other)
        if pair not in self._likenesses:
            pairs = itertools.product(self.senses(one), self.senses(other))
            self._likenesses[pair] = max(itertools.starmap(self._alike, pairs), default=0.0)
        return self._likenesses[pair]

    def _alike(self, one: str, other: str) -> float:
        lowest = self._shared(one, other)
        deepest = max((self._depths(sense)[0] for sense in lowest), default=0)
        lowest = [sense for sense in lowest if self._depths(sense)[0] == deepest]
        if not lowest:
            return 0.0
        sense = one if one in lowest else min(lowest, key=self._name)
        depth = self._depths(sense)[1]
        return 2 * depth / (2 * depth + self._apart(one, sense) + self._apart(other, sense))

    def _shared(self, one: str, other: str) -> list[str]:
        theirs = self._kinds(other)
        return [sense for sense in self._kinds(one) if sense in theirs]

    def _apart(self, one: str, other: str) -> int:
        """Return the fewest steps from one sense up, and down to another."""
        mine, theirs = self._kinds(one), self._kinds(other)
        return min(mine[sense] + theirs[sense] for sense in self._shared(one, other))

    def _name(self, sense: str) -> str:
        word = self._words[sense]
        return f"{word}.n.{self._senses[word].index(sense) + 1:02d}"

    def _kinds(self, sense: str) -> dict[str, int]:
        """Return all that a sense is a kind of, itself included, by the fewest steps up to it."""
        if sense not in self._kinds_of:
            found, edge = {sense: 0}, [sense]
            while edge:
                above = dict.fromkeys(up for own in edge for up in self._above[own])
                edge = [up for up in above if up not in found]
                found |= dict.fromkeys(edge, max(found.values()) + 1)
            self._kinds_of[sense] = found
        return self._kinds_of[sense]

    def _depths(self, sense: str) -> tuple[int, int]:
        """Return the least and the greatest depth of a sense; 1 of a root."""
        if sense not in self._depths_of:
            above = [self._depths(up) for up in self._above[sense]] or [(0, 0)]
            self._depths_of[sense] = (
                1 + min(least for least, _ in above),
                1 + max(greatest for _, greatest in above),
            )
        return self._depths_of[sense]


def _senses(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield (word, its senses, the most frequent one first)."""
    for fields in _lines(path):
        # word, pos, senses, kinds of pointers, these, senses again, senses with frequencies
        yield fields[0], fields[6 + int(fields[3]) :]


def _data(path: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Yield (sense, its first word, what it is a kind of, or an instance)."""
    for fields in _lines(path):
        # offset, file, pos, words in base 16, a word and its number each, pointers of four each
        first = 5 + 2 * int(fields[3], 16)
        pointers = fields[first : first + 4 * int(fields[first - 1])]
        kinds = zip(pointers[::4], pointers[1::4], strict=True)
        yield fields[0], fields[4].lower(), [to for kind, to in kinds if kind in ABOVE]


def _lines(path: Path) -> Iterator[list[str]]:
    """Yield the fields of all lines but those of the licence."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise MissingPackageError(f"{path} cannot be read: {error.strerror}") from error
    return (line.partition("|")[0].split() for line in lines if not line.startswith(" "))
