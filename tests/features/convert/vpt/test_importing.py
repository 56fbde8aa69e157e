"""Segments of VPT become stores, captions and transcripts, and none is lost without a word."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmvt.datasets.store import FeatureStore
from mmvt.errors import StoreError
from mmvt.features.convert.vpt.importing import ImportReport, import_segments
from mmvt.features.convert.vpt.segment import SegmentSource
from mmvt.processors.base import TextClips
from mmvt.processors.caption_file import read_captions
from mmvt.processors.transcript_files import read_transcript
from mmvt.processors.video.experts import ExpertsVideoProcessor
from mmvt.processors.video.store import StoreVideoProcessor
from tests.vpt_data import Spoken, spoken

TEXTS = {"a b.mp4": ["one two three", "four five", "six"], "sub/c.webm": ["seven eight", "nine"]}
SMALL: dict[str, Any] = {"dim": 3, "tokens": 17}


class Columns(SegmentSource):
    """Rows in memory; an error among them is raised when its row is read."""

    def __init__(self, rows: Sequence[Mapping[str, Any] | Exception]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def where(self, number: int) -> str:
        return f"row {number}"

    def fields(self, number: int) -> Mapping[str, Any]:
        row = self.rows[number]
        if isinstance(row, Exception):
            raise row
        return {k: v for k, v in row.items() if not isinstance(v, np.ndarray) and k != "timestamp"}

    def arrays(self, number: int) -> Mapping[str, Any]:
        row = self.rows[number]
        assert not isinstance(row, Exception)
        return {k: v for k, v in row.items() if k.startswith("clip_") or k == "timestamp"}


def columns(segments: Sequence[Spoken]) -> Columns:
    return Columns([segment.columns for segment in segments])


def with_wrong(**wrong: Any) -> Columns:
    """Return a good segment, one with something wrong, and another good one."""
    segments = spoken({"v.mp4": ["one", "two", "three"]}, **SMALL)
    segments[1].wrong = wrong
    return columns(segments)


def reasons(report: ImportReport) -> dict[str, str]:
    return {failure.source: failure.reason for failure in report.failures}


def content(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


# what is made


def test_segments_become_rows_in_time_order(tmp_path: Path) -> None:
    segments = spoken(TEXTS, **SMALL)
    report = import_segments(columns(segments[::-1]), tmp_path, grid=2)
    assert (report.videos, report.segments, report.absent, report.failures) == (2, 5, 0, [])
    frames = FeatureStore.open(tmp_path / "frames", verify="full")
    pooled = FeatureStore.open(tmp_path / "pooled", verify="full")
    assert set(frames.ids) == set(pooled.ids) == set(TEXTS)
    assert frames.times("a b.mp4").tolist() == [3.5, 9.5, 15.5]
    assert pooled.times("sub/c.webm").tolist() == [3.5, 9.5]
    for row, segment in enumerate(segments[:3]):
        hidden = segment.columns["clip_last_hidden_states"]
        # rows and columns 0 and 1 of the 4 x 4 map, behind the first token
        first = hidden[1:].reshape(4, 4, 3)[:2, :2].mean((0, 1))
        np.testing.assert_allclose(frames["a b.mp4"][row, 0], first, atol=2e-3)
        vector = segment.columns["clip_pooled_embedding"]
        np.testing.assert_array_equal(pooled["a b.mp4"][row], vector.astype(np.float16))
    assert (frames.manifest.grid, frames.manifest.fps) == (2, 0)
    assert frames.manifest.encoder == {"name": "VPT clip_last_hidden_states", "shape": [17, 3]}


@pytest.mark.parametrize("grid", [1, 3, 4])
def test_maps_have_the_size_that_is_asked_for(tmp_path: Path, grid: int) -> None:
    segments = spoken({"v": ["one"]}, **SMALL)
    assert import_segments(columns(segments), tmp_path, grid=grid).failures == []
    rows = FeatureStore.open(tmp_path / "frames")["v"]
    assert rows.shape == ((1, 3) if grid == 1 else (1, grid**2, 3))
    if grid == 4:
        hidden = segments[0].columns["clip_last_hidden_states"]
        np.testing.assert_array_equal(rows[0], hidden[1:].astype(np.float16))


def test_what_is_said_is_read_by_captions_and_transcripts(tmp_path: Path) -> None:
    import_segments(columns(spoken(TEXTS, **SMALL)), tmp_path)
    captions = read_captions(tmp_path / "captions.csv")
    assert [(row.text, row.start, row.end) for row in captions["sub/c.webm"]] == [
        ("seven eight", 1, 6),
        ("nine", 7, 12),
    ]
    words = read_transcript(tmp_path / "transcripts" / "a b.mp4.json").words
    assert [word.text for word in words] == ["one", "two", "three", "four", "five", "six"]
    assert (words[1].start, words[3].end) == (pytest.approx(1 + 5 / 3), 9.5)


def test_a_caption_is_read_with_the_frame_of_its_segment(tmp_path: Path) -> None:
    import_segments(columns(spoken(TEXTS, **SMALL)), tmp_path, grid=2)
    experts = ExpertsVideoProcessor(
        store=tmp_path / "frames", experts={"pooled": tmp_path / "pooled"}, by_time=True
    )
    video = StoreVideoProcessor(store=tmp_path / "frames", by_time=True)
    rows = read_captions(tmp_path / "captions.csv")["a b.mp4"]
    times = np.array([row.start for row in rows]), np.array([row.end for row in rows])
    for processor in (experts, video):
        clips = processor.in_steps("a b.mp4", TextClips(*times, [[1], [2], [3]]))
        assert (clips.start.tolist(), clips.end.tolist()) == ([0, 1, 2], [1, 2, 3])
    joined = experts("a b.mp4")
    np.testing.assert_array_equal(joined[:, :12], video("a b.mp4").reshape(3, 12))
    np.testing.assert_array_equal(
        joined[:, 12:15], FeatureStore.open(tmp_path / "pooled")["a b.mp4"]
    )


def test_a_segment_takes_less_than_a_quarter_of_what_vpt_takes(tmp_path: Path) -> None:
    segments = spoken({f"video {n}.mp4": ["word " * 15] * 8 for n in range(3)})
    for number, segment in enumerate(segments):
        segment.text = " ".join(f"word{number}x{at}" for at in range(15))
    import_segments(columns(segments), tmp_path)
    size = sum(map(len, content(tmp_path).values())) / len(segments)
    arrays = (value for value in segments[0].columns.values() if isinstance(value, np.ndarray))
    original = sum(array.nbytes for array in arrays)
    assert original > 2.4e6 - 5e4
    assert size < original / 4
    assert size < 40_000  # 34.8 kB of rows at the default of 4 x 4, the words, and the index


# what is refused


@pytest.mark.faults
@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"caption": ""}, "caption is empty"),
        ({"caption": None}, "no 'caption'"),
        ({"video_filename": "../v.mp4"}, "leads out of its folder"),
        ({"video_filename": 3}, "video_filename is no text"),
        ({"segment_metadata": "{"}, "segment_metadata is not valid JSON"),
        ({"segment_metadata": "[]"}, "segment_metadata is no mapping"),
        ({"segment_metadata": "{}"}, "no 'start'; no 'end'"),
        ({"segment_metadata": '{"start": "nan", "end": "9"}'}, "start 'nan' is no number"),
        ({"segment_metadata": '{"start": "9", "end": "9"}'}, "ends at 9 s, and begins at 9 s"),
        (
            {
                "segment_metadata": '{"start": 8, "end": 12, '
                '"segment_word_list": [{"word": "x", "start": 9, "end": 8}, 3]}'
            },
            "word 1: ends at 8 s, before it begins at 9 s; word 2: is no mapping",
        ),
        (
            {"segment_metadata": f'{{"start": 8, "end": 12, "segment_index": "{"9" * 5000}"}}'},
            "segment_index 999999999… is too long",
        ),
        ({"caption": "half \ud83d"}, "holds halves of characters"),
        ({"done_text_encode": False}, "done_text_encode is false"),
        ({"timestamp": 100.0}, "timestamp 100 s lies outside of the segment, 7 to 12 s"),
        ({"timestamp": np.array([])}, "not a time in seconds"),
        ({"clip_pooled_embedding": None}, "has no clip_pooled_embedding"),
        ({"clip_pooled_embedding": np.full(3, np.nan, "f4")}, "pooled_embedding holds NaN"),
        ({"clip_pooled_embedding": np.zeros(3, "f4")}, "is all zeros: it was never computed"),
        ({"clip_pooled_embedding": np.ones(4, "f4")}, "clip_pooled_embedding of (4,), not"),
        ({"clip_pooled_embedding": np.ones(3, "i4")}, "holds int32, not floating point"),
        ({"clip_pooled_embedding": np.ones((0, 3), "f4")}, "clip_pooled_embedding is empty"),
        ({"clip_pooled_embedding": np.ones((1, 1, 3), "f4")}, "has the shape (1, 1, 3)"),
        ({"clip_pooled_embedding": np.ones((2, 3), "f4")}, "different numbers of frames"),
        ({"clip_pooled_embedding": np.full(3, 7e4, "f4")}, "holds 70000, too large for float16"),
        ({"clip_last_hidden_states": np.ones((16, 3), "f4")}, "16 tokens, not one and those of"),
        ({"clip_last_hidden_states": np.ones((2, 3), "f4")}, "map of 1 x 1, less than 4 x 4"),
        ({"clip_last_hidden_states": np.ones((26, 3), "f4")}, "of (26, 3)"),
    ],
)
def test_what_is_wrong_with_a_segment_is_told_and_the_others_go_on(
    tmp_path: Path, wrong: dict[str, Any], reason: str
) -> None:
    report = import_segments(with_wrong(**wrong), tmp_path)
    assert list(reasons(report)) == ["row 1"]
    assert reason in reasons(report)["row 1"]
    assert (report.segments, len(FeatureStore.open(tmp_path / "frames")["v.mp4"])) == (2, 2)
    assert [row.text for row in read_captions(tmp_path / "captions.csv")["v.mp4"]] == [
        "one",
        "three",
    ]
    listed = [json.loads(line) for line in (tmp_path / "failures.jsonl").read_text().splitlines()]
    assert [(item["source"], item["reason"]) for item in listed] == list(reasons(report).items())


@pytest.mark.faults
def test_every_segment_is_taken_over_or_listed(tmp_path: Path) -> None:
    segments = spoken(TEXTS, **SMALL)
    twin, same_index = spoken(TEXTS, **SMALL)[:2]
    same_index.text = "other words"
    rows = [segment.columns for segment in [*segments, twin, same_index]]
    source = Columns([*rows, StoreError("caption cannot be read: damaged chunk"), {}])
    report = import_segments(source, tmp_path)
    assert report.segments + len(report.failures) == len(source)
    found = reasons(report)
    assert found.pop("row 8").split("; ")[0].startswith("no '")
    assert found == {
        "row 5": "has the same times and words as row 0",
        "row 6": "has the same segment_index as row 1",
        "row 7": "caption cannot be read: damaged chunk",
    }


def test_segments_that_never_came_are_counted(tmp_path: Path) -> None:
    segments = spoken(TEXTS, **SMALL)
    report = import_segments(columns([segments[0], *segments[3:]]), tmp_path)
    assert (report.segments, report.absent) == (3, 2)


def test_what_is_not_done_is_taken_where_that_is_asked_for(tmp_path: Path) -> None:
    report = import_segments(with_wrong(done_text_encode=False), tmp_path, take_undone=True)
    assert (report.segments, report.failures) == (3, [])


@pytest.mark.faults
def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    segments = spoken({"v" * 255: ["one"], "w": ["two"]}, **SMALL)
    report = import_segments(columns(segments), tmp_path)
    assert "no file can have the name of the video" in reasons(report)["row 0"]
    assert list(FeatureStore.open(tmp_path / "frames").ids) == ["w"]


@pytest.mark.faults
def test_nothing_usable_makes_no_store(tmp_path: Path) -> None:
    report = import_segments(Columns([{}]), tmp_path / "out")
    assert (report.segments, len(report.failures)) == (0, 1)
    assert not (tmp_path / "out" / "frames").exists()


# runs that go on


def test_a_run_that_was_stopped_ends_with_the_same_bytes(tmp_path: Path) -> None:
    segments = spoken({f"{n}.mp4": ["one", "two"] for n in range(4)}, **SMALL)
    segments[1].wrong = {"timestamp": 100.0}
    whole = import_segments(columns(segments), tmp_path / "whole", shard_size=3)

    class Stopped(Columns):
        def arrays(self, number: int) -> Mapping[str, Any]:
            if number == 5:
                raise KeyboardInterrupt
            return super().arrays(number)

    stopped = Stopped([segment.columns for segment in segments])
    with pytest.raises(KeyboardInterrupt):
        import_segments(stopped, tmp_path / "part", shard_size=3)
    assert not (tmp_path / "part" / "captions.csv").exists()
    # as a process that is killed leaves them
    (tmp_path / "part" / ".captions.csv.0123abcd.tmp").touch()
    (tmp_path / "part" / "transcripts" / ".3.mp4.json.0123abcd.tmp").touch()
    report = import_segments(columns(segments), tmp_path / "part", shard_size=3)
    assert (report.videos, report.skipped) == (2, 2)
    assert (report.segments, reasons(report)) == (whole.segments, reasons(whole))
    assert content(tmp_path / "part") == content(tmp_path / "whole")
    again = import_segments(columns(segments), tmp_path / "part", shard_size=3)
    assert (again.videos, again.skipped, again.segments) == (0, 4, 7)
    assert content(tmp_path / "part") == content(tmp_path / "whole")


def test_a_store_that_lacks_a_video_gets_it(tmp_path: Path) -> None:
    source = columns(spoken(TEXTS, **SMALL))
    import_segments(source, tmp_path)
    before = content(tmp_path)
    shutil.rmtree(tmp_path / "pooled")
    assert import_segments(source, tmp_path).failures == []
    assert content(tmp_path) == before


@pytest.mark.faults
def test_other_options_and_other_segments_do_not_mix(tmp_path: Path) -> None:
    segments = spoken(TEXTS, **SMALL)
    import_segments(columns(segments), tmp_path)
    with pytest.raises(StoreError, match="grid is 4, not 2"):
        import_segments(columns(segments), tmp_path, grid=2)
    with pytest.raises(StoreError, match=r"tells of 3 segments, but the source now has 2"):
        import_segments(columns(segments[1:]), tmp_path)
    (tmp_path / "transcripts" / "a b.mp4.json").write_text("{}")
    with pytest.raises(StoreError, match=r"a b\.mp4\.json: is missing or damaged"):
        import_segments(columns(segments), tmp_path)


@pytest.mark.faults
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(StoreError, match="out: cannot be written: "):
        import_segments(columns(spoken(TEXTS, **SMALL)), tmp_path / "out")
