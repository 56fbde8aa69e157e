from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmvt.errors import DataError
from mmvt.evaluators.base import Predictions
from mmvt.evaluators.evaluator import rescore
from mmvt.evaluators.metrics.captions import CaptionMetric
from mmvt.evaluators.predictions import PREDICTIONS, RESULTS, save_predictions

FIGURES = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr-D", "METEOR")

SAID = {
    "a": "A man rides a horse along the beach.",
    "b": "the cat sits on a mat",
    "c": "Two dogs don't play - they sleep!",
    "d": "someone is cooking",
    "e": "",
}
PEOPLE = {
    "a": ["A man is riding a horse on the beach", "someone rides a brown horse along the sea"],
    "b": ["the cat sat on the mat"],
    "c": ["two dogs are sleeping", "dogs, which don't play, sleep here", "two sleepy dogs"],
    "d": ["a woman cooks pasta in a kitchen", "someone is cooking"],
    "e": ["a car drives by"],
}


def predictions_of(
    said: Mapping[str, str], people: Mapping[str, list[str]] | None = None
) -> Predictions:
    people = PEOPLE if people is None else people
    return {
        "ids": np.array(list(people)),
        "scored_ids": np.array(list(said), np.str_),
        "hypotheses": np.array(list(said.values()), np.str_),
        "reference_ids": np.array([name for name, own in people.items() for _ in own]),
        "references": np.array([text for own in people.values() for text in own]),
    }


def figures(results: Mapping[str, Any]) -> list[float | None]:
    return [results[name] for name in FIGURES]


def test_figures_are_those_of_coco_captions():
    # what its own code says of these captions, tokenised by its own program in Java
    found = CaptionMetric()(predictions_of(SAID))
    recorded = [0.7406715092, 0.6133342792, 0.3908448959]
    assert [found[f"BLEU-{n}"] for n in (1, 2, 3)] == pytest.approx(recorded, abs=1e-9)
    # no four words are those of a reference; it says 0.000045 there, by its smoothing
    assert found["BLEU-4"] == 0
    assert found["ROUGE-L"] == pytest.approx(0.6158851326790258, rel=1e-12)
    assert found["CIDEr-D"] == pytest.approx(2.1379996637871677, rel=1e-12)


def test_figures_of_real_captions_are_those_of_coco_captions(shared: Path):
    file = shared / "data/annotations/Video-Captioning__data_training_data_training_label.json"
    clips = [clip["caption"] for clip in json.loads(file.read_text())[:300]]
    people = {f"v{n}": own[: 1 + n % (len(own) - 1)] for n, own in enumerate(clips)}
    # every seventh clip has a caption of another, and some have none
    said = {
        f"v{n}": "" if n % 50 == 3 else own[-1] if n % 7 else clips[(n * 31 + 5) % 300][0]
        for n, own in enumerate(clips)
    }
    found = CaptionMetric()(predictions_of(said, people))
    recorded = [
        *(0.5475989890477896, 0.3815594525603007, 0.276384859096907, 0.2090628768188246),
        *(0.45020697365321266, 0.8641283473390972),
    ]
    assert [found[name] for name in FIGURES[:6]] == pytest.approx(recorded, rel=1e-8)


def test_perfect_captions():
    said = {name: own[-1] for name, own in PEOPLE.items()}
    found = CaptionMetric()(predictions_of(said, {n: [text] for n, text in said.items()}))
    assert figures(found)[:5] == pytest.approx([1] * 5)
    # no caption of three words has four in a row
    assert found["CIDEr-D"] == pytest.approx(10 * (3 + 2 * 3 / 4) / 5)


def test_the_order_of_clips_predictions_and_references_changes_nothing():
    backward = {n: own[::-1] for n, own in reversed(PEOPLE.items())}
    found = CaptionMetric()(predictions_of(dict(sorted(SAID.items())[::-1]), backward))
    assert json.dumps(found) == json.dumps(CaptionMetric()(predictions_of(SAID)))
    rows = predictions_of(SAID, backward)
    assert json.dumps(CaptionMetric()(rows)) == json.dumps(found)


@pytest.mark.parametrize(
    "nothing", ["", " ", "\n", "...", "😀", "😀 \U0001f44d\n", "\ufeff", "\udcff", "\t"]
)
def test_a_caption_without_words_counts_zero_and_shifts_no_other(nothing: str):
    expected = CaptionMetric()(predictions_of(SAID))
    found = CaptionMetric()(predictions_of({**SAID, "e": nothing}))
    assert json.dumps(found) == json.dumps(expected)
    assert found["hypotheses_without_words"] == 1


@pytest.mark.parametrize("mark", ["\n", "\t", "\r\n", "\ufeff ", " \udcff ", "\u2028", " ||| "])
def test_signs_within_captions_shift_none(mark: str):
    changed = {name: text.replace(" ", mark, 1) for name, text in SAID.items()}
    expected = CaptionMetric()(predictions_of(SAID))
    found = CaptionMetric()(predictions_of(changed))
    if "|" not in mark:
        assert figures(found) == figures(expected)
    assert found["BLEU-1"] > 0.5


