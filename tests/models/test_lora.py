"""Adapters of language models: what they change, what stays, and how they are saved."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mmvt.checkpoint import load_into, load_state, save_state
from mmvt.errors import ConfigError, MissingPackageError
from mmvt.models.causal_lm import CausalLMTrunk
from mmvt.models.decoding import Decoding
from mmvt.models.encoders import VideoTokenMLP
from mmvt.models.generation import write
from mmvt.models.heads.language import LanguageHead
from mmvt.models.lora import add_lora, with_adapters
from mmvt.models.model import MultimodalModel
from mmvt.models.speed import Speed
from mmvt.models.t5 import T5Trunk
from mmvt.models.trainable import Trainable
from tests.models.test_writing import END, LLAMA, PAD, T5, WIDTH, batch, loss_of

KINDS = ["t5", "llama"]
needs_peft = pytest.mark.skipif(
    importlib.util.find_spec("peft") is None,
    reason="peft is not installed; run: python -m mmvt_cli.setup lora",
)


def model_of(kind: str, lora: dict[str, Any] | None = None) -> MultimodalModel:
    """Return a model whose weights are the same with and without adapters."""
    torch.manual_seed(0)
    encoder = VideoTokenMLP(hidden_size=WIDTH, input_dim=4)
    torch.nn.init.normal_(encoder.linear2.weight, std=0.5)
    trunk = (
        T5Trunk(model_config=T5, pretrained=False, lora=lora)
        if kind == "t5"
        else CausalLMTrunk(model_config=LLAMA, pretrained=False, lora=lora)
    )
    return MultimodalModel(
        {"video": encoder}, trunk, LanguageHead(hidden_size=WIDTH, transform=False)
    )


def updated(model: MultimodalModel, updates: int = 20, rate: float = 1e-2) -> list[float]:
    """Train on one batch; return the loss before each update."""
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer, losses = torch.optim.AdamW(learning, lr=rate), []
    for _ in range(updates):
        optimizer.zero_grad()
        loss = loss_of(model, batch())
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def own_name(key: str) -> str:
    """Return what a weight of an adapted network is called without adapters."""
    return key.replace(".base_layer.", ".")


@needs_peft
@pytest.mark.parametrize("kind", KINDS)
def test_adapters_add_nothing_at_first(kind: str) -> None:
    plain, adapted = model_of(kind).eval(), model_of(kind, {}).eval()
    with torch.no_grad():
        assert torch.equal(adapted(**batch())["logits"], plain(**batch())["logits"])
    decoding = Decoding(num_beams=2, max_decode_length=6)
    texts = [write(m, batch(), decoding, end=END, pad=PAD).tolist() for m in (plain, adapted)]
    assert texts[0] == texts[1]


@needs_peft
@pytest.mark.parametrize("kind", KINDS)
def test_adapters_learn_and_the_weights_beside_them_stay_as_they_are(kind: str) -> None:
    plain = model_of(kind)
    model = model_of(kind, {"r": 2, "alpha": 4})
    losses = updated(model)
    assert losses[-1] < losses[0] - 0.1
    before = {k: v for k, v in plain.state_dict().items() if k.startswith("trunk.")}
    after = {k: v for k, v in model.state_dict().items() if k.startswith("trunk.")}
    own = {own_name(k): v for k, v in after.items() if ".lora_" not in k}
    assert own.keys() == before.keys()
    for name, weight in before.items():
        assert torch.equal(own[name], weight), name
    adapters = [v for k, v in after.items() if ".lora_B." in k]
    assert adapters
    assert all(v.abs().max() > 0 for v in adapters)
    learning = {n for n, p in model.trunk.named_parameters() if p.requires_grad}
    assert all(".lora_" in name for name in learning)
    assert all(p.requires_grad for p in model.encoders.parameters())


@needs_peft
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_learned_comes_back_from_a_file(kind: str, tmp_path: Path) -> None:
    model = model_of(kind, {"r": 2})
    updated(model, 3)
    save_state(model, tmp_path / "model.safetensors")
    again = model_of(kind, {"r": 2})
    load_into(again, load_state(tmp_path / "model.safetensors"))
    expected = model.eval()(**batch())["logits"]
    assert torch.equal(again.eval()(**batch())["logits"], expected)


@needs_peft
@pytest.mark.parametrize("kind", KINDS)
def test_adapters_go_on_from_weights_that_were_learned_without(kind: str) -> None:
    plain = model_of(kind)
    updated(plain, 3)
    weights = plain.state_dict()
    adapted = model_of(kind, {"r": 2})
    load_into(adapted, with_adapters(weights, adapted.state_dict()))
    with torch.no_grad():
        expected = plain.eval()(**batch())["logits"]
        assert torch.equal(adapted.eval()(**batch())["logits"], expected)
    assert with_adapters(weights, weights).keys() == weights.keys()


@needs_peft
def test_adapters_that_were_learned_are_not_begun_anew() -> None:
    learned, fresh = model_of("llama", {"r": 2}), model_of("llama", {"r": 2})
    updated(learned, 3)
    weights = with_adapters(learned.state_dict(), fresh.state_dict())
    assert all(torch.equal(weights[key], value) for key, value in learned.state_dict().items())


@needs_peft
def test_keys_name_the_layer_and_then_the_adapter() -> None:
    state = model_of("llama", {"r": 3, "target_modules": ["k_proj", "mlp.up_proj"]}).state_dict()
    shapes = {k: tuple(v.shape) for k, v in state.items() if ".layers.0." in k and "lora" in k}
    start = "trunk.lm.model.layers.0."
    assert shapes == {
        f"{start}self_attn.k_proj.lora_A.default.weight": (3, WIDTH),
        f"{start}self_attn.k_proj.lora_B.default.weight": (WIDTH, 3),
        f"{start}mlp.up_proj.lora_A.default.weight": (3, WIDTH),
        f"{start}mlp.up_proj.lora_B.default.weight": (32, 3),
    }
    assert f"{start}self_attn.k_proj.base_layer.weight" in state
    assert f"{start}self_attn.q_proj.weight" in state


@needs_peft
def test_alpha_over_r_scales_what_adapters_add() -> None:
    def added(alpha: float) -> Tensor:
        model = model_of("llama", {"r": 2, "alpha": alpha, "target_modules": ["q_proj"]})
        layer = model.get_submodule("trunk.lm.model.layers.0.self_attn.q_proj")
        weights = {n: p for n, p in layer.named_parameters() if "lora" in n}
        for weight in weights.values():
            torch.nn.init.ones_(weight)
        x = torch.arange(float(WIDTH))[None]
        return (layer(x) - layer.get_submodule("base_layer")(x)).detach()

    # two adapters of ones: each sums all inputs; 2 × 120
    torch.testing.assert_close(added(2), torch.full((1, WIDTH), 240.0))
    torch.testing.assert_close(added(5), torch.full((1, WIDTH), 600.0))


@needs_peft
def test_states_that_are_computed_again_have_the_same_gradients() -> None:
    gradients = []
    for recompute in (False, True):
        model = model_of("llama", {"r": 2})
        Trainable(frozen=["encoders"]).apply(model)
        Speed(recompute=recompute).apply(model)
        loss_of(model.train(), batch()).backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    assert any(".lora_B." in name for name in gradients[0])
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"rank": 3}, "lora.rank is no option"),
        ({"aplha": 3}, "lora.aplha is no option; did you mean alpha?"),
        ({"r": 0}, "lora.r must be a whole number of at least 1, not 0"),
        ({"r": 1.5}, "lora.r must be a whole number of at least 1, not 1.5"),
        ({"r": True}, "lora.r must be a whole number of at least 1, not True"),
        ({"alpha": 0}, "lora.alpha must be a number above 0, not 0"),
        ({"dropout": 1}, "lora.dropout must be a number from 0 to below 1, not 1"),
        ({"dropout": "a"}, "lora.dropout must be a number from 0 to below 1, not 'a'"),
        ({"target_modules": "q_proj"}, "lora.target_modules must be a list of names of layers"),
        ({"target_modules": []}, "lora.target_modules must be a list of names of layers"),
        (
            {"target_modules": ["v_proj", "q_porj"]},
            "LlamaForCausalLM has no layer 'q_porj'; did you mean q_proj?",
        ),
    ],
)
def test_a_wrong_option_is_one_error(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        model_of("llama", options)
    (found,) = error.value.problems
    assert problem in found


@needs_peft
def test_a_layer_that_cannot_be_adapted_is_told() -> None:
    with pytest.raises(ConfigError, match=r"lora: Target module .*not supported"):
        model_of("llama", {"target_modules": ["input_layernorm"]})
    with pytest.raises(ConfigError, match=r"lora: Please specify `target_modules`"):
        add_lora(torch.nn.Sequential(torch.nn.Linear(2, 2)), {})


def test_without_peft_the_error_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)  # as if it were not there
    with pytest.raises(MissingPackageError, match="'peft' is not installed; run: python -m mmvt_c"):
        model_of("llama", {"r": 2})
