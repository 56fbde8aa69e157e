from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mmvt.errors import ConfigError, MissingWeightsError
from mmvt.losses.language import LanguageCrossEntropy
from mmvt.models.causal_lm import CausalLMTrunk
from mmvt.models.decoding import Decoding
from mmvt.models.encoders import VideoTokenMLP
from mmvt.models.generation import write
from mmvt.models.heads.language import LanguageHead
from mmvt.models.model import MultimodalModel
from mmvt.models.t5 import T5Trunk
from mmvt.models.writing import WritingTrunk, packed, unpacked_rows, used_columns

WORDS, WIDTH, PAD, END = 40, 16, 0, 1
T5 = {
    "d_model": WIDTH,
    "d_kv": 8,
    "d_ff": 32,
    "num_layers": 2,
    "num_heads": 2,
    "vocab_size": WORDS,
    "dropout_rate": 0.0,
    "tie_word_embeddings": True,
    "initializer_factor": 3.0,
}
LLAMA = {
    "hidden_size": WIDTH,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "vocab_size": WORDS,
    "max_position_embeddings": 64,
    "tie_word_embeddings": True,
    "bos_token_id": 2,
    "initializer_range": 0.4,
}
KINDS = ["t5", "llama"]


def trunk_of(kind: str) -> WritingTrunk:
    torch.manual_seed(0)
    if kind == "t5":
        return T5Trunk(model_config=T5, pretrained=False)
    return CausalLMTrunk(model_config=LLAMA, pretrained=False)


def model_of(kind: str) -> MultimodalModel:
    trunk = trunk_of(kind)
    encoder = VideoTokenMLP(hidden_size=WIDTH, input_dim=4)
    torch.nn.init.normal_(encoder.linear2.weight, std=0.5)
    head = LanguageHead(hidden_size=WIDTH, transform=False)
    return MultimodalModel({"video": encoder}, trunk, head).eval()


def batch() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {
        "vfeats": torch.randn(2, 3, 4),
        "vmasks": torch.tensor([[True, True, True], [True, False, False]]),
        "caps": torch.tensor([[11, 12], [13, PAD]]),
        "cmasks": torch.tensor([[True, True], [True, False]]),
        "text_label": torch.tensor([[21, 22, 23, END], [24, END, -100, -100]]),
    }


def loss_of(model: MultimodalModel, values: dict[str, Tensor]) -> Tensor:
    outputs = model(**values)
    return LanguageCrossEntropy()(outputs["logits"], values["text_label"])


