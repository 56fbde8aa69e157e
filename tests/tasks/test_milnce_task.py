from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mmvt.errors import ConfigError
from mmvt.losses.milnce import MILNCE
from mmvt.models.bert import SeparateTrunk
from mmvt.tasks.milnce_task import MILNCETask


def batch_of(*shape: int) -> dict[str, Tensor]:
    """Return a batch of (videos, …, candidates) texts of 3 tokens."""
    caps = torch.arange(torch.Size(shape).numel() * 3).view(*shape, 3) % 19 + 1
    vmasks = torch.ones(*shape[:-1], 2, dtype=torch.bool)
    return {
        "caps": caps,
        "cmasks": caps > 0,
        "vfeats": torch.ones(*vmasks.shape, 5),
        "vmasks": vmasks,
    }


@pytest.mark.parametrize(("shape", "subsampling"), [((3, 4), 1), ((3, 2, 4), 2)])
def test_candidates_become_texts_of_their_own(shape: tuple[int, ...], subsampling: int) -> None:
    batch = batch_of(*shape)
    flat = MILNCETask(subsampling=subsampling).flatten(batch)
    videos = 3 * subsampling
    assert flat["vfeats"].shape == (videos, 2, 5)
    assert torch.equal(flat["caps"], batch["caps"].view(videos * 4, 3))
    assert flat["cmasks"].shape == (videos * 4, 3)
    assert torch.equal(flat["window_caps"], flat["caps"][::4])
    assert batch["caps"].shape == (*shape, 3)


def test_one_caption_a_video_stays_one() -> None:
    batch = {**batch_of(3, 1), "caps": torch.ones(3, 3), "cmasks": torch.ones(3, 3)}
    assert MILNCETask().flatten(batch).keys() == batch.keys()


def test_another_number_of_candidates_is_refused() -> None:
    with pytest.raises(ConfigError, match="have 3 candidate captions each, but num_cands is 4"):
        MILNCETask().flatten(batch_of(2, 3))
    with pytest.raises(ConfigError, match="num_cands is 0"):
        MILNCETask(num_cands=0)


class Scorer(nn.Module):
    """A trunk, and the scores of every video with every candidate."""

    def __init__(self) -> None:
        super().__init__()
        sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
        config = {**sizes, "vocab_size": 20, "intermediate_size": 8, "max_position_embeddings": 9}
        torch.manual_seed(0)
        self.trunk = SeparateTrunk(
            max_video_len=2, num_hidden_video_layers=1, pretrained=False, bert_config=config
        )

    def forward(self, vfeats: Tensor, **batch: Tensor) -> dict[str, Tensor]:
        states = self.trunk(
            video_embeddings=vfeats.mean(-1, keepdim=True).expand(-1, -1, 8), **batch
        )
        video, text = states["hidden_video"].mean(1), states["hidden_text"].mean(1)
        return {"scores": video @ text.T}


def test_a_trunk_and_the_loss_take_what_it_makes() -> None:
    loss, outputs = MILNCETask(subsampling=2).compute(Scorer(), MILNCE(), batch_of(3, 2, 4))
    assert outputs["scores"].shape == (6, 24)
    assert loss.isfinite()
