"""The golden case ``aligners/dedup``: the original's clean-up of captions, character by character.

Its coin is tossed here in its order: above 1/2, shared characters stay with the earlier caption.
"""

from __future__ import annotations

import random

import numpy as np
import pytest

from mmvt.processors.text.dedup import TimedText, tidy, without_repeats
from tests.golden.conftest import Golden

pytestmark = pytest.mark.golden


class OriginalCoin(np.random.Generator):
    """Python's generator, the other way round."""

    def __init__(self, seed: int) -> None:
        super().__init__(np.random.PCG64(0))
        self.coin = random.Random(seed)

    def random(self) -> float:  # type: ignore[override]
        return 1 - self.coin.random()


def test_cleaned_captions_are_those_of_the_original(golden: Golden) -> None:
    for case in golden.json("aligners/dedup.json"):
        given, out = case["caption"], case["out"]
        rows = zip(given["start"], given["end"], given["text"], strict=True)
        captions = tidy([TimedText(start, end, text or "") for start, end, text in rows])
        ours = without_repeats(captions, OriginalCoin(case["seed"]), "characters")
        assert [caption.text for caption in ours] == out["text"], case["seed"]
        assert [caption.start for caption in ours] == out["start"], case["seed"]
        assert [caption.end for caption in ours] == out["end"], case["seed"]
