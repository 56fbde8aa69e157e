"""Packed trunks against the same trunks on padded batches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mmvt.losses.base import Loss
from mmvt.losses.classification import BinaryCrossEntropy, CrossEntropy
from mmvt.losses.contrastive import SymmetricNCE
from mmvt.losses.masked import MFMMLM, MTM
from mmvt.models.base import Head, Trunk
from mmvt.models.bert import SeparateTrunk
from mmvt.models.encoders import VideoTokenMLP
from mmvt.models.heads.contrastive import ContrastiveHead
from mmvt.models.heads.localization import StepLocalizationHead
from mmvt.models.heads.masked import MFMMLMHead, MTMHead
from mmvt.models.heads.segmentation import SegmentationHead
from mmvt.models.joint import JointTrunk, SharedTrunk
from mmvt.models.model import MultimodalModel
from mmvt.models.packing import Packing, whole_rows
from mmvt.tasks.task import Task
from tests.models.conftest import DIM, TINY, VIDEO_LEN

NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
LAYERS = {**TINY, "num_hidden_layers": 3, "max_position_embeddings": 16}
TRUNKS = {
    "separate": (SeparateTrunk, {"num_hidden_video_layers": 1}),
    "shared": (SharedTrunk, {}),
    "joint": (JointTrunk, {}),
    "isolated": (JointTrunk, {"num_iso_layer": 3}),
    "partly isolated": (JointTrunk, {"num_iso_layer": 1}),
}
HIDDEN = ("hidden", "hidden_video", "hidden_text")


def trunk_of(name: str, packed: bool, **bert_config: Any) -> Trunk:
    cls, fields = TRUNKS[name]
    torch.manual_seed(0)
    config = {**LAYERS, **NO_DROPOUT, **bert_config}
    trunk: Trunk = cls(
        max_video_len=VIDEO_LEN, pretrained=False, bert_config=config, packed=packed, **fields
    )
    return trunk.train()


def random_batch(frames: list[int], words: list[int], columns: int = 7) -> dict[str, Tensor]:
    """Return token embeddings and captions of some lengths, with masks."""
    generator = torch.Generator().manual_seed(3)
    tokens = torch.randn(len(frames), VIDEO_LEN, 8, generator=generator)
    caps = torch.randint(3, 20, (len(words), columns), generator=generator)
    return {
        "video_embeddings": tokens.requires_grad_(),
        "vmasks": torch.arange(VIDEO_LEN) < torch.tensor(frames)[:, None],
        "caps": caps,
        "cmasks": torch.arange(columns) < torch.tensor(words)[:, None] + 3,
    }


def kept(states: dict[str, Tensor], batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the states of real positions."""
    vmasks, cmasks = batch["vmasks"], batch["cmasks"]
    masks = {
        "hidden": torch.cat([cmasks[:, :1], vmasks, cmasks[:, 1:]], dim=1),
        "hidden_video": torch.cat([cmasks[:, :1], vmasks, cmasks[:, 1:2]], dim=1),
        "hidden_text": torch.cat([cmasks[:, :1], cmasks[:, 2:]], dim=1),
    }
    return {key: states[key][masks[key]] for key in HIDDEN if key in states}


def results(trunk: Trunk, batch: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the real states, and the gradients of a loss of them, also with regard to tokens."""
    batch["video_embeddings"].grad = None
    states = kept(trunk(**batch), batch)
    loss = sum((value.sin() * torch.arange(1, 9)).sum() for value in states.values())
    assert isinstance(loss, Tensor)
    loss.backward()
    gradients = {n: p.grad for n, p in trunk.named_parameters() if p.grad is not None}
    tokens = batch["video_embeddings"].grad
    assert tokens is not None
    return states, {**gradients, "tokens": tokens}


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Compare to 1e-5 of the largest number, as gradients of keys' biases are rounding alone."""
    assert found.keys() == expected.keys()
    scale = max(value.detach().abs().max().item() for value in expected.values())
    for name, value in expected.items():
        assert (found[name] - value).norm() <= 1e-5 * max(value.norm().item(), scale), name


@pytest.mark.parametrize("name", TRUNKS)
@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ([4, 2, 1, 3], [4, 1, 0, 3]),
        ([0, 1, 4, 4], [0, 4, 4, 0]),
        ([4, 4], [4, 4]),
        ([1], [1]),
    ],
    ids=["mixed", "edges", "full", "one"],
)
def test_states_and_gradients_are_those_of_the_padded_batch(
    name: str, frames: list[int], words: list[int]
):
    batch = random_batch(frames, words)
    states, gradients = results(trunk_of(name, packed=True), batch)
    padded_states, padded_gradients = results(trunk_of(name, packed=False), batch)
    assert_equal(states, padded_states)
    assert_equal(gradients, padded_gradients)


