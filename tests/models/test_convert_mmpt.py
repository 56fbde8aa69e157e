from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from mmvt.checkpoint import load_state
from mmvt.errors import CheckpointError
from mmvt.models.convert_mmpt import (
    TIED,
    complete_mmpt,
    convert_checkpoint,
    from_mmpt,
    is_mmpt,
    load_mmpt,
    to_mmpt,
)
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
    original["some_encoder.bert.embeddings.LayerNorm.bias"] = torch.zeros(8)
    original["video_encoder.videomlp.linear1.bias"] = torch.zeros(9)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_mmpt(model, original)
    deeper = "trunk.text.encoder.layer.2.output.dense.bias"
    assert str(caught.value).splitlines()[1:] == [
        "missing: trunk.text.embeddings.LayerNorm.bias",
        f"unexpected: {deeper}, some_encoder.bert.embeddings.LayerNorm.bias",
        "of another shape: encoders.video.linear1.bias (9,) for (8,)",
    ]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


VLM = {
    "mm_encoder.videomlp.linear1.weight": "encoders.video.linear1.weight",
    "mm_encoder.bert.embeddings.word_embeddings.weight": (
        "trunk.bert.embeddings.word_embeddings.weight"
    ),
    "mm_encoder.bert.embeddings.position_embeddings.weight": (
        "trunk.bert.embeddings.position_embeddings.weight"
    ),
    "mm_encoder.bert.embeddings.seg_embeddings.weight": (
        "trunk.bert.embeddings.seg_embeddings.weight"
    ),
    "mm_encoder.cls.predictions.transform.dense.weight": "head.transform.dense.weight",
    "mm_encoder.cls.predictions.transform.LayerNorm.bias": "head.transform.LayerNorm.bias",
    "mm_encoder.cls.predictions.bias": "head.bias",
    "mm_encoder.classifier.weight": "head.classifier.weight",
}


@pytest.fixture
def vlm() -> dict[str, Tensor]:
    """Return some weights of a VLM with every head at once, tied ones stored twice."""
    state = {key: torch.full((3, 2), float(at)) for at, key in enumerate(VLM)}
    state |= {copy: state[source].clone() for copy, source in TIED.items()}
    state["mm_encoder.bert.embeddings.position_ids"] = torch.arange(3)[None]
    state["mm_encoder.bert.pooler.dense.weight"] = torch.zeros(2, 2)
    state["mm_encoder.bert.pooler.dense.bias"] = torch.zeros(2)
    return state


def test_weights_of_a_vlm_have_our_keys_each_once(vlm: dict[str, Tensor]):
    ours = from_mmpt(vlm)
    assert is_mmpt(vlm)
    assert not is_mmpt(ours)
    assert {key: ours[name] is vlm[key] for key, name in VLM.items()} == dict.fromkeys(VLM, True)
    assert len(ours) == len(VLM)


def test_what_the_original_stores_beside_is_written_for_it_again(vlm: dict[str, Tensor]):
    back = complete_mmpt(to_mmpt(from_mmpt(vlm)))
    assert back.keys() == vlm.keys()
    assert all(torch.equal(back[key], vlm[key]) for key in vlm)


def test_a_vlm_without_a_head_for_words_gets_no_decoder(vlm: dict[str, Tensor]):
    plain = {key: value for key, value in vlm.items() if ".cls." not in key}
    assert complete_mmpt(to_mmpt(from_mmpt(plain))).keys() == plain.keys()


@pytest.mark.parametrize("copy", TIED)
def test_a_decoder_that_is_no_longer_tied_is_refused(vlm: dict[str, Tensor], copy: str):
    vlm[copy] += 1
    with pytest.raises(CheckpointError, match=f"no longer tied: {copy} differs from mm_encoder"):
        from_mmpt(vlm)


def test_a_classifier_of_videoclip_is_the_heads():
    key = "video_encoder.classifier.bias"
    assert list(from_mmpt({key: torch.zeros(2)})) == ["head.classifier.bias"]
    assert list(to_mmpt({"head.classifier.bias": torch.zeros(2)})) == [key]


def test_what_is_listed_may_be_missing_or_unexpected(
    model: MultimodalModel, original: dict[str, Tensor]
):
    del original["text_encoder.embeddings.LayerNorm.bias"]
    original["video_encoder.classifier.bias"] = torch.zeros(8)
    report = load_mmpt(model, original, ["trunk.text.*"], ["head.classifier.*"])
    assert report.missing == ("trunk.text.embeddings.LayerNorm.bias",)
    assert report.unexpected == ("head.classifier.bias",)


def test_a_checkpoint_is_converted_there_and_back(tmp_path: Path, original: dict[str, Tensor]):
    torch.save(
        {"model": {f"mmmodel.{k}": v for k, v in original.items()}}, tmp_path / "original.pt"
    )
    ours = convert_checkpoint(tmp_path / "original.pt", tmp_path / "ours.safetensors")
    assert load_state(tmp_path / "ours.safetensors").keys() == ours.keys()
    assert not is_mmpt(ours)
    convert_checkpoint(tmp_path / "ours.safetensors", tmp_path / "back.safetensors")
    back = load_state(tmp_path / "back.safetensors")
    assert back.keys() == original.keys()
    assert all(torch.equal(back[key], original[key]) for key in original)


def test_no_pickle_is_written(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"out.pt must end with .safetensors"):
        convert_checkpoint(tmp_path / "in.safetensors", tmp_path / "out.pt")
