"""Captions that a model writes, against those that people wrote of the same clips."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import override

from mmvt.errors import DataError, MissingPackageError
from mmvt.evaluators.arrays import Asked, named, read_texts
from mmvt.evaluators.base import Metric, Predictions
from mmvt.evaluators.metrics.meteor import meteor
from mmvt.evaluators.metrics.ngrams import BETA, ORDER, SIGMA, CiderD, bleu, rouge_l
from mmvt.evaluators.metrics.words import TOKENIZER, words_of
from mmvt.files import sha256_file


class CaptionMetric(Metric):
    """BLEU-1 to BLEU-4, ROUGE-L, CIDEr-D and METEOR, as figures of COCO captions are computed.

    A figure that there is no way to compute is null, and ``absent`` says why: METEOR without its
    program, and CIDEr-D of a single clip, for it weighs words by the clips that have them.

    Arrays: ``ids``; ``reference_ids`` and ``references``, one or more of each clip of the split;
    ``scored_ids`` and ``hypotheses``, one a clip, which may be empty. ``reference_source``, where
    it is there, is told in the protocol.

    Args:
        meteor_jar: ``meteor-1.5.jar``, with its folder ``data`` beside it; it needs Java. Null
            leaves METEOR out.
        allow_missing: count a clip without a prediction as one with an empty caption, instead of
            refusing.
    """

    def __init__(self, *, meteor_jar: Path | None = None, allow_missing: bool = False) -> None:
        self.meteor_jar = meteor_jar
        self.allow_missing = allow_missing

    @override
    def __call__(self, predictions: Predictions) -> Mapping[str, Any]:
        asked = Asked.of(predictions, "clip", allow_missing=self.allow_missing)
        written = dict(
            zip(asked.scored, read_texts(predictions, "hypotheses", len(asked.places)), strict=True)
        )
        hypotheses = [words_of(written.get(name, "")) for name in asked.ids]
        references = _references(predictions, asked)
        figures, absent = self._figures(hypotheses, references)
        spoken = [words for own in references for words in own]
        return {
            "protocol": {
                **asked.protocol("captions"),
                "references": len(spoken),
                "reference_source": str(predictions.get("reference_source", "unknown")),
                "tokenizer": TOKENIZER,
                "bleu": {"reference_length": "closest", "smoothing": "none"},
                "rouge_l": {"beta": BETA},
                "cider_d": {"sigma": SIGMA, "n": ORDER, "document_frequency": "references"},
                "meteor": self._meteor_build() if figures["METEOR"] is not None else None,
            },
            **figures,
            "absent": absent,
            "hypotheses_without_words": sum(not words for words in hypotheses),
            "references_without_words": sum(not words for words in spoken),
        }

    def _figures(
        self, hypotheses: list[list[str]], references: list[list[list[str]]]
    ) -> tuple[dict[str, float | None], dict[str, str]]:
        """Return (all figures, why some are null)."""
        pairs = list(zip(hypotheses, references, strict=True))
        figures: dict[str, float | None] = {
            f"BLEU-{n}": value for n, value in enumerate(bleu(hypotheses, references), start=1)
        }
        figures["ROUGE-L"] = _mean([rouge_l(*pair) for pair in pairs])
        figures["CIDEr-D"] = figures["METEOR"] = None
        absent = {}
        if len(pairs) > 1:
            cider = CiderD(references)
            figures["CIDEr-D"] = _mean([cider(*pair) for pair in pairs])
        else:
            absent["CIDEr-D"] = "there is one clip, but words are weighed by several"
        try:
            figures["METEOR"] = self._meteor(hypotheses, references)
        except MissingPackageError as error:
            absent["METEOR"] = str(error)
        return figures, absent

    def _meteor(self, hypotheses: list[list[str]], references: list[list[list[str]]]) -> float:
        if self.meteor_jar is None:
            raise MissingPackageError("metric.meteor_jar is not set")
        spoken = [[" ".join(words) for words in own] for own in references]
        return meteor([" ".join(words) for words in hypotheses], spoken, self.meteor_jar)

    def _meteor_build(self) -> dict[str, str]:
        assert self.meteor_jar is not None
        return {"file": self.meteor_jar.name, "sha256": sha256_file(self.meteor_jar)}


def _references(predictions: Predictions, asked: Asked) -> list[list[list[str]]]:
    """Return the words of each reference of each clip.

    Raises:
        DataError: a reference is of no clip of the split, or a clip has none. Ids are named.
    """
    names = read_texts(predictions, "reference_ids")
    own: dict[str, list[list[str]]] = defaultdict(list)
    for name, text in zip(names, read_texts(predictions, "references", len(names)), strict=True):
        own[name].append(words_of(text))
    if unknown := sorted(own.keys() - set(asked.ids)):
        raise DataError(f"{len(unknown)} ids of references are not in the split: {named(unknown)}")
    if bare := [name for name in asked.ids if name not in own]:
        raise DataError(f"{len(bare)} clips have no reference: {named(bare)}")
    return [own[name] for name in asked.ids]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
