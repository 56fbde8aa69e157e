"""VideoCLIP against recorded inputs, weights and outputs of the original code."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from mmvt.checkpoint import load_state
from mmvt.losses.contrastive import SymmetricNCE, TextToVideoNCE, VideoToTextNCE
from mmvt.models.bert import SeparateTrunk
from mmvt.models.convert_mmpt import PREFIXES, from_mmpt, is_mmpt, load_mmpt, to_mmpt
from mmvt.models.encoders import VideoTokenMLP
from mmvt.models.heads.contrastive import ContrastiveHead
from mmvt.models.model import MultimodalModel

pytestmark = pytest.mark.golden

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def build(golden: Path) -> MultimodalModel:
    """Return VideoCLIP at the size of the recorded case, in evaluation mode."""
    trunk = SeparateTrunk(
        bert_name=str(golden / "bert_golden"),
        max_video_len=12,
        num_hidden_video_layers=2,
        pretrained=False,
    )
    encoder = VideoTokenMLP(hidden_size=trunk.hidden_size)
    return MultimodalModel({"video": encoder}, trunk, ContrastiveHead()).eval()


@pytest.fixture(scope="module")
def golden(shared: Path) -> Iterator[Path]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # tensors this small are slower on more
    yield shared / "golden"
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def case(golden: Path) -> dict[str, Tensor]:
    return load_file(golden / "models" / "videoclip_separate" / "io.safetensors")


@pytest.fixture
def model(golden: Path) -> MultimodalModel:
    model = build(golden)
    load_mmpt(model, load_state(golden / "models" / "videoclip_separate" / "state.safetensors"))
    return model


def batch_of(case: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix("in."): v for k, v in case.items() if k.startswith("in.")}


@pytest.mark.parametrize("name", ["hidden_video", "hidden_text", "pooled_video", "pooled_text"])
def test_states_and_pooled_vectors_are_the_originals(
    model: MultimodalModel, case: dict[str, Tensor], name: str
):
    with torch.no_grad():
        outputs = model(**batch_of(case))
    torch.testing.assert_close(outputs[name], case[f"out.{name}"], **CLOSE)


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        (SymmetricNCE(), "MMContraLoss"),
        (TextToVideoNCE(), "T2VContraLoss"),
        (VideoToTextNCE(), "V2TContraLoss"),
    ],
)
def test_losses_are_the_originals(
    model: MultimodalModel, case: dict[str, Tensor], loss: torch.nn.Module, name: str
):
    with torch.no_grad():
        value = loss(scores=model(**batch_of(case))["scores"])
    torch.testing.assert_close(value[None], case[f"out.loss_{name}"], **CLOSE)


def test_every_gradient_is_the_originals(
    golden: Path, model: MultimodalModel, case: dict[str, Tensor]
):
    recorded = json.loads((golden / "models" / "videoclip_separate" / "case.json").read_text())
    expected = recorded["extra"]["grad_norm_sum_MMContraLoss"]
    SymmetricNCE()(scores=model(**batch_of(case))["scores"]).backward()
    ours = to_mmpt({k: p.grad for k, p in model.named_parameters() if p.grad is not None})
    assert ours.keys() == {key for key, value in expected.items() if value is not None}
    for key, gradient in ours.items():
        norm, total = expected[key]
        assert gradient.double().norm().item() == pytest.approx(norm, rel=1e-4, abs=1e-5), key
        # a sum of n numbers of that norm is off by up to sqrt(n) times what each may be
        slack = 1e-5 + 1e-5 * norm * math.sqrt(gradient.numel())
        assert gradient.double().sum().item() == pytest.approx(total, rel=1e-4, abs=slack), key


def test_eight_updates_of_fairseqs_adam_follow_the_original(
    golden: Path, model: MultimodalModel, case: dict[str, Tensor]
):
    folder = golden / "models" / "videoclip_traj"
    parameters = list(model.parameters())
    moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in parameters]
    for row in json.loads((folder / "case.json").read_text())["rows"]:
        loss = SymmetricNCE()(scores=model(**batch_of(case))["scores"])
        assert loss.item() == pytest.approx(row["loss"], rel=1e-4)
        model.zero_grad()
        loss.backward()
        norm = clip(parameters, 2.0)
        assert norm == pytest.approx(row["gnorm"], rel=1e-3)
        with torch.no_grad():
            for parameter, moment in zip(parameters, moments, strict=True):
                adam(parameter, *moment, row["lr"], row["step"])
    after = load_file(folder / "io.safetensors")
    with torch.no_grad():
        outputs = model(**batch_of(case))
    for name in ("pooled_video", "pooled_text"):
        torch.testing.assert_close(outputs[name], after[f"out.{name}"], **CLOSE)


def clip(parameters: list[torch.nn.Parameter], bound: float) -> float:
    """Scale all gradients together to a norm of at most ``bound``; return the norm before."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = math.sqrt(sum(float(g.double().square().sum()) for g in gradients))
    for gradient in gradients:
        gradient.mul_(min(1.0, bound / (norm + 1e-6)))
    return norm


def adam(p: Tensor, mean: Tensor, square: Tensor, rate: float, step: int) -> None:
    """Do one update: weight decay first and apart from the gradient, epsilon before correction."""
    gradient = p.grad
    mean.mul_(0.9).add_(0.1 * gradient)
    square.mul_(0.98).add_(0.02 * gradient * gradient)
    p.sub_(0.01 * rate * p)
    size = rate * math.sqrt(1 - 0.98**step) / (1 - 0.9**step)
    p.sub_(size * mean / (square.sqrt() + 1e-8))


def test_a_checkpoint_of_fairseq_gives_the_same_weights_and_outputs(
    golden: Path, case: dict[str, Tensor]
):
    state = load_state(golden / "checkpoint" / "checkpoint_best.pt")
    plain = load_state(golden / "models" / "videoclip_separate" / "state.safetensors")
    assert is_mmpt(state)
    assert state.keys() == plain.keys()
    model = build(golden)
    load_mmpt(model, state)
    with torch.no_grad():
        outputs = model(**batch_of(case))
    torch.testing.assert_close(
        outputs["scores"], outputs["pooled_video"] @ outputs["pooled_text"].T
    )
    torch.testing.assert_close(outputs["pooled_video"], case["out.pooled_video"], **CLOSE)


def test_every_key_of_the_original_but_the_unused_maps_there_and_back(
    golden: Path, model: MultimodalModel
):
    state = load_state(golden / "models" / "videoclip_separate" / "state.safetensors")
    ours = from_mmpt(state)
    assert ours.keys() == model.state_dict().keys()
    unused = {
        f"{prefix}{key}"
        for prefix, _ in PREFIXES[1:]
        for key in ("embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias")
    }
    back = to_mmpt(ours)
    assert back.keys() == state.keys() - unused
    assert all(torch.equal(back[key], state[key]) for key in back)