def one(values: dict[str, Tensor], row: int) -> dict[str, Tensor]:
    return {name: value[row : row + 1] for name, value in values.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_transformers_for_the_plain_sequence(kind: str) -> None:
    model, values = model_of(kind), batch()
    trunk: Any = model.trunk
    logits = model(**values)["logits"]
    video = model.encoders["video"](vfeats=values["vfeats"])["video_embeddings"]
    for row, (frames, prompt, label) in enumerate([(3, 2, 4), (1, 1, 2)]):
        target = values["text_label"][row, :label]
        words = trunk.t5.shared if kind == "t5" else trunk.lm.model.embed_tokens
        parts = [video[row, :frames], words(values["caps"][row, :prompt])]
        if kind == "t5":
            expected = trunk.t5(inputs_embeds=torch.cat(parts)[None], labels=target[None]).logits[0]
        else:
            parts = [words(torch.tensor([2])), *parts, words(target[:-1])]
            told = trunk.lm(inputs_embeds=torch.cat(parts)[None]).logits[0]
            expected = told[frames + prompt :]
        found = logits[4 * row : 4 * row + label]
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_to_be_written_does_not_reach_what_is_read(kind: str) -> None:
    model, values = model_of(kind), batch()
    before = model(**values)["logits"][:2]
    values["text_label"] = torch.tensor([[21, 30, 31, END], [35, END, -100, -100]])
    after = model(**values)["logits"][:2]
    assert torch.equal(before, after)  # told by video, prompt and the word 21 alone


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_nothing(kind: str) -> None:
    model, values = model_of(kind), batch()
    wide = {
        "vfeats": torch.cat([values["vfeats"], torch.full((2, 2, 4), 9.0)], dim=1),
        "vmasks": torch.nn.functional.pad(values["vmasks"], (0, 2)),
        "caps": torch.nn.functional.pad(values["caps"], (0, 3), value=7),
        "cmasks": torch.nn.functional.pad(values["cmasks"], (0, 3)),
        "text_label": torch.nn.functional.pad(values["text_label"], (0, 13), value=-100),
    }
    torch.testing.assert_close(loss_of(model, wide), loss_of(model, values))
    apart = [model(**one(values, row))["logits"] for row in range(2)]
    torch.testing.assert_close(model(**values)["logits"], torch.cat(apart), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_what_transformers_writes_of_each_alone(kind: str, beams: int) -> None:
    model, values = model_of(kind), batch()
    trunk: Any = model.trunk
    decoding = Decoding(num_beams=beams, max_decode_length=6)
    ids = write(model, values, decoding, end=END, pad=PAD)
    video = model.encoders["video"](vfeats=values["vfeats"])["video_embeddings"]
    for row, (frames, prompt) in enumerate([(3, 2), (1, 1)]):
        words = trunk.t5.shared if kind == "t5" else trunk.lm.model.embed_tokens
        begin = [] if kind == "t5" else [words(torch.tensor([2]))]
        embeds = torch.cat([*begin, video[row, :frames], words(values["caps"][row, :prompt])])[None]
        lm = trunk.t5 if kind == "t5" else trunk.lm
        expected = lm.generate(
            inputs_embeds=embeds,
            attention_mask=torch.ones(embeds.shape[:2], dtype=torch.long),
            num_beams=beams,
            max_new_tokens=6,
            do_sample=False,
            eos_token_id=END,
            pad_token_id=PAD,
            **({"decoder_start_token_id": PAD} if kind == "t5" else {}),
        )[0].tolist()
        expected = expected[1:] if kind == "t5" else expected
        text = [token for token in ids[row].tolist() if token != PAD]
        assert text == [token for token in expected if token != PAD]
        assert text == [
            t
            for t in write(model, one(values, row), decoding, end=END, pad=PAD)[0].tolist()
            if t != PAD
        ]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_depends_on_the_video(kind: str) -> None:
    model, values = model_of(kind), batch()
    decoding = Decoding(num_beams=1, max_decode_length=8)
    texts = set()
    for seed in range(6):
        values["vfeats"] = 5 * torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(seed))
        texts.add(tuple(write(model, values, decoding, end=END, pad=PAD)[0].tolist()))
    assert len(texts) > 1


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_to_write_what_each_video_shows(kind: str) -> None:
    model, values = model_of(kind), batch()
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(500):
        optimizer.zero_grad()
        loss = loss_of(model, values)
        loss.backward()
        optimizer.step()
    assert loss < 0.05
    model.eval()
    ids = write(model, values, Decoding(num_beams=2, max_decode_length=5), end=END, pad=PAD)
    assert ids.tolist() == [[21, 22, 23, END], [24, END, PAD, PAD]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_that_transforms_states_is_refused(kind: str) -> None:
    head = LanguageHead(hidden_size=WIDTH, vocab_size=WORDS, pretrained=False)
    with pytest.raises(ConfigError, match="tells words by itself; set head.transform: false"):
        MultimodalModel({}, trunk_of(kind), head)


def test_sequences_are_packed_to_either_side() -> None:
    values = torch.tensor([[[1.0], [2.0], [3.0], [4.0]], [[5.0], [6.0], [7.0], [8.0]]])
    mask = torch.tensor([[False, True, False, True], [True, True, True, False]])
    left = packed(values, mask)
    assert left.mask.tolist() == [[True, True, False], [True, True, True]]
    assert left.values[0, :2, 0].tolist() == [2, 4]
    assert left.values[1, :, 0].tolist() == [5, 6, 7]
    right = packed(values, mask, to_the_right=True)
    assert right.mask.tolist() == [[False, True, True], [True, True, True]]
    assert right.values[0, 1:, 0].tolist() == [2, 4]
    back = unpacked_rows(left.values, left.place, 4)
    assert torch.equal(back[mask], values[mask])


@pytest.mark.parametrize(
    ("labels", "columns"),
    [([0] * 20, 20), ([0] * 3 + [-100] * 17, 8), ([0] * 9 + [-100] * 11, 16), ([-100] * 20, 8)],
)
def test_columns_without_labels_are_left_out(labels: list[int], columns: int) -> None:
    assert used_columns(torch.tensor([labels])) == columns


def test_an_example_of_nothing_is_refused() -> None:
    trunk = CausalLMTrunk(model_config=LLAMA | {"bos_token_id": None}, pretrained=False)
    with pytest.raises(ConfigError, match="neither video nor prompt"):
        trunk(
            video_embeddings=torch.zeros(1, 1, WIDTH),
            vmasks=torch.zeros(1, 1, dtype=torch.bool),
            caps=torch.zeros(1, 1, dtype=torch.long),
            cmasks=torch.zeros(1, 1, dtype=torch.bool),
            text_label=torch.ones(1, 1, dtype=torch.long),
        )


@pytest.mark.parametrize("cls", [T5Trunk, CausalLMTrunk])
def test_bad_models_are_one_error(cls: type[WritingTrunk]) -> None:
    build: Any = cls
    with pytest.raises(ConfigError, match="model_config.hiden_size is no field of"):
        build(model_config={"hiden_size": 3}, pretrained=False)
    with pytest.raises(ConfigError, match="pretrained weights need a name"):
        build()
    with pytest.raises(MissingWeightsError, match="pretrained_models/no-such-model"):
        build(model_name="no-such-model")
    with pytest.raises(ConfigError, match="original is the search of VLM"):
        write(model_of("t5"), batch(), Decoding(rule="original"), end=1, pad=0)
