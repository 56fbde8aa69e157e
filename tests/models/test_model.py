from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mmvt.errors import ConfigError
from mmvt.losses.contrastive import NCE, SymmetricNCE
from mmvt.models.base import Encoder, Head, Trunk
from mmvt.models.bert import SeparateTrunk
from mmvt.models.encoders import VideoTokenMLP
from mmvt.models.heads.contrastive import ContrastiveHead
from mmvt.models.model import MultimodalModel, check_ports
from mmvt.processors.base import WIRE_KEYS

NOTHING = torch.zeros(1)


class AudioEncoder(Encoder):
    produces = ("audio_embeddings",)

    def forward(self, audio: Tensor) -> dict[str, Tensor]:
        return {"audio_embeddings": audio + 1}


class SumTrunk(Trunk):
    produces = ("hidden",)
    hidden_size = 1

    def forward(self, audio_embeddings: Tensor, extra: Tensor = NOTHING) -> dict[str, Tensor]:
        return {"hidden": audio_embeddings + extra}


class LanguageHead(Head):
    produces = ("logits",)

    def forward(self, hidden: Tensor, audio: Tensor) -> dict[str, Tensor]:
        return {"logits": hidden * audio}


def small_model() -> MultimodalModel:
    return MultimodalModel({"audio": AudioEncoder()}, SumTrunk(), LanguageHead())


def test_each_part_gets_what_earlier_parts_and_the_batch_hold():
    outputs = small_model()(audio=torch.tensor([2.0]), unused=torch.tensor([7.0]))
    assert {key: value.tolist() for key, value in outputs.items()} == {
        "audio": [2.0],
        "unused": [7.0],
        "audio_embeddings": [3.0],
        "hidden": [3.0],
        "logits": [6.0],
    }


def test_an_optional_port_is_used_when_it_is_there():
    outputs = small_model()(audio=torch.tensor([2.0]), extra=torch.tensor([10.0]))
    assert outputs["hidden"].tolist() == [13.0]


def test_the_callers_batch_and_its_tensors_stay_as_they_are(
    model: MultimodalModel, batch: dict[str, Tensor]
):
    before = {key: value.clone() for key, value in batch.items()}
    model.train()(**batch)
    assert batch.keys() == before.keys()
    assert all(torch.equal(batch[key], before[key]) for key in batch)


def test_checkpoint_keys_begin_with_encoders_trunk_or_head():
    trunk = SumTrunk()
    trunk.scale = nn.Parameter(torch.ones(1))
    model = MultimodalModel({"video": VideoTokenMLP(hidden_size=2)}, trunk, LanguageHead())
    weights = model.state_dict()
    assert "trunk.scale" in weights
    assert all(key.startswith("encoders.video.") for key in weights.keys() - {"trunk.scale"})


def test_permuting_the_batch_permutes_the_scores(model: MultimodalModel, batch: dict[str, Tensor]):
    order = torch.tensor([2, 0, 1])
    with torch.no_grad():
        scores = model(**batch)["scores"]
        permuted = model(**{key: value[order] for key, value in batch.items()})["scores"]
    torch.testing.assert_close(permuted, scores[order][:, order])


def test_what_padding_holds_does_not_change_the_scores(
    model: MultimodalModel, batch: dict[str, Tensor]
):
    with torch.no_grad():
        scores = model(**batch)["scores"]
        batch["vfeats"][~batch["vmasks"]] = 100.0
        batch["caps"][~batch["cmasks"]] = 13
        torch.testing.assert_close(model(**batch)["scores"], scores)


@pytest.mark.parametrize("steps", [2, 3])
def test_padding_frames_may_be_left_out(
    model: MultimodalModel, batch: dict[str, Tensor], steps: int
):
    short = {key: value[1:] for key, value in batch.items()}  # these have 2 frames or none
    with torch.no_grad():
        scores = model(**short)["scores"]
        short |= {key: short[key][:, :steps] for key in ("vfeats", "vmasks")}
        torch.testing.assert_close(model(**short)["scores"], scores)


def test_padding_words_may_be_left_out(model: MultimodalModel, batch: dict[str, Tensor]):
    short = {key: value[1:] for key, value in batch.items()}  # these have 1 word or none
    with torch.no_grad():
        scores = model(**short)["scores"]
        short |= {key: short[key][:, :4] for key in ("caps", "cmasks")}
        torch.testing.assert_close(model(**short)["scores"], scores)


def test_an_example_alone_has_the_vectors_it_has_in_a_batch(
    model: MultimodalModel, batch: dict[str, Tensor]
):
    with torch.no_grad():
        together = model(**batch)
        for row in range(3):
            alone = model(**{key: value[row : row + 1] for key, value in batch.items()})
            for name in ("pooled_video", "pooled_text"):
                torch.testing.assert_close(alone[name][0], together[name][row])


def test_every_weight_but_those_of_unread_words_gets_a_gradient(
    model: MultimodalModel, batch: dict[str, Tensor]
):
    SymmetricNCE()(scores=model(**batch)["scores"]).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_parts_whose_ports_meet_pass():
    check_ports(WIRE_KEYS, {"video": VideoTokenMLP}, SeparateTrunk, ContrastiveHead, SymmetricNCE)


def test_a_port_that_the_batch_has_is_no_problem():
    check_ports(
        [*WIRE_KEYS, "align_scores"], {"video": VideoTokenMLP}, SeparateTrunk, ContrastiveHead, NCE
    )


def test_a_loss_without_its_port_is_told_what_the_head_produces():
    with pytest.raises(ConfigError) as caught:
        check_ports(["audio"], {"audio": AudioEncoder}, SumTrunk, LanguageHead, SymmetricNCE)
    assert caught.value.problems == ["SymmetricNCE needs scores, but LanguageHead produces logits"]


def test_every_missing_port_is_reported_with_what_is_there():
    with pytest.raises(ConfigError) as caught:
        check_ports(["caps"], {"audio": AudioEncoder}, SeparateTrunk, LanguageHead, NCE)
    assert caught.value.problems == [
        "AudioEncoder needs audio, but a batch holds caps",
        "SeparateTrunk needs video_embeddings, but AudioEncoder produces audio_embeddings",
        "SeparateTrunk needs vmasks, but AudioEncoder produces audio_embeddings",
        "SeparateTrunk needs cmasks, but AudioEncoder produces audio_embeddings",
        "LanguageHead needs hidden, but SeparateTrunk produces hidden_video, hidden_text",
        "LanguageHead needs audio, but SeparateTrunk produces hidden_video, hidden_text",
        "NCE needs align_scores, but LanguageHead produces logits",
    ]


def test_a_trunk_without_any_encoder_is_told_so():
    with pytest.raises(
        ConfigError, match="SumTrunk needs audio_embeddings, but there is no encoder"
    ):
        check_ports(["audio"], {}, SumTrunk, LanguageHead, SymmetricNCE)


def test_reduced_precision_gives_nearly_the_same_scores(
    model: MultimodalModel, batch: dict[str, Tensor]
):
    with torch.no_grad():
        scores = model(**batch)["scores"]
        with torch.autocast("cpu", torch.bfloat16):
            mixed = model(**batch)["scores"]
        reduced = model.bfloat16()(**batch)["scores"]
    for value in (mixed.float(), reduced.float()):
        torch.testing.assert_close(value, scores, rtol=0.1, atol=0.1 * scores.abs().max().item())
