"""Trunks of dual encoders that write: the text's BERT goes on from what the video's made."""

from typing import Any

import pytest
import torch

from mmvt.errors import ConfigError
from mmvt.models.base import Trunk
from mmvt.models.bert import SeparateTrunk
from mmvt.models.joint import JointTrunk, SharedTrunk

CONFIG = {
    "hidden_size": 8,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "vocab_size": 30,
    "max_position_embeddings": 16,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "initializer_range": 0.5,
}
FIELDS = {"max_video_len": 3, "pretrained": False, "bert_config": CONFIG}
TRUNKS = [
    pytest.param(SeparateTrunk, {"num_hidden_video_layers": 1}, id="separate"),
    pytest.param(SharedTrunk, {}, id="shared"),
]


def trunk_of(cls: type[Trunk], options: dict[str, Any], **more: Any) -> Trunk:
    torch.manual_seed(0)
    return cls(**FIELDS, **options, **more).eval()


def batch() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {
        "video_embeddings": torch.randn(2, 3, 8),
        "vmasks": torch.tensor([[True, True, True], [True, True, False]]),
        "caps": torch.tensor([[2, 3, 2, 11, 12, 13], [2, 3, 2, 14, 15, 0]]),
        "cmasks": torch.tensor([[True] * 6, [True] * 5 + [False]]),
    }


@pytest.mark.parametrize(("cls", "options"), TRUNKS)
def test_a_word_changes_no_state_before_it(cls: type[Trunk], options: dict[str, Any]) -> None:
    trunk, values = trunk_of(cls, options, text_attention="causal"), batch()
    before = trunk(**values)["hidden"]
    values["caps"][0, 4] = 20
    after = trunk(**values)["hidden"]
    place = 1 + 3 + 3  # [CLS], video, and the words from the video's [SEP] to the one changed
    torch.testing.assert_close(after[:, :place], before[:, :place])
    torch.testing.assert_close(after[1], before[1])
    assert (after[0, place:] - before[0, place:]).abs().amax(-1).min() > 1e-3


@pytest.mark.parametrize(("cls", "options"), TRUNKS)
def test_every_word_sees_the_video(cls: type[Trunk], options: dict[str, Any]) -> None:
    trunk, values = trunk_of(cls, options, text_attention="causal"), batch()
    before = trunk(**values)["hidden"]
    values["video_embeddings"][0, 2] *= torch.arange(8) - 4.0
    after = trunk(**values)["hidden"]
    assert (after[0] - before[0]).abs().amax(-1).min() > 1e-5
    torch.testing.assert_close(after[1], before[1])


@pytest.mark.parametrize(("cls", "options"), TRUNKS)
def test_padding_changes_nothing(cls: type[Trunk], options: dict[str, Any]) -> None:
    trunk, values = trunk_of(cls, options, text_attention="causal"), batch()
    before = trunk(**values)["hidden"][1, [0, 1, 2, 4, 5, 6, 7]]
    values["video_embeddings"][1, 2] = 9.0
    values["caps"][1, 5] = 29
    after = trunk(**values)["hidden"][1, [0, 1, 2, 4, 5, 6, 7]]
    torch.testing.assert_close(after, before)


@pytest.mark.parametrize(("cls", "options"), TRUNKS)
def test_the_states_of_the_video_are_those_of_the_dual_encoder(
    cls: type[Trunk], options: dict[str, Any]
) -> None:
    apart, causal = trunk_of(cls, options), trunk_of(cls, options, text_attention="causal")
    assert (apart.encodes_apart, causal.encodes_apart) == (True, False)
    assert (apart.is_causal, causal.is_causal) == (False, True)
    torch.testing.assert_close(causal(**batch())["hidden_video"], apart(**batch())["hidden_video"])
    assert apart.state_dict().keys() == causal.state_dict().keys()
    assert set(apart(**batch())) == set(cls.produces)
    assert set(causal(**batch())) == {*cls.produces, *cls.produces_when_causal}


@pytest.mark.parametrize(("cls", "options"), TRUNKS)
def test_word_embeddings_are_the_weight_of_the_words_that_are_read(
    cls: type[Trunk], options: dict[str, Any]
) -> None:
    trunk = trunk_of(cls, options, text_attention="causal")
    bert = trunk.text if isinstance(trunk, SeparateTrunk) else trunk.bert
    assert trunk(**batch())["word_embeddings"] is bert.embeddings.word_embeddings.weight


def test_words_stand_where_those_of_a_joint_trunk_do() -> None:
    shared = trunk_of(SharedTrunk, {}, text_attention="causal")
    values = batch()
    with torch.no_grad():
        states = shared(**values)["hidden_video"]
        inputs = torch.cat(
            [states, shared.bert.embeddings.word_embeddings(values["caps"][:, 2:])], 1
        )
        places = torch.tensor([[0, 1, 2, 3, 4, 5, 6, 7, 8]])
        seen = torch.zeros(2, 1, 9, 9, dtype=torch.bool)
        seen[:, :, :, :5] = True
        seen[1, :, :, 3] = False
        seen[:, :, 5:, 5:] = torch.ones(4, 4, dtype=torch.bool).tril()
        expected = shared.bert(
            inputs_embeds=inputs,
            position_ids=places,
            token_type_ids=(places > 4).long(),
            attention_mask=seen,
        ).last_hidden_state
    torch.testing.assert_close(shared(**values)["hidden"][0], expected[0])
    torch.testing.assert_close(shared(**values)["hidden"][1, :8], expected[1, :8])


def test_isolated_layers_cannot_write() -> None:
    trunk = JointTrunk(**FIELDS, num_iso_layer=1)
    with pytest.raises(ConfigError, match="hides the video from the text"):
        trunk.become_causal()
