from __future__ import annotations

import pytest

from mmvt.demo.naming import named, naming_rates
from mmvt.demo.scene import COLOURS, MOTIONS, SHAPES
from mmvt.demo.wording import attribute_words


@pytest.mark.parametrize(
    ("text", "colours", "shapes", "motions"),
    [
        ("a red circle shrinks in the middle", {"red"}, {"circle"}, {"shrinks"}),
        ("the azure plus sign drifts leftward along the top", {"blue"}, {"cross"}, {"left"}),
        ("the inky disc starts at the left", {"black"}, {"circle"}, {"right"}),
        ("a red star and a blue star", {"red", "blue"}, {"star"}, set()),
        ("a redder ringlet", set(), set(), set()),
        ("", set(), set(), set()),
    ],
)
def test_a_caption_names_what_any_of_its_words_mean(
    text: str, colours: set[str], shapes: set[str], motions: set[str]
) -> None:
    assert named(text) == {"colour": colours, "shape": shapes, "motion": motions}


def test_every_attribute_of_a_scene_has_words_of_its_own() -> None:
    tables = attribute_words()
    assert set(tables["colour"]) == set(COLOURS)
    assert set(tables["shape"]) == set(SHAPES)
    assert set(tables["motion"]) == set(MOTIONS)
    for table in tables.values():
        words = [word for row in table.values() for word in row]
        assert len(words) == len(set(words))


def test_rates_count_captions_that_name_what_is_there_and_nothing_else() -> None:
    rows = {
        "1": {"colour": "red", "shape": "star", "motion": "up"},
        "2": {"colour": "red", "shape": "ring", "motion": "down"},
        "3": {"colour": "blue", "shape": "star", "motion": "up"},
    }
    texts = {"1": "a red star climbs", "2": "a red star moves up", "3": "a red and blue star falls"}
    own, shuffled = naming_rates(texts, rows)
    assert (own.colour, own.shape) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert (own.colour_and_shape, own.motion) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    # of six ways to give a video the caption of another, by hand
    assert shuffled.colour == pytest.approx(2 / 6)  # 1←2, 2←1
    assert shuffled.shape == pytest.approx(4 / 6)  # 1←2, 1←3, 3←1, 3←2
    assert shuffled.colour_and_shape == pytest.approx(1 / 6)  # 1←2
    assert shuffled.motion == pytest.approx(4 / 6)  # 1←2, 2←3, 3←1, 3←2
