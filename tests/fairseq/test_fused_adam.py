"""``fused_adam`` against fairseq's ``adam``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from fairseq import optim
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.optim.adam import FairseqAdamConfig
from fairseq.optim.fp16_optimizer import FP16Optimizer
from omegaconf import OmegaConf
from torch import Tensor

from mmvt.errors import ConfigError
from mmvt.fairseq import arguments, criterion, model, task  # noqa: F401  # registers options
from mmvt.fairseq.fused_adam import FusedAdam, FusedAdamConfig

STEPS = 20


def optimizer_of(name: str, params: Sequence[Tensor], **options: Any) -> optim.FairseqOptimizer:
    schema = FusedAdamConfig() if name == "fused_adam" else FairseqAdamConfig(tpu=False)
    cfg = OmegaConf.structured(schema)
    cfg.lr = [0.01]
    OmegaConf.update(cfg, "_name", name, force_add=True)
    return optim.build_optimizer(OmegaConf.merge(cfg, options), list(params))


def parameters() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = [(3, 5), (7,), (2, 2, 2)]
    return [torch.randn(s, generator=generator).requires_grad_() for s in shapes]


def train(
    optimizer: optim.FairseqOptimizer, params: Sequence[Tensor], steps: range, late: bool = False
) -> None:
    """Make updates with gradients of many sizes, some near epsilon, and rates that change."""
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        for number, parameter in enumerate(params):
            gradient = torch.randn(parameter.shape, generator=generator)
            parameter.grad = gradient * 10.0 ** -(4 * number)
        if late and step < 3:
            params[0].grad = None
        optimizer.set_lr(0.01 * (step + 1) / STEPS)
        optimizer.step()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"adam_betas": "(0.9, 0.98)"},
        {"adam_betas": [0.8, 0.9], "adam_eps": 1e-4, "weight_decay": 0.1},
    ],
    ids=["defaults", "betas", "decay"],
)
def test_twenty_updates_are_those_of_fairseqs_adam(options: dict[str, Any]):
    ours, theirs = parameters(), parameters()
    for name, params in (("fused_adam", ours), ("adam", theirs)):
        train(optimizer_of(name, params, **options), params, range(STEPS))
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine - other).norm() <= 1e-6 * other.norm()


def test_a_parameter_without_a_gradient_waits_as_with_fairseqs():
    ours, theirs = parameters(), parameters()
    for name, params in (("fused_adam", ours), ("adam", theirs)):
        train(optimizer_of(name, params), params, range(STEPS), late=True)
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine - other).norm() <= 1e-6 * other.norm()


def test_a_restored_optimizer_goes_on_bit_for_bit(tmp_path: Any):
    straight = parameters()
    train(optimizer_of("fused_adam", straight), straight, range(STEPS))
    halved = parameters()
    first = optimizer_of("fused_adam", halved)
    train(first, halved, range(STEPS // 2))
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second = optimizer_of("fused_adam", halved)
    second.load_state_dict(
        torch.load(tmp_path / "state.pt", weights_only=True), second.optimizer_config
    )
    train(second, halved, range(STEPS // 2, STEPS))
    assert all(torch.equal(a, b) for a, b in zip(halved, straight, strict=True))


def test_options_of_the_yaml_replace_those_of_a_checkpoint():
    params = parameters()
    first = optimizer_of("fused_adam", params)
    train(first, params, range(2))
    second = optimizer_of("fused_adam", params, adam_eps=1e-3, weight_decay=0.2)
    second.load_state_dict(first.state_dict(), second.optimizer_config)
    group = second.param_groups[0]
    assert (group["eps"], group["weight_decay"], group["updates"]) == (1e-3, 0.2, 2)


def test_the_update_is_fused_and_keeps_epsilon_as_it_is():
    params = parameters()
    optimizer = optimizer_of("fused_adam", params)
    train(optimizer, params, range(3))
    group = optimizer.param_groups[0]
    assert (group["fused"], group["eps"]) == (True, 1e-8)


def test_half_precision_weights_have_a_master_copy_that_is_updated():
    section = {"common": {"bf16": True}, "optimization": {"optimizer": "fused_adam", "lr": [0.01]}}
    section["dataset"] = {"batch_size": 1}
    args = arguments.parse(section, "x.yaml")
    cfg = convert_namespace_to_omegaconf(args)
    weight = torch.ones(4, dtype=torch.bfloat16).requires_grad_()
    optimizer = FP16Optimizer.build_optimizer(cfg, [weight])
    assert isinstance(optimizer.fp32_optimizer, FusedAdam)
    optimizer.set_lr(1e-3)
    for _ in range(8):  # each too small for bfloat16
        optimizer.backward((weight * 2).sum())
        optimizer.step()
        optimizer.zero_grad()
    assert weight[0].item() == pytest.approx(1 - 8e-3, abs=2e-3)


def test_the_yaml_reaches_it():
    section = {
        "dataset": {"batch_size": 4},
        "optimization": {"optimizer": "fused_adam", "adam_betas": "(0.9, 0.98)", "lr": [5e-5]},
    }
    args = arguments.parse(section, "x.yaml")
    assert (args.optimizer, args.adam_betas, args.adam_eps) == ("fused_adam", "(0.9, 0.98)", 1e-8)


def test_betas_that_are_code_are_refused():
    section = {"optimization": {"optimizer": "fused_adam", "adam_betas": "print(1)"}}
    with pytest.raises(ConfigError, match="adam_betas must be numbers"):
        arguments.parse(section, "x.yaml")
