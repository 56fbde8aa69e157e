from __future__ import annotations

import pytest
import torch

from mmvt.errors import ConfigError
from mmvt.models.experts import ExpertEncoder


def encoder_of(**fields: object) -> ExpertEncoder:
    torch.manual_seed(0)
    options = {"hidden_size": 6, "max_video_len": 4, "input_dim": 3, "grid": 2} | fields
    return ExpertEncoder(**options)  # type: ignore[arg-type]  # some are wrong


MASKS = torch.tensor([[True, True, False], [True, False, False]])


def test_every_cell_of_every_step_is_a_token() -> None:
    encoder, features = encoder_of(), torch.randn(2, 3, 4, 3)
    outputs = encoder(vfeats=features, vmasks=MASKS)
    assert outputs["video_embeddings"].shape == (2, 12, 6)
    assert outputs["token_masks"].tolist() == [[True] * 8 + [False] * 4, [True] * 4 + [False] * 8]
    row = encoder.projection(torch.nn.functional.layer_norm(features[1, 2, 3], (3,)))
    expected = row + encoder.step.weight[2] + encoder.cell.weight[3] + encoder.modality
    torch.testing.assert_close(outputs["video_embeddings"][1, 11], expected)


def test_a_map_may_be_one_token() -> None:
    encoder, features = encoder_of(tokens_a_step="mean"), torch.randn(2, 3, 4, 3)
    outputs = encoder(vfeats=features, vmasks=MASKS)
    assert torch.equal(outputs["token_masks"], MASKS)
    shuffled = encoder(vfeats=features[:, :, [3, 1, 0, 2]], vmasks=MASKS)
    torch.testing.assert_close(outputs["video_embeddings"], shuffled["video_embeddings"])


def test_when_and_where_a_thing_is_makes_a_difference() -> None:
    encoder, features = encoder_of(), torch.randn(1, 1, 1, 3).expand(1, 3, 4, 3)
    tokens = encoder(vfeats=features, vmasks=MASKS[:1])["video_embeddings"][0]
    assert torch.cdist(tokens, tokens).fill_diagonal_(1).min() > 1e-3


def test_rows_without_a_map_are_a_token_a_step() -> None:
    outputs = encoder_of(grid=1)(vfeats=torch.randn(2, 3, 3), vmasks=MASKS)
    assert outputs["video_embeddings"].shape == (2, 3, 6)


def test_training_leaves_a_share_of_the_values_out() -> None:
    encoder, features = encoder_of(dropout=0.5), torch.randn(2, 3, 4, 3)
    torch.manual_seed(1)
    trained = encoder(vfeats=features, vmasks=MASKS)["video_embeddings"]
    torch.manual_seed(1)
    rows = torch.nn.functional.dropout(features, 0.5, training=True)
    expected = encoder.eval()(vfeats=rows, vmasks=MASKS)["video_embeddings"]
    torch.testing.assert_close(trained, expected)
    assert (rows == 0).any()
    plain = encoder_of()(vfeats=features, vmasks=MASKS)["video_embeddings"]
    whole = encoder(vfeats=features, vmasks=MASKS)["video_embeddings"]
    torch.testing.assert_close(whole, plain)


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_an_impossible_share_of_dropped_values_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match=f"dropout is {share}, but must be from 0 to below 1"):
        encoder_of(dropout=share)


def test_other_features_are_refused() -> None:
    with pytest.raises(ConfigError, match="4 rows of 5 a step, but grid × grid is 4 and input_dim"):
        encoder_of()(vfeats=torch.randn(2, 3, 4, 5), vmasks=MASKS)
    with pytest.raises(ConfigError, match="1 rows of 3 a step"):
        encoder_of()(vfeats=torch.randn(2, 3, 3), vmasks=MASKS)
    with pytest.raises(ConfigError, match="grid is 0"):
        encoder_of(grid=0)
