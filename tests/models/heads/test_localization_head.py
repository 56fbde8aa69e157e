from __future__ import annotations

import torch

from mmvt.models.heads.localization import StepLocalizationHead

STATES = {
    # two windows of [CLS], two frames, [SEP]
    "hidden_video": torch.tensor(
        [
            [[9.0, 9.0], [1.0, 0.0], [0.0, 1.0], [9.0, 9.0]],
            [[9.0, 9.0], [1.0, 1.0], [7.0, 7.0], [9.0, 9.0]],
        ]
    ),
    "vmasks": torch.tensor([[True, True], [True, False]]),
    # three steps: [CLS], a word, the closing [SEP]
    "hidden_text": torch.tensor(
        [
            [[5.0, 5.0], [1.0, 0.0], [3.0, 0.0]],
            [[5.0, 5.0], [0.0, 4.0], [0.0, 6.0]],
            [[5.0, 5.0], [1.0, 1.0], [8.0, 8.0]],
        ]
    ),
    "cmasks": torch.tensor([[True] * 4, [True] * 4, [True, True, True, False]]),
}


def test_real_frames_of_all_windows_are_scored_against_every_step():
    logits = StepLocalizationHead()(**STATES)["logits"]
    assert logits.tolist() == [[2.0, 0.0, 1.0], [0.0, 5.0, 1.0], [2.0, 5.0, 2.0]]


def test_windows_without_any_frame_have_no_row():
    nothing = {**STATES, "vmasks": torch.zeros(2, 2, dtype=torch.bool)}
    assert StepLocalizationHead()(**nothing)["logits"].shape == (0, 3)
