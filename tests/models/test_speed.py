from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmvt.errors import ConfigError
from mmvt.losses.contrastive import SymmetricNCE
from mmvt.models.bert import SeparateTrunk
from mmvt.models.encoders import VideoTokenMLP
from mmvt.models.heads.contrastive import ContrastiveHead
from mmvt.models.model import MultimodalModel
from mmvt.models.speed import Speed
from tests.models.conftest import DIM, TINY, VIDEO_LEN


def model_of(packed: bool | None = None, speed: Speed | None = None) -> MultimodalModel:
    torch.manual_seed(0)
    trunk = SeparateTrunk(
        max_video_len=VIDEO_LEN,
        num_hidden_video_layers=1,
        pretrained=False,
        bert_config=TINY,
        packed=packed,
    )
    encoder = VideoTokenMLP(hidden_size=8, input_dim=DIM)
    model = MultimodalModel({"video": encoder}, trunk, ContrastiveHead()).train()
    if speed is not None:
        speed.apply(model)
    return model


def step(model: MultimodalModel, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss and the gradients of a batch, with dropout drawn from one seed."""
    torch.manual_seed(7)
    loss = SymmetricNCE()(scores=model(**batch)["scores"])
    torch.autograd.backward(loss)
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return loss.detach(), gradients


def saved_bytes(model: MultimodalModel, batch: dict[str, Tensor]) -> int:
    """Return how much a forward pass keeps for the backward pass."""
    sizes: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel() * tensor.element_size())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(**batch)
    return sum(sizes)


@pytest.mark.parametrize("packed", [True, False])
def test_recomputing_changes_neither_loss_nor_gradients(packed: bool, batch: dict[str, Tensor]):
    loss, gradients = step(model_of(packed, Speed(recompute=True)), batch)
    expected_loss, expected = step(model_of(packed), batch)
    assert torch.equal(loss, expected_loss)
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name])


@pytest.mark.parametrize("packed", [True, False])
def test_recomputing_keeps_less(packed: bool, batch: dict[str, Tensor]):
    kept = saved_bytes(model_of(packed, Speed(recompute=True)), batch)
    assert kept < 0.7 * saved_bytes(model_of(packed), batch)


def test_the_options_leave_the_keys_of_checkpoints_as_they_are():
    changed = model_of(speed=Speed(compile=True, recompute=True))
    assert list(changed.state_dict()) == list(model_of().state_dict())


def test_nothing_is_changed_unless_it_is_asked_for(batch: dict[str, Tensor]):
    loss, _ = step(model_of(speed=Speed()), batch)
    assert torch.equal(loss, step(model_of(), batch)[0])


@pytest.mark.slow  # torch writes and compiles C++
@pytest.mark.parametrize("recompute", [False, True])
def test_a_compiled_model_has_the_same_loss_and_gradients(
    recompute: bool, batch: dict[str, Tensor]
):
    compiled = model_of(speed=Speed(compile=True, recompute=recompute))
    assert compiled.trunk.packed is False
    for model in (compiled, plain := model_of(packed=False)):
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
    loss, gradients = step(compiled, batch)
    expected_loss, expected = step(plain, batch)
    torch.testing.assert_close(loss, expected_loss, rtol=1e-5, atol=0)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-5)


def test_compiling_and_leaving_padding_out_exclude_each_other():
    with pytest.raises(ConfigError, match=r"trunk\.packed and speed\.compile"):
        model_of(packed=True, speed=Speed(compile=True))
