from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from mmvt.errors import DataError
from mmvt.processors.caption_file import read_captions, text_ids

Writer = Callable[[str | bytes], Path]


@pytest.fixture
def csv(tmp_path: Path) -> Writer:
    def write(content: str | bytes) -> Path:
        path = tmp_path / "my captions.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def problems_of(path: Path) -> list[str]:
    with pytest.raises(DataError) as raised:
        read_captions(path)
    return str(raised.value).replace(str(path), "FILE").splitlines()


def test_captions_are_grouped_by_video_in_time_order(csv: Writer) -> None:
    videos = read_captions(
        csv("video,caption,start,end\nb.mp4,second,4,6.5\na.mp4,whole,,\nb.mp4,first,0,4\n")
    )
    assert list(videos) == ["b.mp4", "a.mp4"]
    assert [(r.text, r.start, r.end, r.line) for r in videos["b.mp4"]] == [
        ("first", 0, 4, 4),
        ("second", 4, 6.5, 2),
    ]
    [whole] = videos["a.mp4"]
    assert (whole.start, whole.end, whole.split) == (0, math.inf, None)


def test_names_with_spaces_and_letters_of_any_script_are_kept_in_normal_form(csv: Writer) -> None:
    decomposed = "Ku\u0308che 1.mp4"
    videos = read_captions(csv(f"video,caption\n{decomposed},a dog\n映像.mp4,a cat\n"))
    assert list(videos) == ["Küche 1.mp4", "映像.mp4"]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_a_byte_order_mark_quotes_and_any_line_ends_are_read(csv: Writer, newline: str) -> None:
    lines = ["video,caption,note", '"a.mp4","a dog, running\n\ton ""sand""",mine', "", ""]
    videos = read_captions(csv(b"\xef\xbb\xbf" + newline.join(lines).encode()))
    assert videos["a.mp4"][0].text == 'a dog, running on "sand"'


def test_an_emoji_or_a_very_long_text_is_a_caption(csv: Writer) -> None:
    videos = read_captions(csv("video,caption\na,🎉\nb," + "dog " * 25_000 + "\n"))
    assert videos["a"][0].text == "🎉"
    assert len(videos["b"][0].text) == 99_999


def test_all_problems_of_a_file_are_reported_at_once(csv: Writer) -> None:
    path = csv(
        "video,caption,start,end,split\n"
        "a,a dog,0,1,train\n"
        "a, \t ,0,1,train\n"
        "a,reversed,3,1,train\n"
        "a,equal,3,3,train\n"
        "a,negative,-1,3,train\n"
        "a,nan,nan,3,train\n"
        "a,words,one,3,train\n"
        "a,endless,inf,,train\n"
        "b,a cat,0,1,val\n"
        "a,a dog,0,1,test\n"
        "a,a dog,0,1,train\n"
        "../x,a cat,0,1,train\n"
        "a,too few\n"
    )
    problems = problems_of(path)
    assert problems[:7] == [
        "FILE:3: the caption is empty",
        "FILE:4: end 1 is not after start 3",
        "FILE:5: end 3 is not after start 3",
        "FILE:6: start '-1' is no time in seconds",
        "FILE:7: start 'nan' is no time in seconds",
        "FILE:8: start 'one' is no time in seconds",
        "FILE:9: start 'inf' is no time in seconds",
    ]
    assert problems[7] == "FILE:10: no split 'val'; did you mean valid?"
    assert problems[8].startswith("FILE:13: ")
    assert "../x" in problems[8]
    assert problems[9:] == [
        "FILE:14: 2 cells, but 5 columns",
        "FILE:11: the same row as line 2",
        "FILE:12: the same row as line 2",
        "FILE:11: video 'a' is in the split 'test', but in 'train' on line 2",
    ]


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("video,captoin", "FILE:1: no column 'caption'; is it captoin?"),
        ("video;caption", "FILE:1: no column 'video'; found video;caption"),
        ("video,caption,strat", "FILE:1: unknown column 'strat'; did you mean start?"),
        ("video,caption,caption", "FILE:1: column 'caption' is there twice"),
    ],
)
def test_a_wrong_header_is_named_with_its_near_miss(csv: Writer, header: str, problem: str) -> None:
    assert problem in problems_of(csv(f"{header}\n"))


