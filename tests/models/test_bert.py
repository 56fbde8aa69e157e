from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM

from mmvt.errors import CheckpointError, ConfigError, MissingWeightsError
from mmvt.models.bert import SeparateTrunk, read_bert_config
from tests.models.plain_bert import embedded, plain_bert
from tests.trap import Trap

CONFIG = {
    "vocab_size": 20,
    "hidden_size": 8,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 10,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a BERT of 3 layers, its pre-training head included."""
    torch.manual_seed(0)
    BertForMaskedLM(BertConfig(**CONFIG)).save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


def tiny(**fields: Any) -> SeparateTrunk:
    return SeparateTrunk(**{"max_video_len": 4, "num_hidden_video_layers": 2, **fields})


@pytest.mark.parametrize("steps", [0, 1, 3, 4])
def test_video_states_are_those_of_a_plain_bert(
    trunk: SeparateTrunk, batch: dict[str, Tensor], steps: int
):
    weights = trunk.video.state_dict()
    video = torch.randn(3, steps, 8)
    vmasks = batch["vmasks"][:, :steps]
    with torch.no_grad():
        hidden = trunk(
            video_embeddings=video, vmasks=vmasks, caps=batch["caps"], cmasks=batch["cmasks"]
        )["hidden_video"]
        words = weights["embeddings.word_embeddings.weight"]
        cls, sep = words[1].expand(3, 1, 8), words[2].expand(3, 1, 8)
        # [SEP] stands at 5 = max_video_len + 1 however few frames there are
        sequence = torch.cat([cls, video, sep], dim=1)
        tokens = embedded(weights, sequence, [*range(steps + 1), 5], [0] * (steps + 2))
        edge = torch.ones(3, 1)
        expected = plain_bert(weights, tokens, torch.cat([edge, vmasks, edge], dim=1))[-1]
    torch.testing.assert_close(hidden, expected)


def test_text_states_are_those_of_a_plain_bert_without_the_videos_separator(
    trunk: SeparateTrunk, batch: dict[str, Tensor]
):
    weights = trunk.text.state_dict()
    with torch.no_grad():
        hidden = trunk(video_embeddings=torch.zeros(3, 4, 8), **without_features(batch))
        kept = [0, 2, 3, 4, 5, 6]
        words = weights["embeddings.word_embeddings.weight"][batch["caps"][:, kept]]
        tokens = embedded(weights, words, [0, 1, 2, 3, 4, 5], [0] * 6)
        expected = plain_bert(weights, tokens, batch["cmasks"][:, kept].float())[-1]
    torch.testing.assert_close(hidden["hidden_text"], expected)


def without_features(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in batch.items() if key != "vfeats"}


def test_a_cls_that_is_masked_is_not_attended_to(trunk: SeparateTrunk, batch: dict[str, Tensor]):
    batch["cmasks"][:, 0] = False
    video = torch.randn(3, 4, 8)
    with torch.no_grad():
        states = trunk(video_embeddings=video, **without_features(batch))["hidden_video"]
        batch["caps"][:, 0] = 11
        changed = trunk(video_embeddings=video, **without_features(batch))["hidden_video"]
    assert not torch.allclose(changed[:, 0], states[:, 0])
    torch.testing.assert_close(changed[:, 1:], states[:, 1:])


def test_windows_and_texts_that_are_no_pairs_run_apart(
    trunk: SeparateTrunk, batch: dict[str, Tensor]
):
    inputs = {"video_embeddings": torch.randn(3, 4, 8), **without_features(batch)}
    paired = trunk(**inputs)
    inputs |= {
        "window_caps": torch.tensor([[11, 2, 0, 2]]).expand(3, -1),
        "window_cmasks": torch.tensor([[False, True, False, True]]).expand(3, -1),
        "caps": batch["caps"][:2],
        "cmasks": batch["cmasks"][:2],
    }
    apart = trunk(**inputs)
    torch.testing.assert_close(apart["hidden_text"], paired["hidden_text"][:2])
    batch["cmasks"][:, 0] = False
    video = {"video_embeddings": inputs["video_embeddings"], **without_features(batch)}
    masked = trunk(**video)["hidden_video"]
    torch.testing.assert_close(apart["hidden_video"][:, 1:], masked[:, 1:])


def test_a_row_without_anything_real_has_finite_states(
    trunk: SeparateTrunk, batch: dict[str, Tensor]
):
    batch["cmasks"][2] = batch["vmasks"][2] = False
    hidden = trunk(video_embeddings=torch.zeros(3, 4, 8), **without_features(batch))
    assert all(states.isfinite().all() for states in hidden.values())


def test_dropout_is_active_in_training_only(trunk: SeparateTrunk, batch: dict[str, Tensor]):
    inputs = {"video_embeddings": torch.zeros(3, 4, 8), **without_features(batch)}
    assert torch.equal(trunk(**inputs)["hidden_text"], trunk(**inputs)["hidden_text"])
    trunk.train()
    for name in ("hidden_text", "hidden_video"):
        assert not torch.equal(trunk(**inputs)[name], trunk(**inputs)[name])


def test_both_sides_begin_with_the_layers_of_the_same_weights(folder: Path):
    trunk = tiny(bert_name=str(folder), num_hidden_video_layers=1)
    stored = BertForMaskedLM.from_pretrained(folder).bert.state_dict()
    text, video = trunk.text.state_dict(), trunk.video.state_dict()
    assert text.keys() == stored.keys()
    assert len(trunk.video.encoder.layer) == 1
    assert all(torch.equal(text[key], stored[key]) for key in text)
    assert all(torch.equal(video[key], stored[key]) for key in video)
    assert not any(p is q for p in trunk.video.parameters() for q in trunk.text.parameters())
    assert trunk.hidden_size == 8
    assert trunk.text.training
    assert trunk.video.training


@pytest.mark.parametrize(("video", "text"), [(3, 2), (1, 1), (2, None)])
def test_each_side_has_the_layers_asked_for(folder: Path, video: int, text: int | None):
    trunk = tiny(bert_name=str(folder), num_hidden_video_layers=video, num_hidden_layers=text)
    assert len(trunk.video.encoder.layer) == trunk.video.config.num_hidden_layers == video
    assert len(trunk.text.encoder.layer) == trunk.text.config.num_hidden_layers == (text or 3)


def test_weights_that_are_not_pretrained_follow_the_folders_configuration(folder: Path):
    (folder / "model.safetensors").unlink()
    trunk = tiny(bert_name=str(folder), pretrained=False, bert_config={"intermediate_size": 20})
    assert trunk.hidden_size == 8
    assert trunk.text.encoder.layer[2].intermediate.dense.out_features == 20


def test_a_name_is_looked_up_in_pretrained_models_first(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "pretrained_models" / "some").mkdir(parents=True)
    folder.rename(tmp_path / "pretrained_models" / "some" / "bert")
    monkeypatch.chdir(tmp_path)
    assert tiny(bert_name="some/bert").hidden_size == 8


def test_absent_weights_say_where_to_put_them(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        MissingWeightsError,
        match=r"no BERT 'no-bert': put its config.json into "
        r"pretrained_models/no-bert, give a folder .* or fill the Hugging Face",
    ):
        tiny(bert_name="no-bert")
    (folder / "model.safetensors").unlink()
    with pytest.raises(MissingWeightsError, match=r"put its config.json and model.safetensors"):
        tiny(bert_name=str(folder))


def test_weights_that_would_run_code_are_refused(folder: Path, tmp_path: Path):
    (folder / "model.safetensors").unlink()
    torch.save({"weight": Trap(tmp_path / "sprung")}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="torn or unsafe"):
        tiny(bert_name=str(folder))
    assert not (tmp_path / "sprung").exists()


def test_torn_weights_are_refused(folder: Path):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="torn or unsafe"):
        tiny(bert_name=str(folder))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_hidden_layers": 4}, "lack 16 keys of a BERT with 4 layers of 8"),
        ({"bert_config": {"hidden_size": 16}}, "or have them in another shape"),
        ({"bert_config": {"num_attention_heads": 3}}, "not a multiple of the number of attention"),
        (
            {"bert_config": {"hiden_size": 8}},
            "hiden_size is no field of a BERT; did you mean hidden",
        ),
        ({"bert_name": None}, "pretrained weights need a bert_name"),
        ({"num_hidden_video_layers": 0}, "a BERT of 0 layers is asked for"),
        ({"num_hidden_layers": 0}, "a BERT of 0 layers is asked for"),
        ({"max_video_len": 9}, "max_video_len is 9, but a BERT of 10 positions takes 2 less"),
    ],
)
def test_what_does_not_fit_is_refused(folder: Path, fields: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        tiny(**{"bert_name": str(folder), **fields})


def test_the_longest_video_that_fits_is_taken(folder: Path):
    assert tiny(bert_name=str(folder), max_video_len=8).max_video_len == 8


def test_another_kind_of_model_is_refused(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "roberta"}))
    with pytest.raises(ConfigError, match="is a roberta, and no BERT"):
        read_bert_config(str(tmp_path), {})


def test_sequences_longer_than_the_model_are_refused(
    trunk: SeparateTrunk, batch: dict[str, Tensor]
):
    with pytest.raises(ConfigError, match="a video has 5 steps, but max_video_len is 4"):
        trunk(
            video_embeddings=torch.zeros(3, 5, 8),
            vmasks=torch.ones(3, 5, dtype=torch.bool),
            caps=batch["caps"],
            cmasks=batch["cmasks"],
        )
    caps = torch.ones(3, 12, dtype=torch.long)
    with pytest.raises(ConfigError, match="a text has 11 tokens, but its BERT 10 positions"):
        trunk(
            video_embeddings=torch.zeros(3, 4, 8),
            vmasks=batch["vmasks"],
            caps=caps,
            cmasks=caps.bool(),
        )
