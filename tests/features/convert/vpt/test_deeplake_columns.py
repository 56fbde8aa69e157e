"""Datasets of Deeplake are read, and the error without the library tells how to get it."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mmvt.datasets.store import FeatureStore
from mmvt.errors import MissingPackageError, StoreError
from mmvt.features.convert.vpt.deeplake_columns import DeeplakeSegments, is_deeplake
from mmvt.features.convert.vpt.importing import import_segments
from mmvt.processors.caption_file import read_captions
from mmvt.processors.transcript_files import read_transcript
from tests.vpt_data import Spoken, spoken, write_deeplake

IS_THERE = importlib.util.find_spec("deeplake") is not None
needs_deeplake = [
    pytest.mark.may_skip("Deeplake is an extra"),
    pytest.mark.skipif(
        not IS_THERE, reason="deeplake is not installed; run: python -m mmvt_cli.setup deeplake"
    ),
]
TEXTS = {"a b.mp4": ["one two three", "four five", "six"], "c.webm": ["séven", "nine"]}


@pytest.fixture
def segments() -> Sequence[Spoken]:
    return spoken(TEXTS, dim=8, tokens=17)


@pytest.mark.may_skip("Deeplake is there")
@pytest.mark.skipif(IS_THERE, reason="deeplake is installed")
def test_without_the_library_the_error_names_the_extra(tmp_path: Path) -> None:
    (tmp_path / "dataset_meta.json").write_text("{}")
    with pytest.raises(MissingPackageError, match="run: python -m mmvt_cli.setup deeplake$"):
        DeeplakeSegments(tmp_path)


def test_folders_of_both_versions_are_known(tmp_path: Path) -> None:
    assert not is_deeplake(tmp_path)
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "dataset_meta.json").write_text("{}")
    (tmp_path / "4" / "_deeplake_log").mkdir(parents=True)
    assert is_deeplake(tmp_path / "3")
    assert is_deeplake(tmp_path / "4")


class TestWithDeeplake:
    pytestmark = needs_deeplake

    def test_rows_become_stores(self, tmp_path: Path, segments: Sequence[Spoken]) -> None:
        source = DeeplakeSegments(write_deeplake(tmp_path / "ds", segments))
        report = import_segments(source, tmp_path / "out", grid=2)
        assert (report.videos, report.segments, report.failures) == (2, 5, [])
        pooled = FeatureStore.open(tmp_path / "out" / "pooled", verify="full")
        expected = [s.columns["clip_pooled_embedding"].astype(np.float16) for s in segments[:3]]
        np.testing.assert_array_equal(pooled["a b.mp4"], expected)
        assert FeatureStore.open(tmp_path / "out" / "frames")["c.webm"].shape == (2, 4, 8)
        captions = read_captions(tmp_path / "out" / "captions.csv")
        assert [row.text for row in captions["c.webm"]] == ["séven", "nine"]

    def test_what_version_3_wrote_is_read_too(self, tmp_path: Path) -> None:
        # written by deeplake 3.9.52 with the calls of VPT; row 2 never got its pooled vector
        shutil.unpack_archive(Path(__file__).with_name("deeplake3.zip"), tmp_path / "ds")
        source = DeeplakeSegments(tmp_path / "ds")
        report = import_segments(source, tmp_path / "out", grid=2)
        assert [failure.reason.partition(";")[0] for failure in report.failures] == [
            "done_text_encode is false",
            "has no clip_pooled_embedding",
        ]
        frames = FeatureStore.open(tmp_path / "out" / "frames", verify="full")
        assert (frames.times("a b.mp4").tolist(), frames["c.webm"].shape) == ([3.5], (1, 4, 8))
        expected = spoken(TEXTS, dim=8, tokens=17)[0].columns["clip_pooled_embedding"]
        row = FeatureStore.open(tmp_path / "out" / "pooled")["a b.mp4"][0]
        np.testing.assert_array_equal(row, expected.astype(np.float16))
        captions = read_captions(tmp_path / "out" / "captions.csv")
        assert [row.text for row in captions["c.webm"]] == ["séven"]

    def test_metadata_may_be_json_in_place_of_text(self, tmp_path: Path) -> None:
        import deeplake
        from deeplake import types

        segment = Spoken("v.mp4", 0, 1, "one two", dim=8, tokens=17)
        row = segment.columns
        dataset = deeplake.create(str(tmp_path / "ds"))
        dataset.add_column("caption", types.Text())
        dataset.add_column("video_filename", types.Text())
        dataset.add_column("segment_metadata", types.Dict())
        dataset.add_column("clip_pooled_embedding", types.Array("float32", dimensions=1))
        metadata = {"segment_metadata": json.loads(row["segment_metadata"])}
        names = ("caption", "video_filename", "clip_pooled_embedding")
        dataset.append([{name: row[name] for name in names} | metadata])
        dataset.commit()
        report = import_segments(DeeplakeSegments(tmp_path / "ds"), tmp_path / "out")
        assert (report.segments, report.failures) == (1, [])
        words = read_transcript(tmp_path / "out" / "transcripts" / "v.mp4.json").words
        assert [(word.text, word.start, word.end) for word in words] == [
            ("one", 1, 3.5),
            ("two", 3.5, 6),
        ]

    @pytest.mark.faults
    def test_segments_that_are_not_done_are_listed(
        self, tmp_path: Path, segments: Sequence[Spoken]
    ) -> None:
        segments[1].wrong = {"done_text_encode": False}
        segments[3].wrong = {"clip_last_hidden_states": np.zeros((17, 8), np.float32)}
        folder = write_deeplake(tmp_path / "ds", segments)
        report = import_segments(DeeplakeSegments(folder), tmp_path / "out")
        assert [(failure.source, failure.reason) for failure in report.failures] == [
            (f"{folder}: row 1", "done_text_encode is false; --undone takes it all the same"),
            (f"{folder}: row 3", "clip_last_hidden_states is all zeros: it was never computed"),
        ]

    @pytest.mark.faults
    def test_other_and_damaged_datasets_are_named(self, tmp_path: Path) -> None:
        import deeplake

        other = deeplake.create(str(tmp_path / "other"))
        other.add_column("caption", deeplake.types.Text())
        other.commit()
        with pytest.raises(
            StoreError, match="no column video_filename, segment_metadata, only caption"
        ):
            DeeplakeSegments(tmp_path / "other")
        (tmp_path / "dataset_meta.json").write_text("{")
        with pytest.raises(StoreError, match="cannot be read by Deeplake"):
            DeeplakeSegments(tmp_path)
        with pytest.raises(StoreError, match="no path with a quotation mark"):
            DeeplakeSegments(tmp_path / 'a"b')
