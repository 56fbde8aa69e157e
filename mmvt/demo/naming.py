"""What captions of the procedural corpus name: colours, shapes, motions; and how often rightly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mmvt.demo.wording import attribute_words


@dataclass(frozen=True)
class NamingRates:
    """Shares of captions that name an attribute of their video, and no other of its kind.

    Attributes:
        colour: that name its colour.
        shape: that name its shape.
        colour_and_shape: that name both.
        motion: that name its motion.
    """

    colour: float
    shape: float
    colour_and_shape: float
    motion: float


def named(text: str) -> dict[str, set[str]]:
    """Return the colours, shapes and motions that a caption names, by any of their words."""
    padded = f" {text} "
    return {
        attribute: {
            value for value, words in table.items() if any(f" {word} " in padded for word in words)
        }
        for attribute, table in attribute_words().items()
    }


def naming_rates(
    texts: Mapping[str, str], rows: Mapping[str, Mapping[str, str]]
) -> tuple[NamingRates, NamingRates]:
    """Return the rates of captions, and those of the same captions of shuffled videos.

    What is written depends on the video alone, so that a model that is shown another video writes
    that one's caption: the second rates are the mean over all ways to give each video one of the
    others.

    Args:
        texts: caption by video.
        rows: colour, shape and motion by video.
    """
    videos = list(texts)
    found = [named(texts[video]) for video in videos]
    right = {
        attribute: np.array(
            [[names[attribute] == {rows[video][attribute]} for names in found] for video in videos]
        )
        for attribute in ("colour", "shape", "motion")
    }
    right["both"] = right["colour"] & right["shape"]
    others = ~np.eye(len(videos), dtype=bool)
    own = {name: float(np.diag(matrix).mean()) for name, matrix in right.items()}
    shuffled = {name: float(matrix[others].mean()) for name, matrix in right.items()}
    return _rates(own), _rates(shuffled)


def _rates(share: Mapping[str, float]) -> NamingRates:
    return NamingRates(share["colour"], share["shape"], share["both"], share["motion"])
