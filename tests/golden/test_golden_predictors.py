"""What predictors make of a model's outputs, against recorded results of the original code."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mmvt.errors import DataError
from mmvt.evaluators.metrics.choice import MultipleChoiceMetric
from mmvt.evaluators.predictors.assignment import assign_in_order
from mmvt.evaluators.predictors.merging import (
    label_similarity,
    label_threshold,
    merge_windows,
    most_likely,
)
from mmvt.evaluators.predictors.segments import chunk_segments, segment_vectors
from mmvt.processors.aligners.windows import window_slices
from mmvt.processors.meta.crosstask import read_spans
from tests.golden.conftest import Golden
from tests.golden.originals import CLOSE

pytestmark = pytest.mark.golden

JSON, TENSORS = "predictors/predictors.json", "predictors/predictors.safetensors"
GROUPS = re.compile(r"((coin|coinzs|dp|crosstask|didemo|qa)(_\d+)?|retr)\.")
PADDING = -100
CHUNK = 5.0  # the original's segments are of five seconds, a step each


def group(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.split(".", 1)[1]: t for key, t in tensors.items() if key.split(".")[0] == name}


def groups(tensors: dict[str, Tensor], kind: str) -> list[str]:
    found = {key.split(".")[0] for key in tensors if re.match(rf"{kind}(_\d+)?\.", key)}
    assert found, f"the folder has no case of {kind}"
    return sorted(found)


def windows_of(case: dict[str, Any]) -> list[slice]:
    return window_slices(case["video_len"], case["sliding_window"], case["sliding_window_size"])


def real_rows(rows: Tensor, targets: Tensor) -> list[Tensor]:
    return [row[target != PADDING] for row, target in zip(rows, targets[0], strict=True)]


def test_all_cases_of_the_files_are_known(golden: Golden):
    described, tensors = golden.json(JSON), golden.tensors(TENSORS)
    for key in tensors:
        assert GROUPS.match(key), f"{key} is of no case that this file compares"
    assert all(GROUPS.match(f"{name}.") for name in described)


def test_windows_are_merged_as_in_the_original(golden: Golden):
    described, tensors = golden.json(JSON), golden.tensors(TENSORS)
    for name in groups(tensors, "coin"):
        case, recorded = described[name], group(tensors, name)
        merged = merge_windows(
            real_rows(recorded["in.logits"], recorded["in.targets"]),
            windows_of(case),
            case["video_len"],
        )
        torch.testing.assert_close(merged, recorded["out"], equal_nan=True, **CLOSE)
        assert bool(merged.isnan().any()) == case["nan"]
        if case["nan"]:
            # windows further apart than they are long; Windows refuses such a configuration
            with pytest.raises(DataError, match="steps have no number"):
                most_likely(merged)
        else:
            assert most_likely(merged).tolist() == recorded["out"].argmax(1).tolist()


def test_labels_are_told_as_in_the_original(golden: Golden):
    described, tensors = golden.json(JSON), golden.tensors(TENSORS)
    for name in groups(tensors, "coinzs"):
        case, recorded = described[name], group(tensors, name)
        labels = recorded["in.label_hidden"]
        torch.testing.assert_close(label_threshold(labels)[None], recorded["lbd"], **CLOSE)
        states = merge_windows(
            real_rows(recorded["in.hidden_video"][:, 1:-1], recorded["in.targets"]),
            windows_of(case),
            case["video_len"],
        )
        assert label_similarity(states, labels).tolist() == recorded["out"].tolist()


def check_assignment(logits: Tensor, recorded: Tensor) -> None:
    ours = assign_in_order(logits.log_softmax(dim=1).numpy())
    seconds, steps = logits.shape
    if seconds == steps:
        # the original gives up, though there is one way
        assert not recorded.any()
        assert np.array_equal(ours, np.eye(steps, dtype=bool))
    else:
        assert np.array_equal(ours, recorded.numpy().astype(bool))


def test_steps_are_assigned_as_in_the_original(golden: Golden):
    tensors = golden.tensors(TENSORS)
    for name in groups(tensors, "dp"):
        recorded = group(tensors, name)
        check_assignment(recorded["in.logits"], recorded["out"])


def test_steps_of_a_video_are_found_as_in_the_original(golden: Golden):
    described, tensors = golden.json(JSON), golden.tensors(TENSORS)
    for name in groups(tensors, "crosstask"):
        case, recorded = described[name], group(tensors, name)
        windows = windows_of(case)
        rows = recorded["in.logits"].split([w.stop - w.start for w in windows])
        merged = merge_windows(rows, windows, case["video_len"])
        check_assignment(merged, recorded["Y_pred"])
        truth = np.zeros(merged.shape, bool)
        for step, part in read_spans(golden.path(case["annot"]), truth.shape[1]).steps(len(truth)):
            truth[part, step] = True
        assert np.array_equal(truth, recorded["Y_true"].numpy().astype(bool))


def test_segments_are_ranked_as_in_the_original(golden: Golden):
    described, tensors = golden.json(JSON), golden.tensors(TENSORS)
    for name in groups(tensors, "didemo"):
        case, recorded = described[name], group(tensors, name)
        segments = chunk_segments()
        assert [list(segment) for segment in segments] == case["segments"]
        rows = zip(
            recorded["in.hidden_video"][:, 1:-1],
            recorded["in.vmasks"],
            recorded["in.pooled_text"],
            case["out"],
            strict=True,
        )
        for states, mask, text, ranked in rows:
            vectors, begun = segment_vectors(states, mask, segments, CHUNK)
            scores = torch.where(begun, vectors @ text, -torch.inf)
            order = scores.argsort(descending=True, stable=True)[: int(begun.sum())]
            assert [list(segments[place]) for place in order] == ranked


def test_answers_are_chosen_as_in_the_original(golden: Golden):
    tensors = golden.tensors(TENSORS)
    for name in groups(tensors, "qa"):
        check_answers(group(tensors, name))


def check_answers(recorded: dict[str, Tensor]) -> None:
    scores, answers = [], []
    for batch in range(sum(key.endswith("answers") for key in recorded)):
        given = {
            key.split(".", 2)[2]: t for key, t in recorded.items() if key.startswith(f"in.{batch}.")
        }
        products = (given["pooled_video"] * given["pooled_text"]).sum(1)
        scores.append(products.view(len(given["answers"]), -1))
        answers.append(given["answers"])
    merged, right = torch.cat(scores), torch.cat(answers)
    assert merged.argmax(1).tolist() == recorded["outputs"].tolist()
    assert torch.equal(right, recorded["targets"])
    ids = np.array([f"q{number}" for number in range(len(right))])
    found = MultipleChoiceMetric()(
        {"ids": ids, "scored_ids": ids, "answers": right[:, 0].numpy(), "scores": merged.numpy()}
    )
    assert found["accuracy"] == pytest.approx((merged.argmax(1) == right[:, 0]).double().mean())
