"""Open questions: how often the answer that is written is the right one, and how much alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from typing_extensions import override

from mmvt.errors import DataError, MissingPackageError
from mmvt.evaluators.arrays import Asked, read, read_whole
from mmvt.evaluators.base import Metric, Predictions
from mmvt.evaluators.metrics.choice import BASELINES, accuracies, official_names
from mmvt.evaluators.metrics.wordnet import FILES, WordNet
from mmvt.evaluators.metrics.words import TOKENIZER, words_of
from mmvt.evaluators.metrics.wups import wups
from mmvt.files import sha256_file

THRESHOLDS = {"WUPS@0.0": 0.0, "WUPS@0.9": 0.9}


class AnswerMetric(Metric):
    """Accuracy and WUPS over all questions, and over those of each kind.

    An answer is right if it equals the right one as it is written, or as the tokenizer reads it
    back from its tokens. Nothing else is the same. WUPS, which finds answers alike, is null without
    WordNet, and ``absent`` says why.

    Arrays: ``ids``, ``answers`` and ``groups`` (questions,) or (questions, levels) of the split,
    ``read_back`` where a tokenizer has read the answers, and ``known`` and ``guesses`` where
    training is known; ``scored_ids``, ``said``, and ``question_only_said`` and ``answer_only_said``
    where the model was asked without the video.

    ``vocabulary_ceiling`` is the share of questions whose answer occurs in training, and
    ``majority`` what the most frequent answer to questions with the same first word gets.
    ``official`` has accuracies and shares of kinds as they are published.

    Source: ALPRO (arXiv 2112.09583) §4.3, for accuracies and shares of kinds of question;
    Malinowski and Fritz (NIPS 2014) §4, for WUPS.

    Args:
        allow_missing: count questions without an answer as wrong, instead of refusing.
        wordnet: folder of the dictionary files of WordNet 3, such as ``/usr/share/wordnet`` of
            Debian's package ``wordnet-base``. Null leaves WUPS out.
    """

    def __init__(self, *, allow_missing: bool = False, wordnet: Path | None = None) -> None:
        self.allow_missing = allow_missing
        self.wordnet = wordnet

    @override
    def __call__(self, predictions: Predictions) -> Mapping[str, Any]:
        asked = Asked.of(predictions, "question", allow_missing=self.allow_missing)
        count = len(asked.ids)
        read_back = [name for name in ("read_back",) if name in predictions]
        right = [_texts(predictions, name, count) for name in ("answers", *read_back)]
        groups = read(predictions, "groups", count) if "groups" in predictions else None
        alike = _Alike(self.wordnet)

        def figures(said: np.ndarray, places: Sequence[int]) -> dict[str, Any]:
            credit = np.zeros(count)
            credit[places] = _equal(said, [own[places] for own in right])
            further = {name: np.zeros(count) for name in alike.names}
            for name, values in further.items():
                values[places] = alike(name, said, right[0][places])
            return accuracies(credit, groups, further)

        def figures_of(name: str) -> dict[str, Any]:
            return figures(_texts(predictions, name, len(asked.places)), asked.places)

        results = {**dict.fromkeys(THRESHOLDS), **figures_of("said"), "questions": count}
        results |= {
            name: figures_of(f"{name}_said") for name in BASELINES if f"{name}_said" in predictions
        }
        if "known" in predictions:
            known = read_whole(predictions, "known", count, end=2)
            results["vocabulary_ceiling"] = float(known.mean())
            guesses = _texts(predictions, "guesses", count)
            results["majority"] = figures(guesses, range(count))
        protocol = {
            **asked.protocol("open answers"),
            "match": f"exact, as written{' or as read back' if read_back else ''}",
            "wups": alike.protocol,
        }
        return {
            "protocol": protocol,
            **results,
            "official": official_names(results),
            "absent": alike.absent,
        }


class _Alike:
    """WUPS of answers, where WordNet is there.

    Args:
        folder: its dictionary files; None = there are none.
    """

    def __init__(self, folder: Path | None) -> None:
        self.names: tuple[str, ...] = ()
        self.absent: dict[str, str] = {}
        self.protocol: dict[str, Any] | None = None
        try:
            if folder is None:
                raise MissingPackageError("metric.wordnet is not set")
            self._wordnet = WordNet(folder)
        except MissingPackageError as error:
            self.absent = {"WUPS": str(error)}
            return
        self.names = tuple(THRESHOLDS)
        self.protocol = {
            "words": TOKENIZER,
            "likeness": "Wu-Palmer, of nouns",
            "wordnet_sha256": {name: sha256_file(folder / name) for name in FILES},
        }

    def __call__(self, name: str, said: np.ndarray, right: np.ndarray) -> list[float]:
        """Return WUPS of each answer, by the name of the figure."""
        return [
            wups(words_of(one), words_of(other), THRESHOLDS[name], self._wordnet)
            for one, other in zip(said.tolist(), right.tolist(), strict=True)
        ]


def _equal(said: np.ndarray, right: list[np.ndarray]) -> Bool[np.ndarray, " questions"]:
    return np.any([said == own for own in right], axis=0)


def _texts(predictions: Predictions, name: str, rows: int) -> np.ndarray:
    """Return an array of texts.

    Raises:
        DataError: it is absent, has another number of rows, or holds something else.
    """
    array = read(predictions, name, rows)
    # what has no element has no type either
    if array.ndim != 1 or (array.size and array.dtype.kind != "U"):
        raise DataError(f"{name} must hold one text each")
    return array.astype(np.str_)
