"""VideoCLIP's training and its checkpoints against what the original code recorded."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from torch import Tensor

from mmvt.checkpoint import load_state
from mmvt.losses.contrastive import SymmetricNCE
from mmvt.models.convert_mmpt import complete_mmpt, from_mmpt, is_mmpt, to_mmpt
from tests.golden.conftest import Golden
from tests.golden.originals import CLOSE, PARTS, build, case_of, inputs_of

pytestmark = pytest.mark.golden

RECIPE = re.compile(
    r"fairseq Adam \(decoupled wd\), betas (\S+)/(\S+) eps (\S+) wd ([^,]+), clip_norm ([^;]+);"
)


@pytest.mark.golden_cases("models/videoclip_traj*")
def test_updates_of_fairseqs_adam_follow_the_original(golden: Golden, case_name: str):
    folder = case_name.removeprefix("models/")
    recorded, state, after = golden.model(folder)
    case = golden.json(f"models/{case_of(recorded, 'state')}/case.json")
    batch = inputs_of(case, golden.tensors(f"models/{folder}/{recorded['inputs']}"))
    model = build(golden, case, state)
    *decays, bound = map(float, recipe_of(recorded))
    parameters = list(model.parameters())
    moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in parameters]
    for row in recorded["rows"]:
        loss = SymmetricNCE()(scores=model(**batch)["scores"])
        assert loss.item() == pytest.approx(row["loss"], rel=1e-4)
        model.zero_grad()
        loss.backward()
        assert clip(parameters, bound) == pytest.approx(row["gnorm"], rel=1e-3)
        with torch.no_grad():
            for parameter, moment in zip(parameters, moments, strict=True):
                adam(parameter, *moment, row["lr"], row["step"], *decays)
    with torch.no_grad():
        outputs = model(**batch)
    for key, value in after.items():
        torch.testing.assert_close(outputs[key.removeprefix("out.")], value, **CLOSE)


def recipe_of(recorded: dict[str, Any]) -> tuple[str, ...]:
    """Return the two betas, eps, weight decay and bound of the gradient's norm."""
    match = RECIPE.match(recorded["optimizer"])
    assert match, recorded["optimizer"]
    return match.groups()


def clip(parameters: list[torch.nn.Parameter], bound: float) -> float:
    """Scale all gradients together to a norm of at most ``bound``; return the norm before."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = math.sqrt(sum(float(g.double().square().sum()) for g in gradients))
    for gradient in gradients:
        gradient.mul_(min(1.0, bound / (norm + 1e-6)))
    return norm


def adam(
    p: Tensor,
    mean: Tensor,
    square: Tensor,
    rate: float,
    step: int,
    first: float,
    second: float,
    eps: float,
    decay: float,
) -> None:
    """Do one update: weight decay first and apart from the gradient, epsilon before correction."""
    gradient = p.grad
    mean.mul_(first).add_((1 - first) * gradient)
    square.mul_(second).add_((1 - second) * gradient * gradient)
    p.sub_(decay * rate * p)
    size = rate * math.sqrt(1 - second**step) / (1 - first**step)
    p.sub_(size * mean / (square.sqrt() + eps))


@pytest.mark.golden_cases("checkpoint*")
def test_a_checkpoint_of_fairseq_gives_the_weights_and_outputs_of_its_model(
    golden: Golden, case_name: str
):
    recorded = golden.json(f"{case_name}/case.json")
    match = re.search(r"reproduces models/(\w+) outputs", recorded["expect"])
    assert match, recorded["expect"]
    state = load_state(golden.path(f"{case_name}/checkpoint_best.pt"))
    assert is_mmpt(state)
    assert len(state) == recorded["n_model_keys"]
    case, plain, io = golden.model(match[1])
    assert state.keys() == plain.keys()
    with torch.no_grad():
        outputs = build(golden, case, state)(**inputs_of(case, io))
    for name in ("pooled_video", "pooled_text", "hidden_video", "hidden_text"):
        torch.testing.assert_close(outputs[name], io[f"out.{name}"], **CLOSE)
    scores = outputs["pooled_video"] @ outputs["pooled_text"].T
    torch.testing.assert_close(outputs["scores"], scores)


@pytest.mark.golden_cases("models/*")
def test_every_key_of_the_original_maps_there_and_back(golden: Golden, case_name: str):
    folder = case_name.removeprefix("models/")
    case = golden.json(f"models/{folder}/case.json")
    if case.get("state") != "state.safetensors":
        return  # the weights of another case
    state = golden.tensors(f"models/{folder}/state.safetensors")
    ours = from_mmpt(state)
    assert not is_mmpt(ours)
    if case["model_cls"] in PARTS and not any(".cls." in key for key in state):
        assert ours.keys() == build(golden, case, state).state_dict().keys()
    back = to_mmpt(ours)
    assert all(torch.equal(back[key], state[key]) for key in back)
    whole = complete_mmpt(back)
    assert whole.keys() == state.keys()
    unread = {key for key in whole if "pooler.dense" in key}
    assert all(torch.equal(whole[key], state[key]) for key in whole.keys() - unread)
