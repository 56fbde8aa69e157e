from __future__ import annotations

import pytest
import torch

from mmvt.errors import DataError
from mmvt.evaluators.predictors.merging import (
    label_similarity,
    label_threshold,
    merge_windows,
    most_likely,
)
from mmvt.processors.aligners.windows import window_slices


def test_steps_in_several_windows_have_the_mean():
    rows = [torch.tensor([[1.0], [2], [3]]), torch.tensor([[5.0], [7]])]
    merged = merge_windows(rows, [slice(0, 3), slice(2, 4)], 4)
    assert merged.tolist() == [[1], [2], [(3 + 5) / 2], [7]]


def test_windows_that_say_the_same_change_nothing():
    video = torch.randn(23, 4, generator=torch.Generator().manual_seed(0))
    for stride, size in ((3, 6), (8, 8), (1, 5), (30, 30)):
        windows = window_slices(len(video), stride, size)
        merged = merge_windows([video[w] for w in windows], windows, len(video))
        torch.testing.assert_close(merged, video)


def test_the_order_of_windows_changes_nothing():
    rows = [torch.tensor([[1.0], [2]]), torch.tensor([[4.0], [8]])]
    windows = [slice(0, 2), slice(1, 3)]
    forward = merge_windows(rows, windows, 3)
    assert torch.equal(merge_windows(rows[::-1], windows[::-1], 3), forward)


def test_a_step_in_no_window_has_no_class():
    merged = merge_windows([torch.ones(2, 3), torch.ones(1, 3)], [slice(0, 2), slice(3, 4)], 4)
    assert merged.isnan().any(dim=1).tolist() == [False, False, True, False]
    for decide in (most_likely, lambda states: label_similarity(states, torch.eye(3))):
        with pytest.raises(DataError, match="1 steps have no number, such as step 2"):
            decide(merged)


def test_the_likeliest_class_is_taken():
    assert most_likely(torch.tensor([[0.1, 0.9], [2.0, -1.0]])).tolist() == [1, 0]


def test_a_step_has_the_nearest_label_from_one_or_none():
    labels = torch.tensor([[1.0, 0], [0.6, 0.8]])  # their product is 0.6
    assert label_threshold(labels) == pytest.approx(0.6)
    states = torch.tensor([[1.0, 0], [0.0, 1], [0.5, 0], [0.6, 0.0]])
    # products: (1, .6), (0, .8), (.5, .3), and .6, which is no more than two labels have
    assert label_similarity(states, labels).tolist() == [1, 2, 0, 0]


def test_a_single_label_is_always_taken():
    assert label_threshold(torch.ones(1, 2)) == -torch.inf
    assert label_similarity(-torch.ones(3, 2), torch.ones(1, 2)).tolist() == [1, 1, 1]


def test_labels_are_not_changed():
    labels = torch.eye(3)
    label_similarity(torch.ones(1, 3), labels)
    assert torch.equal(labels, torch.eye(3))
