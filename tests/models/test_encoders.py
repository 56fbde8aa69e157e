from __future__ import annotations

import math

import pytest
import torch

from mmvt.errors import ConfigError
from mmvt.models.encoders import VideoTokenMLP


def test_a_token_is_linear_gelu_layer_norm_linear():
    encoder = VideoTokenMLP(hidden_size=2, input_dim=1)
    with torch.no_grad():
        encoder.linear1.weight.copy_(torch.tensor([[1.0], [-1.0]]))
        encoder.linear2.weight.copy_(torch.tensor([[2.0, 0.0], [0.0, 3.0]]))
        encoder.linear2.bias.copy_(torch.tensor([10.0, 20.0]))
        token = encoder(vfeats=torch.tensor([[[1.0]]]))["video_embeddings"]
    # exact GELU of 1 and of -1, then mean 0 and variance 1 with eps 1e-5
    high, low = 0.8413447, -0.1586553
    half = (high - low) / 2
    unit = half / math.sqrt(half * half + 1e-5)
    torch.testing.assert_close(token, torch.tensor([[[10 + 2 * unit, 20 - 3 * unit]]]))


def test_weights_start_at_the_scale_of_word_embeddings():
    torch.manual_seed(0)
    encoder = VideoTokenMLP(hidden_size=64, input_dim=64)
    for linear in (encoder.linear1, encoder.linear2):
        assert linear.weight.std().item() == pytest.approx(0.02, rel=0.1)
        assert not linear.bias.any()


def test_a_grid_of_one_row_is_a_row():
    encoder = VideoTokenMLP(hidden_size=4, input_dim=3)
    vfeats = torch.randn(2, 5, 3)
    row = encoder(vfeats=vfeats)["video_embeddings"]
    assert row.shape == (2, 5, 4)
    torch.testing.assert_close(encoder(vfeats=vfeats[:, :, None])["video_embeddings"], row)


def test_mean_pooling_forgets_where_a_row_was_and_concat_keeps_it():
    vfeats = torch.randn(1, 2, 4, 3)
    moved = vfeats.flip(2)
    mean = VideoTokenMLP(hidden_size=5, input_dim=3, grid=2)
    concat = VideoTokenMLP(hidden_size=5, input_dim=3, grid=2, grid_pooling="concat")
    assert concat.linear1.in_features == 12
    same = mean(vfeats=vfeats)["video_embeddings"]
    torch.testing.assert_close(mean(vfeats=moved)["video_embeddings"], same)
    one, other = (concat(vfeats=v)["video_embeddings"] for v in (vfeats, moved))
    assert not torch.allclose(one, other)


def test_half_precision_features_are_taken_as_they_come():
    encoder = VideoTokenMLP(hidden_size=4, input_dim=3)
    vfeats = torch.randn(1, 2, 3).half()
    torch.testing.assert_close(
        encoder(vfeats=vfeats)["video_embeddings"],
        encoder(vfeats=vfeats.float())["video_embeddings"],
    )


def test_features_of_another_width_are_refused_with_both_numbers():
    encoder = VideoTokenMLP(hidden_size=4, input_dim=512)
    with pytest.raises(ConfigError, match="features are 1280 wide, but input_dim is 512"):
        encoder(vfeats=torch.zeros(1, 2, 1280))


@pytest.mark.parametrize("pooling", ["mean", "concat"])
def test_another_grid_is_refused_with_both_numbers(pooling: str):
    encoder = VideoTokenMLP(hidden_size=4, input_dim=3, grid=2, grid_pooling=pooling)
    with pytest.raises(ConfigError, match="features have 9 rows a step, but grid × grid is 4"):
        encoder(vfeats=torch.zeros(1, 2, 9, 3))
    with pytest.raises(ConfigError, match="features have 1 rows a step, but grid × grid is 4"):
        encoder(vfeats=torch.zeros(1, 2, 3))


def test_a_grid_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="grid is 0, but must be at least 1"):
        VideoTokenMLP(hidden_size=4, grid=0)


@pytest.mark.parametrize("grid", [1, 2])
def test_masked_frames_become_the_token_of_a_row_of_zeros(grid: int):
    encoder = VideoTokenMLP(hidden_size=4, input_dim=3, grid=grid)
    rows = (grid * grid, 3) if grid > 1 else (3,)
    vfeats = torch.randn(2, 3, *rows)
    masked = torch.tensor([[True, False, False], [False, False, True]])
    before = vfeats.clone()
    tokens = encoder(vfeats=vfeats, video_label=masked)
    assert torch.equal(vfeats, before), "the caller's features are changed"
    vfeats[masked] = 0
    expected = encoder(vfeats=vfeats)["video_embeddings"]
    torch.testing.assert_close(tokens["video_embeddings"], expected)
    whole = encoder(vfeats=before)
    torch.testing.assert_close(tokens["frame_embeddings"], whole["frame_embeddings"])
    assert whole["frame_embeddings"] is whole["video_embeddings"]


def test_gradients_reach_the_weights_through_masked_frames_too():
    encoder = VideoTokenMLP(hidden_size=4, input_dim=3)
    masked = torch.ones(1, 2, dtype=torch.bool)
    tokens = encoder(vfeats=torch.randn(1, 2, 3), video_label=masked)
    tokens["video_embeddings"].sum().backward(retain_graph=True)
    assert not encoder.linear1.weight.grad.any(), "zeros say nothing of the features' weights"
    assert encoder.linear1.bias.grad.any()
    tokens["frame_embeddings"].square().sum().backward()
    assert encoder.linear1.weight.grad.any()
