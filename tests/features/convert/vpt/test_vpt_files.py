"""The jsonl and npz of VPT are read in its own form, without running anything."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mmvt.datasets.store import FeatureStore
from mmvt.errors import StoreError
from mmvt.features.convert.vpt.files import SegmentFiles
from mmvt.features.convert.vpt.importing import ImportReport, import_segments
from mmvt.processors.caption_file import read_captions
from mmvt.processors.transcript_files import read_transcript
from tests.trap import Trap
from tests.vpt_data import Spoken, spoken, write_columns, write_files

TEXTS = {"a b.mp4": ["one two three", "four five", "six"], "c.v1.webm": ["seven eight", "nine"]}


def reasons(report: ImportReport) -> dict[str, str]:
    return {failure.source: failure.reason for failure in report.failures}


def objects(folder: Path, name: str, *values: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / name, *values)
    return folder


def old_pickle(path: Path, content: object) -> None:
    """Write an npz as numpy 1.x did, whose modules had other names."""
    array = np.empty((), object)
    array[()] = content
    plain = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        plain, {"descr": "|O", "fortran_order": False, "shape": ()}
    )
    body = pickle.dumps(array, protocol=3).replace(b"numpy._core.", b"numpy.core.")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("arr_0.npy", plain.getvalue() + body)


def test_npz_and_jsonl_are_joined_by_video_and_number(tmp_path: Path) -> None:
    segments = spoken(TEXTS)
    source = SegmentFiles(write_files(tmp_path / "vpt", segments))
    assert (len(source), list(source.refused)) == (5, [])
    report = import_segments(source, tmp_path / "out")
    assert (report.videos, report.segments, report.failures) == (2, 5, [])
    store = FeatureStore.open(tmp_path / "out" / "pooled", verify="full")
    assert store["a b.mp4"].tolist() == [
        segment.clip_output["frame_embeddings"][0].tolist() for segment in segments[:3]
    ]
    # its code takes the first frame of a segment
    assert store.times("a b.mp4").tolist() == [1, 7, 13]
    assert not (tmp_path / "out" / "frames").exists()
    words = read_transcript(tmp_path / "out" / "transcripts" / "c.v1.webm.json").words
    assert [word.text for word in words] == ["seven", "eight", "nine"]


def test_npz_alone_is_enough(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "vpt", spoken(TEXTS))
    (folder / "part_whisper_output.jsonl").unlink()
    report = import_segments(SegmentFiles(folder), tmp_path / "out")
    assert (report.segments, report.failures) == (5, [])
    captions = read_captions(tmp_path / "out" / "captions.csv")
    assert [row.text for row in captions["c.v1"]] == ["seven eight", "nine"]


def test_several_frames_of_a_segment_are_spread_over_it(tmp_path: Path) -> None:
    segments = spoken({"v.mp4": ["one", "two"]})
    for segment in segments:
        segment.wrong = {"frame_embeddings": np.ones((3, 4), np.float16)}
    import_segments(SegmentFiles(write_files(tmp_path / "vpt", segments)), tmp_path / "out")
    times = FeatureStore.open(tmp_path / "out" / "pooled").times("v.mp4")
    np.testing.assert_allclose(times, [1, 3.5, 6, 7, 9.5, 12])
    assert times[2] < 6


def test_columns_without_objects_are_read_as_those_of_deeplake(tmp_path: Path) -> None:
    segments = spoken(TEXTS, dim=3, tokens=17)
    folder = write_columns(tmp_path / "vpt", segments)
    report = import_segments(SegmentFiles(folder), tmp_path / "out")
    assert (report.segments, report.failures) == (5, [])
    store = FeatureStore.open(tmp_path / "out" / "frames")
    assert store["a b.mp4"].shape == (3, 16, 3)
    assert store.times("a b.mp4").tolist() == [3.5, 9.5, 15.5]


@pytest.mark.parametrize("form", ["text", "list", "one a line", "columns"])
def test_lines_may_be_json_once_or_twice(tmp_path: Path, form: str) -> None:
    segments = spoken({"v.mp4": ["one", "two"]}, dim=3, tokens=17)
    folder = write_columns(tmp_path / "vpt", segments)
    with np.load(folder / "v.npz") as archive:
        kept = {name: archive[name] for name in archive.files if name.startswith("clip_")}
    np.savez(folder / "v.npz", **kept)
    entries = [segment.whisper for segment in segments]
    if form == "columns":
        names = ("caption", "video_filename", "segment_metadata")
        entries = [{name: segment.columns[name] for name in names} for segment in segments]
    lines = {"text": [json.dumps(entries)], "list": [entries]}.get(form, entries)
    (folder / "s.jsonl").write_text("\n\n".join(json.dumps(line) for line in lines))
    report = import_segments(SegmentFiles(folder), tmp_path / "out")
    assert (report.segments, report.failures) == (2, [])
    assert FeatureStore.open(tmp_path / "out" / "frames").times("v.mp4").tolist() == [3.5, 9.5]


@pytest.mark.faults
def test_flags_of_an_npz_count_where_a_jsonl_tells_the_words(tmp_path: Path) -> None:
    segments = spoken({"v.mp4": ["one", "two"]}, dim=3, tokens=17)
    segments[1].wrong = {"done_text_encode": False}
    folder = write_columns(tmp_path / "vpt", segments)
    lines = [json.dumps(segment.whisper) for segment in segments]
    (folder / "s.jsonl").write_text("\n".join(lines))
    report = import_segments(SegmentFiles(folder), tmp_path / "out")
    assert report.segments == 1
    assert reasons(report)["v.npz: row 1"].startswith("done_text_encode is false")


def test_npz_of_old_numpy_is_read(tmp_path: Path) -> None:
    segment = Spoken("v", 0, 1, "one two")
    tmp_path.joinpath("vpt").mkdir()
    old_pickle(tmp_path / "vpt" / "v.npz", segment.clip_output)
    report = import_segments(SegmentFiles(tmp_path / "vpt"), tmp_path / "out")
    assert (report.segments, report.failures) == (1, [])


@pytest.mark.faults
def test_an_npz_that_would_run_code_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    good = Spoken("good", 0, 1, "one")
    folder = objects(tmp_path / "vpt", "trap", Trap(tmp_path / "sprung"))
    objects(folder, "inside", {**good.clip_output, "video_stem": Trap(tmp_path / "sprung")})
    objects(folder, "good", good.clip_output)
    np.savez(folder / "mixed", frame_embeddings=np.ones((1, 4)), x=np.array([{}], object))
    report = import_segments(SegmentFiles(folder), tmp_path / "out")
    found = reasons(report)
    assert found.keys() == {"trap.npz: arr_0", "inside.npz: arr_0", "mixed.npz"}
    assert "arr_0: unsafe pickle, not read: it asks for" in found["trap.npz: arr_0"]
    assert "unsafe pickle" in found["inside.npz: arr_0"]
    assert "unsafe, not read: x holds Python objects" in found["mixed.npz"]
    assert not (tmp_path / "sprung").exists()
    assert report.segments == 1


@pytest.mark.faults
def test_files_and_lines_that_are_wrong_are_listed(tmp_path: Path) -> None:
    segments = spoken({"v.mp4": ["one", "two", "three"], "w.mp4": ["four"]})
    folder = write_files(tmp_path / "vpt", segments)
    clips = folder / "part_clip_output"
    (clips / "w.npz").unlink()
    (clips / "cut.npz").write_bytes((clips / "v.npz").read_bytes()[:-90])
    (clips / "sub").mkdir()
    (clips / "sub" / "v.npz").write_bytes((clips / "v.npz").read_bytes())
    objects(clips, "text", "no dict")
    np.savez(clips / "flat.npz", np.ones(2))
    np.savez(clips / "empty.npz")
    np.savez(
        clips / "rows.npz", caption=np.array(["a", "b"]), clip_pooled_embedding=np.ones((3, 2))
    )
    np.savez(clips / "named.npz", video=np.array({}, object))
    whisper = folder / "part_whisper_output.jsonl"
    again = [segments[0].whisper, "x"]
    whisper.write_text(whisper.read_text() + "no json\n" + json.dumps(again) + "\n")
    (folder / "part_whisper_errors.jsonl").write_text('{"video_filepath": "x", "error": "y"}\n')
    report = import_segments(SegmentFiles(folder), tmp_path / "out")
    expected = {
        "part_clip_output/cut.npz": "is damaged",
        "part_clip_output/v.npz": "is named after the same video as part_clip_output/sub/v.npz",
        "part_clip_output/empty.npz": "holds no array",
        "part_clip_output/rows.npz": "columns have different numbers of rows",
        "part_clip_output/named.npz": "video is none of arr_0, arr_1",
        "part_clip_output/text.npz: row 0": "no 'video_filename'",
        "part_clip_output/flat.npz: row 0": "no 'video_filename'",
        "part_clip_output/flat.npz: row 1": "no 'video_filename'",
        "part_whisper_output.jsonl:3": "is no JSON",
        "part_whisper_output.jsonl:4: segment 1": "is segment 0 of its video, as in part_whisper",
        "part_whisper_output.jsonl:4: segment 2": "is no mapping",
        "part_whisper_output.jsonl:2: segment 1": "there is no npz of this segment",
    }
    found = reasons(report)
    assert found.keys() == expected.keys()
    for name, reason in expected.items():
        assert reason in found[name]
    assert report.segments == 3


@pytest.mark.faults
def test_names_of_files_that_are_no_text_are_shown(tmp_path: Path) -> None:
    segments = spoken({"v.mp4": ["one", "two"]}, dim=3, tokens=17)
    segments[1].wrong = {"timestamp": 100.0}
    folder = write_columns(tmp_path / "vpt", segments)
    (folder / "v.npz").rename(folder / "v\udcff.npz")
    (folder / "bad\udcff.npz").touch()
    report = import_segments(SegmentFiles(folder), tmp_path / "out")
    assert report.segments == 1
    assert list(reasons(report)) == ["bad\\udcff.npz", "v\\udcff.npz: row 1"]
    assert import_segments(SegmentFiles(folder), tmp_path / "out").failures == report.failures


@pytest.mark.faults
def test_a_folder_without_npz_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no \.npz file"):
        SegmentFiles(tmp_path)