@pytest.mark.parametrize("name", TRUNKS)
def test_windows_whose_first_token_is_not_real_are_packed_too(name: str):
    batch = random_batch([4, 2, 3], [1, 1, 1])
    batch["cmasks"] = torch.tensor([[False, True, False, True]]).repeat(3, 1)
    batch["caps"] = batch["caps"][:, :4]
    states, gradients = results(trunk_of(name, packed=True), batch)
    padded_states, padded_gradients = results(trunk_of(name, packed=False), batch)
    assert_equal(states, padded_states)
    assert_equal(gradients, padded_gradients)


@pytest.mark.parametrize("name", TRUNKS)
def test_padding_is_not_read_and_its_states_are_zeros(name: str):
    batch = random_batch([4, 2, 0], [4, 1, 0])
    trunk = trunk_of(name, packed=True)
    before = trunk(**batch)
    tokens = batch["video_embeddings"].detach().clone()
    tokens[~batch["vmasks"]] = float("nan")
    caps = torch.where(batch["cmasks"], batch["caps"], 0)
    after = trunk(**{**batch, "video_embeddings": tokens, "caps": caps})
    for key in HIDDEN:
        if key in before:
            assert torch.equal(after[key], before[key])
    assert not after["hidden_text"][~torch.cat([batch["cmasks"][:, 1:]], dim=1)].any()


def test_a_batch_without_anything_real_has_states_of_zeros():
    batch = random_batch([0, 0], [0, 0])
    batch["cmasks"] = torch.zeros_like(batch["cmasks"])
    states = trunk_of("partly isolated", packed=True)(**batch)
    assert not any(states[key].any() for key in HIDDEN)


@pytest.mark.parametrize("name", TRUNKS)
def test_evaluation_sees_padding_as_it_always_did(name: str):
    batch = random_batch([4, 1], [2, 4])
    packed, padded = trunk_of(name, packed=True).eval(), trunk_of(name, packed=False).eval()
    ours, theirs = packed(**batch), padded(**batch)
    assert all(torch.equal(ours[key], theirs[key]) for key in HIDDEN if key in theirs)


def test_a_trunk_packs_by_itself_on_a_cpu_and_in_training_alone():
    trunk = SeparateTrunk(max_video_len=VIDEO_LEN, pretrained=False, bert_config=LAYERS)
    assert trunk.leaves_padding_out(torch.zeros(1))
    assert not trunk.leaves_padding_out(torch.zeros(1, device="meta"))
    assert not trunk.eval().leaves_padding_out(torch.zeros(1))


@pytest.mark.parametrize("name", ["joint", "isolated"])
def test_masks_of_their_own_are_padded(name: str):
    batch = random_batch([4, 2], [4, 1])
    length = VIDEO_LEN + 7
    seen = torch.ones(2, length, length, dtype=torch.bool).tril()
    pair = [trunk_of(name, packed=packed) for packed in (True, False)]
    ours, theirs = (trunk(**batch, attention_mask=seen)["hidden"] for trunk in pair)
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", ["shared", "joint"])
def test_causal_trunks_write_the_same(name: str):
    batch, pair = random_batch([4, 2], [4, 1]), [trunk_of(name, packed=p) for p in (True, False)]
    for trunk in pair:
        trunk.become_causal()
    ours, theirs = (kept(trunk(**batch), batch) for trunk in pair)
    assert_equal(ours, theirs)


@pytest.mark.parametrize("name", ["separate", "shared", "joint"])
@pytest.mark.parametrize("rates", [(0.5, 0.0), (0.0, 0.5)], ids=["states", "attention"])
def test_dropout_is_drawn_where_the_padded_trunk_draws_it(name: str, rates: tuple[float, float]):
    batch = random_batch([4, 4], [4, 4])  # without padding, the draws are the same
    states = []
    for packed in (True, False):
        trunk = trunk_of(name, packed=packed, **dict(zip(NO_DROPOUT, rates, strict=True)))
        torch.manual_seed(5)
        states.append(trunk(**batch)["hidden_text"])
        assert not torch.equal(trunk(**batch)["hidden_text"], states[-1])
    torch.testing.assert_close(*states)


