"""Text-video retrieval: how far up each caption finds its video, and each video its captions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

from typing_extensions import override

from mmvt.evaluators.arrays import sha256_of
from mmvt.evaluators.base import Metric, Predictions
from mmvt.evaluators.metrics.ranks import original_summary, summary
from mmvt.evaluators.retrieval_case import Direction, EqualCaptions, RetrievalCase

RECALL_AT = (1, 5, 10)


class RetrievalMetric(Metric):
    """R@1, R@5, R@10, median and mean rank in both directions, beside their chance level.

    From text to video every caption is a query, and its video is right. From video to text every
    video is a query, and any of its captions is right. Ranks run from 1, over the whole pool.

    Args:
        ties: ``expectation`` over a random order of equal scores (a right candidate among t that
            are tied, m of them within the first K, counts m / t; its rank is the mean of theirs),
            or ``original``: a query counts once for every candidate tied with the right one.
        equal_captions: what is right where videos share a caption: a query's ``own`` video or
            captions only, so that equal captions tie, or ``any`` with an equal caption.
        allow_missing: count captions and videos without a prediction as not found, with the last
            rank there is, instead of refusing.
    """

    def __init__(
        self,
        *,
        ties: Literal["expectation", "original"] = "expectation",
        equal_captions: Literal["own", "any"] = "own",
        allow_missing: bool = False,
    ) -> None:
        self.ties = ties
        self.equal_captions: EqualCaptions = equal_captions
        self.allow_missing = allow_missing

    @override
    def __call__(self, predictions: Predictions) -> Mapping[str, Any]:
        case = RetrievalCase.of(predictions, allow_missing=self.allow_missing)
        return {
            "protocol": self._protocol(case),
            "text_to_video": self._figures(case.text_to_video(self.equal_captions)),
            "video_to_text": self._figures(case.video_to_text(self.equal_captions)),
        }

    def _figures(self, direction: Direction) -> dict[str, Any]:
        candidates = direction.candidates
        summarise = original_summary if self.ties == "original" else summary
        figures = summarise(
            direction.ranks(), RECALL_AT, misses=direction.misses, candidates=candidates
        )
        return {
            **figures,
            "chance": summary(direction.chance(), RECALL_AT, candidates=candidates),
            "queries": len(direction.right_counts),
            "candidates": candidates,
            "not_predicted": direction.misses,
        }

    def _protocol(self, case: RetrievalCase) -> dict[str, Any]:
        per_video = Counter(case.text_video)
        pairs = {*zip(case.same_caption, case.text_video, strict=True)}
        owners = Counter(first for first, _ in pairs)
        texts, videos = case.missing()
        return {
            "name": "text-video retrieval",
            "captions": len(case.text_ids),
            "videos": len(case.video_ids),
            "captions_a_video": {
                "min": min(per_video[video] for video in range(len(case.video_ids))),
                "mean": len(case.text_ids) / len(case.video_ids),
                "max": max(per_video.values()),
            },
            "ids_sha256": _ids_sha256(case),
            "captions_of_several_videos": sum(owners[first] > 1 for first in case.same_caption),
            "equal_captions": self.equal_captions,
            "ties": self.ties,
            "missing_captions": len(texts),
            "missing_videos": len(videos),
            "post_processing": "none",
        }


def _ids_sha256(case: RetrievalCase) -> str:
    """Return the sha256 of the sorted lines ``caption id, tab, video id`` of a split."""
    pairs = zip(case.text_ids, case.text_video, strict=True)
    return sha256_of(f"{text}\t{case.video_ids[video]}" for text, video in pairs)
