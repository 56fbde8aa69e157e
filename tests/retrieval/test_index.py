from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmvt.errors import DataError, StoreError
from mmvt.retrieval.index import (
    NAME,
    Hit,
    IndexedFile,
    ModelRef,
    Part,
    VideoIndex,
    spans,
    stretches,
)

MODEL = ModelRef("a.yaml", None, ["head.temperature=2"], {"settings": "12", "checkpoint": None})


def part(name: str, vectors: list[list[float]], whole: int = 1) -> Part:
    """Return a video of one-second steps; the first ``whole`` vectors are of its stretches."""
    seconds = np.array([[i, i + 1] for i in range(len(vectors))], float)
    seconds[:whole] = [0, 99]
    count = len(vectors) - whole
    file = IndexedFile(name, f"/videos/{name}", 1, 2, 99.0, f"{name}@1", whole, count)
    return Part(file, np.array(vectors, np.float32), seconds)


@pytest.fixture
def index() -> VideoIndex:
    parts = [
        part("c.mp4", [[0, 1], [0, 2], [1, 0]]),
        part("a.mp4", [[1, 0], [0, 3], [5, 5], [7, 0]], whole=2),
        part("b.mp4", [[0, 1]]),
    ]
    return VideoIndex.of_parts(MODEL, parts, 2)


def found(hits: list[Hit]) -> list[tuple[str, float, float, float]]:
    return [(hit.file.id, hit.score, hit.start, hit.end) for hit in hits]


@given(steps=st.integers(1, 300), longest=st.integers(1, 40))
def test_stretches_cover_every_step_and_are_as_long_as_they_can_be(
    steps: int, longest: int
) -> None:
    parts = stretches(steps, longest)
    assert {stop - start for start, stop in parts} == {min(steps, longest)}
    assert {i for start, stop in parts for i in range(start, stop)} == set(range(steps))
    assert len(set(parts)) == len(parts)


@given(steps=st.integers(1, 300), longest=st.integers(1, 40))
def test_spans_lie_inside_the_video_and_are_shorter_than_a_stretch(
    steps: int, longest: int
) -> None:
    for start, stop in spans(steps, longest):
        assert 0 <= start < stop <= steps
        assert stop - start < min(steps, longest)


def test_edge_cases_of_stretches_and_spans() -> None:
    assert stretches(4, 4) == [(0, 4)]
    assert stretches(5, 4) == [(0, 4), (1, 5)]
    assert stretches(3, 1) == [(0, 1), (1, 2), (2, 3)]
    assert spans(1, 8) == []
    assert spans(4, 8) == [(0, 1), (1, 2), (2, 3), (3, 4), (0, 2), (1, 3), (2, 4)]
    assert spans(8, 8)[:2] == [(0, 2), (1, 3)]


def test_video_scores_as_its_best_stretch_and_names_the_best_span_inside(
    index: VideoIndex,
) -> None:
    hits = index.search(np.array([0, 1], np.float32))
    # a: its second stretch; b and c are equal, and in the order of ids; b has no shorter span
    assert found(hits) == [
        ("a.mp4", 3.0, 2.0, 3.0),
        ("b.mp4", 1.0, 0.0, 99.0),
        ("c.mp4", 1.0, 1.0, 2.0),
    ]
    assert found(index.search(np.array([1, 0], np.float32), 1)) == [("a.mp4", 1.0, 3.0, 4.0)]


def test_spans_of_another_stretch_do_not_count() -> None:
    seconds = np.array([[0, 2], [2, 4], [0, 1], [2, 3]], float)
    file = IndexedFile("a", "/a", 1, 2, 4.0, "a@1", 2, 2)
    vectors = np.array([[1], [5], [9], [2]], np.float32)
    index = VideoIndex.of_parts(MODEL, [Part(file, vectors, seconds)], 1)
    assert found(index.search(np.ones(1, np.float32))) == [("a", 5.0, 2.0, 3.0)]


