from __future__ import annotations

import pytest
import torch

from mmvt.evaluators.predictors.segments import chunk_segments, segment_vectors


def test_a_video_of_six_chunks_has_21_segments_single_chunks_first():
    segments = chunk_segments()
    assert len(segments) == len(set(segments)) == 21
    assert segments[:6] == [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]
    assert segments[6:8] == [(0, 1), (0, 2)]
    assert all(0 <= first <= last < 6 for first, last in segments)
    assert chunk_segments(1) == [(0, 0)]
    assert chunk_segments(2) == [(0, 0), (1, 1), (0, 1)]


def test_a_segment_is_the_mean_of_its_steps():
    frames = torch.arange(4.0)[:, None]
    vectors, begun = segment_vectors(
        frames, torch.ones(4, dtype=torch.bool), chunk_segments(2), 2.0
    )
    assert vectors.flatten().tolist() == [0.5, 2.5, 1.5]
    assert begun.all()


def test_chunks_may_be_no_whole_number_of_steps():
    frames = torch.arange(5.0)[:, None]
    vectors, _ = segment_vectors(frames, torch.ones(5, dtype=torch.bool), [(0, 0), (1, 1)], 2.5)
    # 2.5 is rounded to the even 2
    assert vectors.flatten().tolist() == [0.5, 3.0]


def test_a_segment_that_begins_after_the_video_is_told_and_one_that_ends_there_has_padding():
    frames = torch.tensor([[1.0], [1.0], [1.0], [9.0]])
    mask = torch.tensor([True, True, True, False])
    segments = [(0, 0), (1, 1), (0, 1)]
    vectors, begun = segment_vectors(frames, mask, segments, 2.0)
    assert begun.tolist() == [True, True, True]
    assert vectors.flatten().tolist() == [1, 5, pytest.approx(3)]
    _, begun = segment_vectors(frames, torch.tensor([True, True, False, False]), segments, 2.0)
    assert begun.tolist() == [True, False, True]
