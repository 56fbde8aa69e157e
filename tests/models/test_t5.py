"""The T5 family, and the frozen encoder that reads its prompt."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mmvt.checkpoint import load_into, load_state, save_state
from mmvt.errors import CheckpointError, ConfigError
from mmvt.models.decoding import Decoding
from mmvt.models.encoders import VideoTokenMLP
from mmvt.models.generation import write
from mmvt.models.heads.language import LanguageHead
from mmvt.models.model import MultimodalModel
from mmvt.models.t5 import T5Trunk
from mmvt.models.trainable import Trainable
from tests.models.test_writing import END, PAD, T5, WIDTH, batch, loss_of, one

FROZEN = "trunk.prompt_encoder."


def model_of(prompt_states: bool = True, **fields: Any) -> MultimodalModel:
    torch.manual_seed(0)
    encoder = VideoTokenMLP(hidden_size=WIDTH, input_dim=4)
    torch.nn.init.normal_(encoder.linear2.weight, std=0.5)
    options = {"model_config": T5, "pretrained": False, "prompt_states": prompt_states}
    head = LanguageHead(hidden_size=WIDTH, transform=False)
    return MultimodalModel({"video": encoder}, T5Trunk(**(options | fields)), head)


def trained(model: MultimodalModel, updates: int = 10) -> MultimodalModel:
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=1e-2, weight_decay=0.1)
    model.train()
    for _ in range(updates):
        optimizer.zero_grad()
        loss_of(model, batch()).backward()
        optimizer.step()
    assert len(optimizer.state) == len(learning)
    return model


def frozen(model: MultimodalModel) -> dict[str, Tensor]:
    state = {key: v.clone() for key, v in model.state_dict().items() if key.startswith(FROZEN)}
    assert state
    return state


@pytest.mark.parametrize(
    ("kind", "tied"),
    [
        ("t5", True),
        ("t5", False),  # v1.1 and Flan
        ("mt5", False),
        ("umt5", True),
        ("longt5", True),
        ("longt5", False),
    ],
)
def test_the_whole_family_writes_as_in_transformers(kind: str, tied: bool, tmp_path: Path) -> None:
    config = {"model_type": kind, **T5, "tie_word_embeddings": tied}
    (tmp_path / "config.json").write_text(json.dumps(config))
    model, values = model_of(False, model_name=str(tmp_path), model_config={}).eval(), batch()
    trunk: Any = model.trunk
    logits = model(**values)["logits"]
    video = model.encoders["video"](vfeats=values["vfeats"])["video_embeddings"]
    embeds = torch.cat([video[0], trunk.t5.shared(values["caps"][0])])[None]
    expected = trunk.t5(inputs_embeds=embeds, labels=values["text_label"][:1]).logits[0]
    torch.testing.assert_close(logits[:4], expected, rtol=1e-4, atol=1e-4)
    ids = write(model, one(values, 0), Decoding(max_decode_length=6), end=END, pad=PAD)
    told = trunk.t5.generate(
        inputs_embeds=embeds,
        attention_mask=torch.ones(embeds.shape[:2], dtype=torch.long),
        max_new_tokens=6,
        do_sample=False,
        eos_token_id=END,
        pad_token_id=PAD,
        decoder_start_token_id=PAD,
    )
    assert ids.tolist() == told[:, 1:].tolist()


def test_other_models_that_encode_and_decode_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bart", "d_model": 16}')
    with pytest.raises(ConfigError, match=r"is a bart, not of the T5 family \(t5, mt5, umt5"):
        T5Trunk(model_name=str(tmp_path), pretrained=False)


def test_the_prompt_is_read_as_states_of_the_encoder_as_it_was_at_first() -> None:
    model, values = model_of(), batch()
    trunk: Any = model.trunk
    first = model_of().trunk
    trained(model).eval()
    video = model.encoders["video"](vfeats=values["vfeats"])["video_embeddings"]
    logits = model(**values)["logits"]
    for row, (frames, prompt, label) in enumerate([(3, 2, 4), (1, 1, 2)]):
        words = values["caps"][row : row + 1, :prompt]
        states = first.eval().t5.encoder(input_ids=words).last_hidden_state[0]
        target = values["text_label"][row : row + 1, :label]
        embeds = torch.cat([video[row, :frames], states])[None]
        expected = trunk.t5(inputs_embeds=embeds, labels=target).logits[0]
        found = logits[4 * row : 4 * row + label]
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("only", [None, ["trunk"], ["encoders", "trunk.t5.decoder"]])
def test_it_never_learns(only: list[str] | None) -> None:
    model = model_of(model_config=T5 | {"dropout_rate": 0.1})
    Trainable(only=only).apply(model)
    before = frozen(model)
    trained(model)
    assert not any(module.training for module in model.trunk.prompt_encoder.modules())
    assert model.trunk.t5.encoder.training
    assert all(torch.equal(value, before[key]) for key, value in frozen(model).items())
    assert all(p.grad is None for p in model.trunk.prompt_encoder.parameters())
    assert not torch.equal(
        model.trunk.t5.shared.weight, model.trunk.prompt_encoder.embed_tokens.weight
    )


def test_it_shares_no_weight() -> None:
    model = model_of()
    own = {p.data_ptr() for p in model.trunk.t5.parameters()}
    assert not own & {p.data_ptr() for p in model.trunk.prompt_encoder.parameters()}


def test_neither_padding_nor_the_batch_changes_anything() -> None:
    model, values = model_of().eval(), batch()
    wide = dict(values)
    wide["caps"] = torch.nn.functional.pad(values["caps"], (0, 5), value=7)
    wide["cmasks"] = torch.nn.functional.pad(values["cmasks"], (0, 5))
    torch.testing.assert_close(loss_of(model, wide), loss_of(model, values))
    apart = [model(**one(values, row))["logits"] for row in range(2)]
    torch.testing.assert_close(model(**wide)["logits"], torch.cat(apart), rtol=1e-4, atol=1e-5)
    decoding = Decoding(num_beams=2, max_decode_length=6)
    texts = [write(model, made, decoding, end=END, pad=PAD).tolist() for made in (values, wide)]
    assert texts[0] == texts[1]


def test_a_prompt_of_nothing_adds_nothing() -> None:
    model, values = model_of().eval(), batch()
    values["cmasks"] = torch.zeros_like(values["cmasks"])
    expected = model_of(prompt_states=False).eval()(**values)["logits"]
    torch.testing.assert_close(model(**values)["logits"], expected)
    values["caps"], values["cmasks"] = values["caps"][:, :0], values["cmasks"][:, :0]
    torch.testing.assert_close(model(**values)["logits"], expected)


def test_it_is_saved_with_the_model_and_a_checkpoint_without_it_is_refused(tmp_path: Path) -> None:
    model = trained(model_of())
    save_state(model, tmp_path / "model.safetensors")
    other = model_of(model_config=T5 | {"initializer_factor": 2.0})
    load_into(other, load_state(tmp_path / "model.safetensors"))
    with torch.no_grad():
        expected = model.eval()(**batch())["logits"]
        assert torch.equal(other.eval()(**batch())["logits"], expected)
    with pytest.raises(CheckpointError, match=f"{FROZEN}block.0"):
        load_into(model_of(), model_of(prompt_states=False).state_dict())


@pytest.mark.skipif(
    importlib.util.find_spec("peft") is None,
    reason="peft is not installed; run: python -m mmvt_cli.setup lora",
)
def test_adapters_learn_beside_it() -> None:
    plain, model = model_of().eval(), model_of(lora={}).eval()
    with torch.no_grad():
        assert torch.equal(model(**batch())["logits"], plain(**batch())["logits"])
    assert not any("lora" in key for key in frozen(model))
    before = frozen(model)
    trained(model)
    assert all(torch.equal(value, before[key]) for key, value in frozen(model).items())
    adapters = [p for name, p in model.trunk.t5.named_parameters() if "lora_B" in name]
    assert adapters
    assert all(p.abs().sum() > 0 for p in adapters)
