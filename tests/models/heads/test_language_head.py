from __future__ import annotations

import pytest
import torch

from mmvt.errors import ConfigError
from mmvt.models.base import Trunk
from mmvt.models.bert import SeparateTrunk
from mmvt.models.heads.language import LanguageHead
from mmvt.models.joint import JointTrunk, SharedTrunk
from mmvt.models.model import MultimodalModel


def head_of() -> LanguageHead:
    torch.manual_seed(0)
    head = LanguageHead(hidden_size=3, vocab_size=5, pretrained=False)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    return head


def test_logits_are_of_labelled_positions_and_of_the_states_of_caps():
    head, words = head_of(), torch.randn(5, 3)
    # [CLS] v1 v2 [SEP] w1 w2, and labels of [CLS] [SEP] w1 w2
    hidden = torch.randn(2, 6, 3)
    text_label = torch.tensor([[-100, -100, 1, 4], [3, 2, -100, -100]])
    logits = head(hidden=hidden, word_embeddings=words, text_label=text_label)["logits"]
    places = [(0, 4), (0, 5), (1, 0), (1, 3)]
    states = torch.stack([hidden[place] for place in places])
    torch.testing.assert_close(logits, head.transform(states) @ words.T + head.bias)


def test_the_next_token_follows_the_last_position():
    head, words, hidden = head_of(), torch.randn(5, 3), torch.randn(2, 6, 3)
    label = torch.full((2, 4), -100)
    label[:, -1] = 0
    torch.testing.assert_close(
        head.next_token_logits(hidden, words),
        head(hidden=hidden, word_embeddings=words, text_label=label)["logits"],
    )


def test_words_are_tied_to_their_embeddings():
    words = torch.randn(5, 3, requires_grad=True)
    head = head_of()
    head.next_token_logits(torch.randn(1, 2, 3), words).sum().backward()
    assert words.grad is not None
    assert not any("decoder" in name for name in head.state_dict())


SMALL = {"hidden_size": 3, "num_attention_heads": 1, "num_hidden_layers": 1, "vocab_size": 5}
FIELDS = {"max_video_len": 2, "pretrained": False, "bert_config": SMALL}


@pytest.mark.parametrize("trunk", [JointTrunk, SeparateTrunk, SharedTrunk])
def test_a_trunk_hides_later_words_where_text_is_to_be_told(trunk: type[Trunk]):
    assert not trunk(**FIELDS).is_causal
    assert MultimodalModel({}, trunk(**FIELDS), head_of()).trunk.is_causal


@pytest.mark.parametrize("trunk", [JointTrunk, SeparateTrunk, SharedTrunk])
def test_a_trunk_told_to_show_the_words_is_refused(trunk: type[Trunk]):
    with pytest.raises(ConfigError, match=r"before them, but trunk.text_attention: full shows it"):
        MultimodalModel({}, trunk(**FIELDS, text_attention="full"), head_of())


def test_a_trunk_that_cannot_hide_words_is_refused():
    class Open(Trunk):
        hidden_size = 3

    with pytest.raises(ConfigError, match="but Open cannot hide later words from earlier ones"):
        MultimodalModel({}, Open(), head_of())
