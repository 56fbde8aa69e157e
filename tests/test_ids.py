"""What may be the id of a video."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmvt.errors import DataError
from mmvt.ids import MAX_BYTES, check_id, composed


@pytest.mark.parametrize("text", ["a", "0", "a b/ü.mp4", "x..y", ".hidden", "a-b", "あ", "x" * 255])
def test_an_id_may_hold_spaces_slashes_and_letters_of_all_scripts(text: str):
    assert check_id(text) == text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("x" * 256, "is longer than 255 bytes"),
        ("ü" * 128, "is longer than 255 bytes"),
        ("a\0b", "control character"),
        ("a\nb", "control character"),
        ("a\u2028b", "control character"),
        ("a\x7f", "control character"),
        ("a\udc80", "control character"),
        ("/etc/passwd", "leads out of its folder"),
        ("../x", "leads out of its folder"),
        ("a/../../x", "leads out of its folder"),
        ("a\\b", "leads out of its folder"),
    ],
)
def test_an_id_that_could_do_harm_is_refused_and_named(text: str, problem: str):
    with pytest.raises(DataError, match=problem) as caught:
        check_id(text)
    assert repr(text[:80]) in str(caught.value)


def test_an_id_may_begin_with_a_dash_as_one_in_64_of_youtube_does():
    assert check_id("-dh_uGahzYo") == "-dh_uGahzYo"


def test_both_ways_to_write_an_accent_are_one_id():
    assert check_id("cafe\u0301") == check_id("caf\u00e9") == "caf\u00e9"


@given(text=st.text())
def test_an_id_stays_one_line_inside_its_folder_and_is_checked_but_once(text: str):
    try:
        video_id = check_id(text)
    except DataError:
        return
    assert check_id(video_id) == composed(video_id) == video_id
    assert len(video_id.splitlines()) == 1
    assert len(video_id.encode()) <= MAX_BYTES
    root = Path("/root/of/store")
    assert (root / video_id).is_relative_to(root)
    assert ".." not in (root / video_id).parts