def test_a_caption_of_a_hundred_thousand_signs_is_scored():
    found = CaptionMetric()(predictions_of({**SAID, "b": "the cat " * 12_500}))
    assert 0 < found["BLEU-1"] < 0.01
    assert found["CIDEr-D"] < CaptionMetric()(predictions_of(SAID))["CIDEr-D"]


def test_references_without_words_are_counted():
    found = CaptionMetric()(
        predictions_of({"a": "a man", "b": "x"}, {"a": ["😀"], "b": ["x", "!"]})
    )
    assert found["references_without_words"] == 2
    assert found["protocol"]["references"] == 3
    assert found["ROUGE-L"] == pytest.approx(1 / 2)


def test_a_missing_prediction_is_an_error_or_an_empty_caption():
    some = {name: SAID[name] for name in ("d", "a")}
    with pytest.raises(DataError, match="3 clips without a prediction: 'b', 'c', 'e'"):
        CaptionMetric()(predictions_of(some))
    found = CaptionMetric(allow_missing=True)(predictions_of(some))
    assert found["protocol"]["missing_clips"] == 3
    assert found["protocol"]["clips"] == 5
    empty = CaptionMetric()(predictions_of({**dict.fromkeys(PEOPLE, ""), **some}))
    assert figures(found) == figures(empty)


def test_no_prediction_at_all_is_zero():
    found = CaptionMetric(allow_missing=True)(predictions_of({}))
    assert figures(found) == [0, 0, 0, 0, 0, 0, None]


WRONG = {
    "1 predictions of clips that the split does not have: 'z'": predictions_of({**SAID, "z": "x"}),
    "1 clips have no reference: 'd'": {
        **predictions_of(SAID),
        "reference_ids": np.array(["a", "b", "c", "e"]),
        "references": np.array(["x"] * 4),
    },
    "1 ids of references are not in the split: 'z'": {
        **predictions_of(SAID),
        "reference_ids": np.array([*"abcdez"]),
        "references": np.array(["x"] * 6),
    },
    "1 clips predicted more than once: 'a'": {
        **predictions_of(SAID),
        "scored_ids": np.array([*"abcdea"]),
        "hypotheses": np.array(["x"] * 6),
    },
    "ids holds ids more than once: 'a'": {**predictions_of(SAID), "ids": np.array([*"abcdea"])},
    r"hypotheses has the shape \(2,\), but must have 5 rows": {
        **predictions_of(SAID),
        "hypotheses": np.array(["x", "y"]),
    },
    "hypotheses must hold one text each": {
        **predictions_of(SAID),
        "hypotheses": np.arange(5),
    },
    "references has the shape": {**predictions_of(SAID), "references": np.array(["x"])},
    "the predictions have no array 'references'": {
        name: array for name, array in predictions_of(SAID).items() if name != "references"
    },
    "a split without a clip": predictions_of({}, {}),
}


@pytest.mark.parametrize("message", WRONG)
def test_what_is_wrong_is_named(message: str):
    with pytest.raises(DataError, match=message):
        CaptionMetric()(WRONG[message])


def test_scoring_a_saved_file_again_gives_the_same_bytes(tmp_path: Path):
    predictions = predictions_of({**SAID, "e": "ein\nUmbruch \udcff 😀"})
    protocol = {"metric": {"name": "CaptionMetric", "meteor_jar": None, "allow_missing": False}}
    save_predictions(tmp_path / PREDICTIONS, predictions, protocol)
    first = rescore(tmp_path / PREDICTIONS)
    before = (tmp_path / RESULTS).read_bytes()
    assert rescore(tmp_path / PREDICTIONS) == first == json.loads(before)
    assert (tmp_path / RESULTS).read_bytes() == before
    expected = CaptionMetric()(predictions)
    assert {name: first[name] for name in expected if name != "protocol"} == {
        name: value for name, value in expected.items() if name != "protocol"
    }
    assert expected["protocol"].items() <= first["protocol"].items()


def test_the_protocol_names_tokenizer_and_rules():
    predictions = {**predictions_of(SAID), "reference_source": np.array("texts")}
    protocol = CaptionMetric()(predictions)["protocol"]
    assert protocol["name"] == "captions"
    assert protocol["tokenizer"] == {"name": "mmvt-ptb", "version": 1}
    assert protocol["reference_source"] == "texts"
    assert (protocol["clips"], protocol["references"]) == (5, 9)
    assert protocol["meteor"] is None
    assert CaptionMetric()(predictions_of(SAID))["protocol"]["reference_source"] == "unknown"


def test_what_cannot_be_computed_is_null_with_a_reason():
    found = CaptionMetric()(predictions_of({"a": "a man"}, {"a": ["a man"]}))
    assert found["CIDEr-D"] is None
    assert found["METEOR"] is None
    assert found["absent"] == {
        "CIDEr-D": "there is one clip, but words are weighed by several",
        "METEOR": "metric.meteor_jar is not set",
    }
    assert found["BLEU-2"] == 1
