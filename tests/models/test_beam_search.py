from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from mmvt.models.beam_search import original_beam_search

END, PAD = 1, 0


class Scripted:
    """Probabilities of the next token by what a text ends with; the longest ending counts."""

    def __init__(self, script: dict[tuple[int, ...], list[float]]) -> None:
        self.script = script
        self.calls = 0

    def __call__(self, ids: Tensor) -> Tensor:
        self.calls += 1
        endings = sorted(self.script, key=len, reverse=True)
        rows = [
            next(
                self.script[ending]
                for ending in endings
                if tuple(text[len(text) - len(ending) :]) == ending
            )
            for text in ids.tolist()
        ]
        return torch.tensor(rows).log()


def found(script: dict[tuple[int, ...], list[float]], length: int, **options: Any) -> list[int]:
    settings = {
        "num_beams": 2,
        "length_penalty": 1.0,
        "min_length": 0,
        "no_repeat_ngram_size": 0,
        "end": END,
        "pad": PAD,
        **options,
    }
    ids = original_beam_search(Scripted(script), torch.tensor([[2]]), length, **settings)
    return ids[0].tolist()


# tokens: padding, end, then three words
EVEN = [0.0, 0.1, 0.3, 0.3, 0.3]


def test_a_second_beam_finds_what_a_greedy_choice_misses():
    script = {
        (): [0.0, 1.0, 0.0, 0.0, 0.0],
        (2,): [0.0, 0.0, 0.0, 0.6, 0.4],
        (3,): [0.0, 0.2, 0.3, 0.25, 0.25],
        (4,): [0.0, 0.9, 0.1, 0.0, 0.0],
    }
    assert found(script, 4) == [2, 4, END]
    assert found(script, 4, num_beams=1) == [2, 3, 2, 3]


@pytest.mark.parametrize(("penalty", "text"), [(0.0, [2, END]), (2.0, [2, 3, END])])
def test_lengths_count_the_prompt_and_not_the_end(penalty: float, text: list[int]):
    # an end at once scores log 0.45, a word and an end log 0.35 / 2 ** penalty
    script = {(): EVEN, (2,): [0.0, 0.45, 0.05, 0.5, 0.0], (3,): [0.0, 0.7, 0.1, 0.1, 0.1]}
    assert math.log(0.35) < math.log(0.45) < math.log(0.35) / 4
    assert found(script, 4, length_penalty=penalty) == text


def test_an_end_that_does_not_fit_is_left_out():
    script = {(): EVEN, (2,): [0.0, 0.0, 0.0, 1.0, 0.0], (3,): [0.0, 1.0, 0.0, 0.0, 0.0]}
    assert found(script, 2) == [2, 3]
    assert found(script, 3) == [2, 3, END]
    assert found(script, 9) == [2, 3, END]


def test_what_a_ban_leaves_is_as_unlikely_as_before():
    script = {
        (): EVEN,
        (2,): [0.0, 0.8, 0.0, 0.2, 0.0],
        (3,): [0.0, 0.5, 0.0, 0.0, 0.5],
        (4,): [0.0, 0.3, 0.3, 0.4, 0.0],
    }
    assert found(script, 4) == [2, END]
    # were the 0.2 made 1 by the ban, the shorter text would be better
    assert math.log(0.2 * 0.5) / 2 < math.log(0.2 * 0.5 * 0.4) / 4
    assert math.log(0.5) / 2 > math.log(0.5 * 0.4) / 4
    assert found(script, 4, min_length=2) == [2, 3, 4, 3]


def test_sequences_do_not_repeat():
    script = {(): [0.0, 0.02, 0.5, 0.3, 0.18]}
    text = found(script, 8, no_repeat_ngram_size=2)
    assert len(set(itertools.pairwise(text))) == len(text) - 1


def row(**chances: float) -> list[float]:
    """Return the probabilities of 17 tokens, given those that are not 0 (``t3=0.5``)."""
    return [chances.get(f"t{token}", 0.0) for token in range(17)]


def test_an_end_below_the_first_beams_does_not_fill_the_list_of_the_best():
    many = row(**{f"t{token}": 1 / 12 for token in range(5, 17)})
    script = {
        (2,): row(t3=0.5, t4=0.5),
        # the end after 4 is the third candidate of two beams: 0.45, 0.3, 0.2
        (3,): row(t1=0.9, t2=0.1),
        (4,): row(t1=0.4, t2=0.6),
        (4, 2): many,
        (3, 2): many,
        (): row(t5=1.0),
    }
    # with both ends in the list the search would stop here; going on pays, as lengths count much
    text = found(script, 12, length_penalty=2.0)
    assert text[:3] == [2, 4, 2]
    assert len(text) == 12


def test_of_equally_good_texts_the_later_wins():
    script = {(): EVEN, (2,): [0.0, 0.5, 0.0, 0.5, 0.0], (3,): [0.0, 1.0, 0.0, 0.0, 0.0]}
    assert found(script, 5, length_penalty=0.0) == [2, 3, END]


def test_the_search_stops_when_no_text_can_get_better():
    script = Scripted({(): [0.0, 0.96, 0.02, 0.01, 0.01]})
    ids = original_beam_search(
        script,
        torch.tensor([[2], [3]]),
        50,
        num_beams=2,
        length_penalty=1.0,
        min_length=0,
        no_repeat_ngram_size=0,
        end=END,
        pad=PAD,
    )
    assert ids.tolist() == [[2, END], [3, END]]
    assert script.calls < 6


def test_examples_that_are_done_wait_for_the_others():
    script = Scripted({(2,): [0.0, 0.98, 0.01, 0.01, 0.0], (): [0.0, 0.0, 0.0, 0.02, 0.98]})
    options = {"num_beams": 2, "length_penalty": 1.0, "min_length": 0, "no_repeat_ngram_size": 0}
    ids = original_beam_search(script, torch.tensor([[2], [4]]), 6, end=END, pad=PAD, **options)
    assert ids.tolist() == [[2, END, PAD, PAD, PAD, PAD], [4, 4, 4, 4, 4, 4]]
