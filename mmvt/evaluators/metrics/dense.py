"""Captions with times that a model writes of whole videos, against those of people."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from typing_extensions import override

from mmvt.errors import DataError, MissingPackageError
from mmvt.evaluators.arrays import Asked, named, read_ids, read_numbers, read_texts
from mmvt.evaluators.base import Metric, Predictions
from mmvt.evaluators.metrics.average_precision import window_ious
from mmvt.evaluators.metrics.meteor import meteor_of_each
from mmvt.evaluators.metrics.ngrams import ORDER, SIGMA, CiderD
from mmvt.evaluators.metrics.soda import soda_c
from mmvt.evaluators.metrics.words import TOKENIZER, words_of
from mmvt.files import sha256_file

THRESHOLDS = (0.3, 0.5, 0.7, 0.9)
MOST_CIDER = 10.0
NO_WORDS: list[str] = []

Pair = tuple[int, int]
Scores = dict[Pair, float]
ScoresOf = Callable[["Told", list[Pair]], Scores]


@dataclass(frozen=True)
class Told:
    """The captions of a video, written by a model and by people, each in time order.

    Attributes:
        ours: words of each caption written.
        theirs: words of each reference.
        ious: of each pair.
    """

    ours: list[list[str]]
    theirs: list[list[str]]
    ious: Float[np.ndarray, "ours theirs"]

    def pairs(self, least: float = 0.0) -> list[Pair]:
        """Return (ours, theirs) of all pairs with at least this IoU, which is above 0."""
        first, second = np.nonzero((self.ious >= least) & (self.ious > 0))
        return list(zip(first.tolist(), second.tolist(), strict=True))


class DenseCaptionMetric(Metric):
    """CIDEr-D and METEOR by overlap, precision and recall of the times, and SODA_c.

    At each IoU of 0.3, 0.5, 0.7 and 0.9, a caption is compared with every reference that it
    overlaps by at least that; one that overlaps none scores 0. Precision is the share of captions
    that overlap a reference so, recall that of references. All are means over the pairs or captions
    of a video, then over videos. SODA_c is the largest sum of IoU times likeness over matches that
    keep the order in time, as an F-score of each video. The likeness is METEOR where it is there,
    else a tenth of CIDEr-D, and the protocol says which.

    Arrays: ``ids`` of the videos; ``reference_ids``, ``reference_times`` (n, 2) in seconds and
    ``references``, one or more of each; ``scored_ids``, the videos that were looked at, and
    ``hypothesis_ids``, ``hypothesis_times`` and ``hypotheses``, any number of each. ``problems``,
    where it is there, names all that could not be read in what was written.

    Source: Krishna et al., Dense-Captioning Events in Videos (ICCV 2017) §5, and its public
    evaluator; Fujita et al., SODA (ECCV 2020) §4.

    Args:
        cider_weights: words are weighed by the pairs of each ``video``, as the public evaluator
            does, or by all references of the ``split``. SODA_c has the second.
        meteor_jar: ``meteor-1.5.jar``, with its folder ``data`` beside it; it needs Java. Null
            leaves METEOR out.
        allow_missing: count a video without a prediction as one without captions, instead of
            refusing.
    """

    def __init__(
        self,
        *,
        cider_weights: Literal["video", "split"] = "video",
        meteor_jar: Path | None = None,
        allow_missing: bool = False,
    ) -> None:
        self.cider_weights = cider_weights
        self.meteor_jar = meteor_jar
        self.allow_missing = allow_missing

    @override
    def __call__(self, predictions: Predictions) -> Mapping[str, Any]:
        asked = Asked.of(predictions, "video", allow_missing=self.allow_missing)
        videos = _videos(predictions, asked)
        absent = {}
        try:
            meteors = self._meteors(videos)
        except MissingPackageError as error:
            meteors, absent["METEOR"] = None, str(error)
        split = CiderD([[words] for video in videos for words in video.theirs])
        by_iou = {f"{least:g}": self._at(least, videos, split, meteors) for least in THRESHOLDS}
        likeness = meteors or [
            _scaled(_ciders(split)(video, video.pairs()), 1 / MOST_CIDER) for video in videos
        ]
        if meteors is None and split.clips < 2:
            absent["SODA_c"] = "there is one reference, but words are weighed by several"
        names = ["CIDEr-D", *(["METEOR"] if meteors is not None else []), "precision", "recall"]
        return {
            "protocol": self._protocol(predictions, asked, videos, meteors is not None),
            **{name: _mean([row[name] for row in by_iou.values()]) for name in names},
            **({} if meteors is not None else {"METEOR": None}),
            **_soda(videos, likeness, known="SODA_c" not in absent),
            "by_iou": by_iou,
            "absent": absent,
            "hypotheses_without_words": sum(not words for v in videos for words in v.ours),
            "references_without_words": sum(not words for v in videos for words in v.theirs),
            "videos_without_captions": sum(not video.ours for video in videos),
            **_problems(predictions),
        }

    def _at(
        self, least: float, videos: Sequence[Told], split: CiderD, meteors: list[Scores] | None
    ) -> dict[str, float]:
        """Return the figures of captions that overlap references by this IoU."""
        figures: dict[str, list[float]] = {"CIDEr-D": [], "precision": [], "recall": []}
        if meteors is not None:
            figures["METEOR"] = []
        for place, video in enumerate(videos):
            pairs = video.pairs(least)
            found = len({ours for ours, _ in pairs})
            alone = len(video.ours) - found  # each is compared with nothing
            cider = _ciders(split if self.cider_weights == "split" else _of(video, pairs, alone))
            figures["CIDEr-D"].append(_share(cider(video, pairs).values(), len(pairs) + alone))
            if meteors is not None:
                scores = [meteors[place][pair] for pair in pairs]
                figures["METEOR"].append(_share(scores, len(pairs) + alone))
            figures["precision"].append(found / max(1, len(video.ours)))
            figures["recall"].append(len({theirs for _, theirs in pairs}) / len(video.theirs))
        return {name: _mean(values) for name, values in figures.items()}

    def _meteors(self, videos: Sequence[Told]) -> list[Scores]:
        """Return METEOR of all pairs that overlap, of each video."""
        if self.meteor_jar is None:
            raise MissingPackageError("metric.meteor_jar is not set")
        pairs = [video.pairs() for video in videos]
        texts = [
            (" ".join(video.ours[ours]), " ".join(video.theirs[theirs]))
            for video, own in zip(videos, pairs, strict=True)
            for ours, theirs in own
        ]
        each = list(dict.fromkeys(texts))
        told = meteor_of_each([o for o, _ in each], [[t] for _, t in each], self.meteor_jar)
        known = dict(zip(each, told, strict=True))
        said = iter(texts)
        return [{pair: known[next(said)] for pair in own} for own in pairs]

    def _protocol(
        self, predictions: Predictions, asked: Asked, videos: Sequence[Told], has_meteor: bool
    ) -> dict[str, Any]:
        weights = "pairs of a video" if self.cider_weights == "video" else "references"
        build = None
        if has_meteor:
            assert self.meteor_jar is not None
            build = {"file": self.meteor_jar.name, "sha256": sha256_file(self.meteor_jar)}
        return {
            **asked.protocol("dense captions"),
            "captions": sum(len(video.ours) for video in videos),
            "references": sum(len(video.theirs) for video in videos),
            "reference_source": str(predictions.get("reference_source", "unknown")),
            "tokenizer": TOKENIZER,
            "iou": list(THRESHOLDS),
            "cider_d": {"sigma": SIGMA, "n": ORDER, "document_frequency": weights},
            "meteor": build,
            "soda_c": {
                "likeness": "METEOR" if has_meteor else "CIDEr-D / 10, weighed by references",
                "mean": "F-scores of videos",
            },
        }


def _videos(predictions: Predictions, asked: Asked) -> list[Told]:
    theirs = _captions(predictions, "reference", "references", asked.ids, "the split")
    if bare := [name for name in asked.ids if not theirs[name]]:
        raise DataError(f"{len(bare)} videos have no reference: {named(bare)}")
    ours = _captions(predictions, "hypothesis", "hypotheses", asked.scored, "scored_ids")
    return [_told(ours.get(name, []), theirs[name]) for name in asked.ids]


def _captions(
    predictions: Predictions, noun: str, plural: str, ids: Sequence[str], where: str
) -> dict[str, list[tuple[float, float, str]]]:
    """Return (start, end, text) of the captions of each video, in time order.

    Raises:
        DataError: one is of another video, or its times are none. Ids are named.
    """
    owners = read_ids(predictions, f"{noun}_ids")
    times = read_numbers(predictions, f"{noun}_times", owners, finite=True)
    texts = read_texts(predictions, plural, len(owners))
    found: dict[str, list[tuple[float, float, str]]] = {name: [] for name in ids}
    if unknown := sorted(set(owners) - found.keys()):
        raise DataError(f"{len(unknown)} ids of {plural} are not in {where}: {named(unknown)}")
    if times.shape != (len(owners), 2):
        raise DataError(
            f"{noun}_times has the shape {times.shape}, but must have a start and an end"
        )
    wrong = (times[:, 0] < 0) | (times[:, 1] < times[:, 0])
    if wrong.any():
        bad = list(dict.fromkeys(owners[row] for row in np.flatnonzero(wrong).tolist()))
        raise DataError(
            f"{noun}_times of {len(bad)} ids go backwards or are negative: {named(bad)}"
        )
    for owner, (start, end), text in zip(owners, times.tolist(), texts, strict=True):
        found[owner].append((start, end, text))
    # texts too, so that the order of rows changes nothing
    return {name: sorted(own) for name, own in found.items()}


def _told(
    ours: Sequence[tuple[float, float, str]], theirs: Sequence[tuple[float, float, str]]
) -> Told:
    spans = [np.array([row[:2] for row in own], float).reshape(-1, 2) for own in (ours, theirs)]
    words = [[words_of(text) for *_, text in own] for own in (ours, theirs)]
    return Told(words[0], words[1], window_ious(spans[0], spans[1]))


def _of(video: Told, pairs: Sequence[Pair], alone: int) -> CiderD:
    """Return CIDEr-D weighed by the pairs of a video; those without a reference count as such."""
    return CiderD([*([video.theirs[theirs]] for _, theirs in pairs), *[[NO_WORDS]] * alone])


def _ciders(cider: CiderD) -> ScoresOf:
    def scores(video: Told, pairs: list[Pair]) -> Scores:
        return {(o, t): cider(video.ours[o], [video.theirs[t]]) for o, t in pairs}

    return scores


def _scaled(scores: Scores, factor: float) -> Scores:
    return {pair: score * factor for pair, score in scores.items()}


def _soda(
    videos: Sequence[Told], likeness: Sequence[Scores], *, known: bool
) -> dict[str, float | None]:
    """Return SODA_c with its precision and recall, null where there is no likeness."""
    names = ("SODA_c", "SODA_c_precision", "SODA_c_recall")
    if not known:
        return dict.fromkeys(names)
    found = []
    for video, scores in zip(videos, likeness, strict=True):
        worth = np.zeros(video.ious.shape)
        for pair, score in scores.items():
            worth[pair] = score * video.ious[pair]
        found.append(soda_c(worth))
    columns = ([s.f1 for s in found], [s.precision for s in found], [s.recall for s in found])
    return {name: _mean(column) for name, column in zip(names, columns, strict=True)}


def _problems(predictions: Predictions) -> dict[str, Any]:
    """Return how often something could not be read, by its name."""
    if "problems" not in predictions:
        return {}
    return {"problems": dict(sorted(Counter(read_texts(predictions, "problems")).items()))}


def _share(values: Any, count: int) -> float:
    return math.fsum(values) / max(1, count)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
