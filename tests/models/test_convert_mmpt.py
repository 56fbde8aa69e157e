from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmvt.errors import CheckpointError
from mmvt.models.convert_mmpt import from_mmpt, is_mmpt, load_mmpt, to_mmpt
from mmvt.models.model import MultimodalModel


@pytest.fixture
def original(model: MultimodalModel) -> dict[str, Tensor]:
    """Return weights of a tiny VideoCLIP as the original stores them, all elements 0.25."""
    state = {key: torch.full_like(v, 0.25) for key, v in to_mmpt(model.state_dict()).items()}
    for prefix in ("video_encoder.bert.", "text_encoder."):
        state[f"{prefix}embeddings.position_ids"] = torch.arange(10)[None]
        state[f"{prefix}pooler.dense.weight"] = torch.zeros(8, 8)
        state[f"{prefix}pooler.dense.bias"] = torch.zeros(8)
    return state


def test_each_part_has_its_name_in_the_original(original: dict[str, Tensor]):
    assert {
        "video_encoder.videomlp.linear1.weight",
        "video_encoder.videomlp.LayerNorm.bias",
        "video_encoder.bert.embeddings.word_embeddings.weight",
        "video_encoder.bert.encoder.layer.0.attention.self.query.weight",
        "text_encoder.encoder.layer.1.output.dense.weight",
    } <= original.keys()
    assert is_mmpt(original)
    assert not is_mmpt(from_mmpt(original))


def test_weights_of_the_original_load_without_its_unused_tensors(
    model: MultimodalModel, original: dict[str, Tensor]
):
    report = load_mmpt(model, original)
    assert str(report) == ""
    assert all((parameter == 0.25).all() for parameter in model.parameters())


def test_conversion_there_and_back_changes_nothing(model: MultimodalModel):
    state = model.state_dict()
    back = from_mmpt(to_mmpt(state))
    assert back.keys() == state.keys()
    assert all(back[key] is state[key] for key in state)


def test_keys_that_do_not_fit_are_all_reported_and_nothing_is_loaded(
    model: MultimodalModel, original: dict[str, Tensor]
):
    del original["text_encoder.embeddings.LayerNorm.bias"]
    original["text_encoder.encoder.layer.2.output.dense.bias"] = torch.zeros(8)
    original["mm_encoder.bert.embeddings.LayerNorm.bias"] = torch.zeros(8)
    original["video_encoder.videomlp.linear1.bias"] = torch.zeros(9)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_mmpt(model, original)
    deeper = "trunk.text.encoder.layer.2.output.dense.bias"
    assert str(caught.value).splitlines()[1:] == [
        "missing: trunk.text.embeddings.LayerNorm.bias",
        f"unexpected: {deeper}, mm_encoder.bert.embeddings.LayerNorm.bias",
        "of another shape: encoders.video.linear1.bias (9,) for (8,)",
    ]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