def test_bytes_that_are_not_utf_8_are_named_with_their_line(csv: Writer) -> None:
    path = csv(b"video,caption\na,b\nb,caf\xe9\nc,d\ne,\xff\n")
    assert problems_of(path) == ["FILE:3: byte 6 is not UTF-8", "FILE:5: byte 3 is not UTF-8"]


def test_an_open_quote_does_not_swallow_the_rest_of_the_file(csv: Writer) -> None:
    [problem] = problems_of(csv('video,caption\na,b\nc,"d\ne,f\n'))
    assert problem.startswith("FILE:3: not valid CSV")


def test_a_row_over_several_lines_is_named_by_its_first(csv: Writer) -> None:
    assert problems_of(csv('video,caption\na,"one\ntwo"\nb,\n')) == ["FILE:4: the caption is empty"]


@pytest.mark.parametrize("content", ["video,caption\n", "video,caption"])
def test_a_file_without_captions_is_an_error(csv: Writer, content: str) -> None:
    assert problems_of(csv(content)) == ["FILE: holds no caption"]


def test_an_empty_or_missing_file_is_an_error(csv: Writer, tmp_path: Path) -> None:
    assert problems_of(csv("")) == ["FILE: holds no caption"]
    with pytest.raises(DataError, match=r"none\.csv: cannot be read: No such file"):
        read_captions(tmp_path / "none.csv")


def test_very_many_problems_are_counted(csv: Writer) -> None:
    problems = problems_of(csv("video,caption\n" + "a,\n" * 60))
    assert len(problems) == 51
    assert problems[-1] == "... and 69 more problems"


def test_text_ids_name_a_video_or_one_of_its_captions(csv: Writer) -> None:
    videos = read_captions(csv("video,caption,start,end\na,later,5,6\na,first,0,5\n"))
    found = {key: [row.text for row in rows] for key, rows in text_ids(videos).items()}
    assert found == {"a": ["first", "later"], "a#1": ["first"], "a#2": ["later"]}


def test_a_video_named_like_a_caption_is_refused(csv: Writer) -> None:
    videos = read_captions(csv("video,caption\na,x\na#1,y\n"))
    with pytest.raises(DataError, match="'a#1' has the name of caption 1 of the video 'a'"):
        text_ids(videos)


def test_lines_of_json_are_captions_too(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(
        '{"video": "a.mp4", "caption": "later", "start": 2, "end": 3.5, "split": "train"}\n\n'
        '{"video": "a.mp4", "caption": "whole\\n", "end": null, "split": "train", "note": 7}\n'
    )
    rows = read_captions(path)["a.mp4"]
    assert [(row.text, row.start, row.end, row.split, row.line) for row in rows] == [
        ("whole", 0, math.inf, "train", 3),
        ("later", 2, 3.5, "train", 1),
    ]


def test_all_problems_of_lines_of_json_are_reported_at_once(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(
        '{"video": "a", "captoin": "b"}\n{"video": 5, "caption": "b", "start": true}\n["a"]\n{\n'
        '{"video": "a", "caption": null, "start": 2, "end": 1}\n{"video": "a", "caption": "b"}\n'
        '{"video": "a", "caption": "b", "split": 2}\n{"video": "a", "caption": "b"}\n'
    )
    problems = problems_of(path)
    assert problems[0] == "FILE:3: is no mapping of keys and values"
    assert problems[1].startswith("FILE:4: not valid JSON: ")
    assert problems[2:] == [
        "FILE:1: no column 'caption'; is it captoin?",
        "FILE:2: video 5 is no text",
        "FILE:2: start True is no time in seconds",
        "FILE:5: the caption is empty",
        "FILE:5: end 1 is not after start 2",
        "FILE:7: split 2 is no text",
        "FILE:8: the same row as line 6",
    ]
