from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmvt.errors import ConfigError
from mmvt.losses.language import LanguageCrossEntropy
from mmvt.models.experts import ExpertEncoder, ExpertsEncoder
from mmvt.models.heads.language import LanguageHead
from mmvt.models.model import MultimodalModel
from mmvt.models.t5 import T5Trunk

WIDTH, STEPS = 16, 3
T5 = {"d_model": WIDTH, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "vocab_size": 30}
T5 |= {"dropout_rate": 0.0, "initializer_factor": 3.0}
TWO = {"video": {"input_dim": 4}, "audio": {"input_dim": 4}}
MASKS = torch.tensor([[True, True, True], [True, True, False]])


def encoder_of(experts: dict[str, dict[str, object]], budget: int | None = None) -> ExpertsEncoder:
    torch.manual_seed(0)
    return ExpertsEncoder(
        hidden_size=WIDTH, max_video_len=STEPS, experts=experts, token_budget=budget
    )


def rows(video: Tensor, audio: Tensor, there: Tensor) -> Tensor:
    return torch.cat([video, audio, there], dim=2)


def test_experts_stand_one_after_another_each_as_its_own_encoder_has_it() -> None:
    encoder = encoder_of(
        {"tags": {"input_dim": 3, "rows": 2}, "video": {"input_dim": 4, "grid": 2}}, 18
    )
    video, tags = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 2, 3)
    there = torch.tensor([[[1.0, 1], [1, 0], [0, 0]], [[1, 1], [1, 1], [1, 1]]])
    outputs = encoder(vfeats=rows(video.flatten(2), tags.flatten(2), there), vmasks=MASKS)
    assert outputs["video_embeddings"].shape == (2, 3 * 4 + 6, WIDTH)
    own = encoder.experts["video"](vfeats=video, vmasks=MASKS)["video_embeddings"]
    assert torch.equal(outputs["video_embeddings"][:, :12], own)
    own = encoder.experts["tags"](tags.flatten(1, 2), torch.ones(2, 6, dtype=torch.bool))
    assert torch.equal(outputs["video_embeddings"][:, 12:], own["video_embeddings"])
    expected = [[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0]]
    assert outputs["token_masks"][:, 12:].long().tolist() == expected


def test_of_which_expert_a_vector_is_makes_a_difference() -> None:
    encoder = encoder_of(TWO)
    one, other = encoder.experts["video"], encoder.experts["audio"]
    modality = other.modality.detach().clone()
    other.load_state_dict(one.state_dict())  # now nothing but the modality tells them apart
    features, there = torch.randn(2, 1, STEPS, 4), torch.ones(1, STEPS, 1)

    def tokens(first: int, second: int) -> Tensor:
        joined = rows(features[first], features[second], there)
        found = encoder(vfeats=joined, vmasks=MASKS[:1])["video_embeddings"][0]
        return found.sort(dim=0).values

    torch.testing.assert_close(tokens(0, 1), tokens(1, 0))
    other.modality.data = modality
    assert not torch.allclose(tokens(0, 1), tokens(1, 0), atol=1e-3)


def test_parts_of_a_map_are_means() -> None:
    encoder = ExpertEncoder(
        hidden_size=2, max_video_len=1, input_dim=1, grid=4, tokens_a_step="auto", token_budget=15
    )
    assert encoder.cells == 9
    encoder = ExpertEncoder(
        hidden_size=2, max_video_len=1, input_dim=1, grid=4, tokens_a_step=2, token_budget=4
    )
    pooled = encoder._pooled(torch.arange(16.0).reshape(1, 1, 16, 1))
    assert pooled.flatten().tolist() == [2.5, 4.5, 10.5, 12.5]


def model_of(experts: dict[str, dict[str, object]]) -> MultimodalModel:
    encoder = encoder_of(experts)
    trunk = T5Trunk(model_config=T5, pretrained=False)
    return MultimodalModel(
        {"video": encoder}, trunk, LanguageHead(hidden_size=WIDTH, transform=False)
    )


def batch(video: Tensor, audio: Tensor, there: Tensor, labels: Tensor) -> dict[str, Tensor]:
    size = len(video)
    return {
        "vfeats": rows(video, audio, there),
        "vmasks": MASKS[torch.arange(size) % 2],
        "caps": torch.zeros(size, 1, dtype=torch.long),
        "cmasks": torch.zeros(size, 1, dtype=torch.bool),
        "text_label": labels,
    }


def test_what_is_masked_of_any_expert_changes_nothing() -> None:
    model = model_of(TWO).eval()
    video, audio = torch.randn(2, STEPS, 4), torch.randn(2, STEPS, 4)
    there = torch.tensor([[[1.0], [0], [1]], [[0], [0], [1]]])  # the last step of two is padding
    labels = torch.tensor([[5, 1], [6, 1]])
    before = model(**batch(video, audio, there, labels))["logits"]
    audio[0, 1], audio[1], video[1, 2] = 9.0, -7.0, 8.0
    assert torch.equal(before, model(**batch(video, audio, there, labels))["logits"])
    audio[0, 0] = 9.0
    assert not torch.equal(before, model(**batch(video, audio, there, labels))["logits"])


def test_it_learns_what_only_the_second_expert_knows() -> None:
    model = model_of(TWO)
    kinds = torch.arange(8) % 4
    audio = 3 * torch.eye(4)[kinds][:, None].expand(-1, STEPS, -1)
    labels = torch.stack([kinds + 10, torch.ones_like(kinds)], dim=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    there = torch.ones(8, STEPS, 1)
    for _ in range(200):
        values = batch(torch.randn(8, STEPS, 4), audio, there, labels)
        loss = LanguageCrossEntropy()(model(**values)["logits"], labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    values = batch(torch.randn(8, STEPS, 4), audio, there, labels)
    assert LanguageCrossEntropy()(model(**values)["logits"], labels) < 0.2
    values = batch(torch.randn(8, STEPS, 4), audio, torch.zeros(8, STEPS, 1), labels)
    assert LanguageCrossEntropy()(model(**values)["logits"], labels) > 0.4


@pytest.mark.parametrize(
    ("experts", "message"),
    [
        ({"audio": {"input_dim": 4}}, "experts needs video"),
        ({"video": {"input_dim": 4, "rows": 2}}, "rows must be 1"),
        ({"video": {"input_dim": 4, "gird": 2}}, "video.gird is no field .*did you mean grid"),
        ({"video": {"grid": 2}}, "experts.video.input_dim is missing"),
        ({"video": {"input_dim": 0}}, "input_dim must be a number of at least 1, not 0"),
        ({"video": 4}, "experts.video must be a name with input_dim"),
        ({"video": {"input_dim": 4, "tokens_a_step": "some"}}, "all, mean, auto, a number"),
    ],
)
def test_experts_that_are_described_wrong_are_refused(experts: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        encoder_of(experts)


def test_other_features_and_budgets_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"shape \(8,\), but the experts have 9 columns"):
        encoder_of(TWO)(vfeats=torch.randn(2, STEPS, 8), vmasks=MASKS)
    with pytest.raises(ConfigError, match="token_budget is 5, but videos have up to 6 tokens"):
        encoder_of(TWO, budget=5)