@pytest.mark.parametrize("name", TRUNKS)
def test_a_packed_trunk_learns_with_dropout(name: str):
    trunk = trunk_of(name, packed=True, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)
    batch = random_batch([4, 2, 1], [4, 1, 2])
    optimizer = torch.optim.Adam(trunk.parameters(), lr=0.03)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = (kept(trunk(**batch), batch)["hidden_text"][:, :4] - 1).square().mean()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])


@pytest.mark.parametrize("name", TRUNKS)
def test_half_precision_stays_half(name: str):
    trunk = trunk_of(name, packed=True).bfloat16()
    batch = random_batch([4, 2], [4, 1])
    batch["video_embeddings"] = batch["video_embeddings"].detach().bfloat16()
    assert trunk(**batch)["hidden_text"].dtype == torch.bfloat16


def test_a_trunk_has_the_same_keys_packed_or_not():
    keys = [list(trunk_of("joint", packed=packed).state_dict()) for packed in (True, False)]
    assert keys[0] == keys[1]


def test_positions_stand_by_the_length_of_their_sequence():
    sequences = torch.tensor([[0, 1, 1, -1], [0, -1, 1, 1], [0, 0, 0, 0]])
    packing = Packing(sequences)
    assert packing.groups == [(2, 1), (2, 2), (1, 4)]
    assert packing.positions.tolist() == [0, 4, 1, 2, 6, 7, 8, 9, 10, 11]
    numbers = torch.arange(12.0).view(3, 4, 1)
    packed = packing.pack(numbers)
    assert packed[0, :, 0].tolist() == packing.positions.tolist()
    assert torch.equal(packing.unpack(packed), numbers.where(sequences[..., None] >= 0, 0))


def test_what_all_rows_share_is_packed_for_each():
    packing = whole_rows(torch.tensor([[True, False], [True, True]]))
    assert packing.pack(torch.tensor([[5, 6]])).tolist() == [[5, 5, 6]]


def masked_batch() -> dict[str, Tensor]:
    """Return features and captions, with a masked frame or word in each row, and targets."""
    batch = random_batch([4, 2, 1], [4, 1, 3])
    del batch["video_embeddings"]
    batch["vfeats"] = torch.randn(3, VIDEO_LEN, DIM, generator=torch.Generator().manual_seed(4))
    batch["video_label"] = torch.zeros(3, VIDEO_LEN, dtype=torch.bool)
    batch["video_label"][[0, 1], [2, 0]] = True
    batch["text_label"] = torch.full_like(batch["caps"], -100)
    batch["text_label"][[0, 2], [3, 2]] = torch.tensor([5, 9])
    batch["targets"] = torch.tensor([[0, 1, 2, 0], [1, 2, -100, -100], [2, -100, -100, -100]])
    return batch


HEADS: dict[str, tuple[Head, Loss]] = {
    "contrastive": (ContrastiveHead(), SymmetricNCE()),
    "masked": (MFMMLMHead(hidden_size=8, vocab_size=20, pretrained=False), MFMMLM()),
    "masked tokens": (MTMHead(hidden_size=8, pretrained=False), MTM()),
    "segmentation": (SegmentationHead(hidden_size=8, num_classes=3, dropout=0.0), CrossEntropy()),
    "localization": (StepLocalizationHead(), BinaryCrossEntropy()),
}


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("trunk", ["joint", "isolated", "partly isolated"])
def test_every_loss_is_that_of_the_padded_batch(name: str, trunk: str):
    head, loss = HEADS[name]
    batch = masked_batch()
    if name == "localization":
        batch["targets"] = torch.eye(3)[[0, 1, 1, 2, 0, 0, 1]]
    losses = []
    for packed in (True, False):
        torch.manual_seed(6)
        encoder = VideoTokenMLP(hidden_size=8, input_dim=DIM)
        model = MultimodalModel({"video": encoder}, trunk_of(trunk, packed), head).train()
        losses.append(Task().compute(model, loss, batch)[0])
    torch.testing.assert_close(*losses, rtol=1e-5, atol=0)
