from __future__ import annotations

import logging

import pytest

from mmvt.errors import ConfigError
from mmvt.models.token_budget import MapSize, TokensAStep, plan_tokens


@pytest.mark.parametrize(
    ("budget", "side"),
    [(8, 1), (9, 1), (31, 1), (32, 2), (33, 2), (71, 2), (72, 3), (73, 3), (10_000, 3), (None, 3)],
)
def test_a_map_is_as_fine_as_the_budget_allows(budget: int | None, side: int) -> None:
    assert plan_tokens({"video": MapSize(8, 3, "auto")}, budget) == {"video": side}


@pytest.mark.parametrize(
    ("budget", "sides"),
    [
        (24, {"video": 1, "faces": 1}),
        (47, {"video": 1, "faces": 1}),  # a finer video would be 32 + 16
        (48, {"video": 2, "faces": 1}),
        (96, {"video": 2, "faces": 2}),
        (136, {"video": 3, "faces": 2}),
    ],
)
def test_experts_grow_in_rounds(budget: int, sides: dict[str, int]) -> None:
    experts = {"video": MapSize(8, 3, "auto"), "faces": MapSize(16, 2, "auto")}
    assert plan_tokens(experts, budget) == sides


def test_what_is_chosen_stays_and_the_others_share_the_rest() -> None:
    experts = {
        "video": MapSize(4, 3, 2),
        "words": MapSize(8, 1, "all"),
        "map": MapSize(4, 7, "auto"),
    }
    assert plan_tokens(experts, 16 + 8 + 4 * 25) == {"video": 2, "words": 1, "map": 5}


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ("auto", "token_budget is 7, but videos have up to 8 tokens: video 8 steps x 1; lower"),
        ("mean", "up to 8 tokens"),
        ("all", "up to 72 tokens: video 8 steps x 9; lower max_video_len, or set .*auto"),
        (2, "up to 32 tokens"),
    ],
)
def test_what_does_not_fit_is_refused(tokens: TokensAStep, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_tokens({"video": MapSize(8, 3, tokens)}, 7)


@pytest.mark.parametrize("side", [0, 4])
def test_a_map_is_no_finer_than_it_is(side: int) -> None:
    with pytest.raises(ConfigError, match=f"tokens_a_step of video is {side}, but must be from 1"):
        plan_tokens({"video": MapSize(8, 3, side)}, None)


def test_the_plan_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        plan_tokens({"video": MapSize(8, 3, "auto"), "audio": MapSize(16)}, 50)
    assert "48 of 50 tokens a video: video 8 steps x 4, audio 16 steps x 1" in caplog.text