@given(st.lists(st.lists(st.integers(-9, 9), min_size=1, max_size=5), min_size=1, max_size=9))
def test_search_is_exact(scores: list[list[int]]) -> None:
    parts = [
        part(f"{number:03d}", [[float(score)] for score in row], whole=len(row))
        for number, row in enumerate(scores)
    ]
    hits = VideoIndex.of_parts(MODEL, parts, 1).search(np.ones(1, np.float32), 3)
    expected = sorted(((-max(row), number) for number, row in enumerate(scores)))[:3]
    assert [(-hit.score, int(hit.file.id)) for hit in hits] == expected


def test_saved_index_is_the_same_and_old_arrays_go(index: VideoIndex, tmp_path: Path) -> None:
    for _ in range(2):
        index.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "index.json",
        "seconds_00002.npy",
        "vectors_00002.npy",
    ]
    again = VideoIndex.open(tmp_path)
    assert again.model == MODEL
    query = np.array([0.5, 1], np.float32)
    assert found(again.search(query)) == found(index.search(query))
    for one, other in zip(again.parts(), index.parts(), strict=True):
        assert one.file == other.file
        np.testing.assert_array_equal(one.vectors, other.vectors)
        np.testing.assert_array_equal(one.seconds, other.seconds)


def test_parts_are_what_was_put_in(index: VideoIndex) -> None:
    parts = {one.file.id: one for one in index.parts()}
    assert parts["a.mp4"].vectors.tolist() == [[1, 0], [0, 3], [5, 5], [7, 0]]
    assert parts["c.mp4"].seconds.tolist() == [[0, 99], [1, 2], [2, 3]]


def test_empty_index_finds_nothing(tmp_path: Path) -> None:
    VideoIndex.of_parts(MODEL, [], 2).save(tmp_path)
    assert VideoIndex.open(tmp_path).search(np.zeros(2, np.float32)) == []


def test_query_that_does_not_fit_is_refused(index: VideoIndex) -> None:
    with pytest.raises(DataError, match=r"takes \(2,\)"):
        index.search(np.zeros(3, np.float32))
    with pytest.raises(DataError, match="not finite"):
        index.search(np.array([np.nan, 0], np.float32))


def test_vectors_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    index = VideoIndex.of_parts(MODEL, [part("a", [[np.nan]])], 1)
    with pytest.raises(DataError, match="not finite"):
        index.save(tmp_path)
    assert not (tmp_path / NAME).exists()


def damaged(folder: Path, **changes: object) -> None:
    data = json.loads((folder / NAME).read_text()) | changes
    (folder / NAME).write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "is a mmvt-index of version 2"),
        ({"files": []}, "names 0 vectors"),
        ({"files": [{"id": "a"}]}, "is damaged"),
        ({"files": 3}, "is damaged"),
        ({"vectors": "../elsewhere.npy"}, "is damaged"),
        ({"model": {"config": 3}}, "is damaged"),
        ({"seconds": "short.npy"}, "the arrays are"),
    ],
)
def test_damaged_index_is_refused(
    index: VideoIndex, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    folder = tmp_path / "index"
    folder.mkdir()
    np.save(tmp_path / "elsewhere.npy", np.zeros((8, 2)))
    np.save(folder / "short.npy", np.zeros((7, 2)))
    index.save(folder)
    damaged(folder, **changes)
    with pytest.raises(StoreError, match=message):
        VideoIndex.open(folder)


def test_absent_index_and_torn_files_are_refused(index: VideoIndex, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no index .* run mmvt index"):
        VideoIndex.open(tmp_path)
    index.save(tmp_path)
    vectors = next(tmp_path.glob("vectors_*.npy"))
    vectors.write_bytes(vectors.read_bytes()[:-4])
    with pytest.raises(StoreError, match="is damaged"):
        VideoIndex.open(tmp_path)
    (tmp_path / NAME).write_text("{")
    with pytest.raises(StoreError, match="is damaged"):
        VideoIndex.open(tmp_path)
