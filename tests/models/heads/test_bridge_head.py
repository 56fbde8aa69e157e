from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmvt.errors import ConfigError
from mmvt.models.heads.bridge import CosineHead


@pytest.fixture
def states() -> dict[str, Tensor]:
    return {
        "hidden_video": torch.tensor([[[3.0, 0.0], [0.0, 3.0]], [[2.0, 0.0], [9.0, 9.0]]]),
        "vmasks": torch.tensor([[True, True], [True, False]]),
        # states of [CLS] w [SEP]; caps had the video's [SEP] after [CLS]
        "hidden_text": torch.tensor([[[1.0, 0.0], [4.0, 0.0], [1.0, 0.0]], [[0.0, 1.0]] * 3]),
        "cmasks": torch.tensor([[True, True, True, True], [True, True, True, False]]),
    }


def test_scores_are_cosines_of_means_over_real_states(states: dict[str, Tensor]) -> None:
    out = CosineHead()(**states)
    half = 0.5**0.5
    torch.testing.assert_close(out["pooled_video"], torch.tensor([[half, half], [1.0, 0.0]]))
    torch.testing.assert_close(out["pooled_text"], torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    torch.testing.assert_close(out["scores"], torch.tensor([[half, half], [1.0, 0.0]]))


def test_classification_token_counts_and_the_second_column_does_not(
    states: dict[str, Tensor],
) -> None:
    states["hidden_text"] = torch.tensor([[[0.0, 5.0], [5.0, 0.0], [0.0, 0.0]]] * 2)
    states["cmasks"] = torch.tensor([[True, False, True, False]] * 2)
    half = 0.5**0.5
    out = CosineHead()(**states)["pooled_text"]
    torch.testing.assert_close(out, torch.tensor([[half, half], [half, half]]))


def test_temperature_divides_the_scores(states: dict[str, Tensor]) -> None:
    torch.testing.assert_close(
        CosineHead(temperature=0.5)(**states)["scores"], 2 * CosineHead()(**states)["scores"]
    )


def test_padding_changes_nothing(states: dict[str, Tensor]) -> None:
    out = CosineHead()(**states)["scores"]
    states["hidden_video"][1, 1] = 1e6
    states["hidden_text"][1, 2] = -1e6
    torch.testing.assert_close(CosineHead()(**states)["scores"], out)


def test_video_without_steps_scores_zero(states: dict[str, Tensor]) -> None:
    states["vmasks"][0] = False
    assert CosineHead()(**states)["scores"][0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_temperature_must_be_positive(temperature: float) -> None:
    with pytest.raises(ConfigError, match="must be above 0"):
        CosineHead(temperature=temperature)
