"""Faults of the evaluation of TVQA that the shipped project must not have, on a small file."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmvt.config.recipe import Recipe
from mmvt.datasets.multimodal import MultimodalDataset
from mmvt.evaluators.predictions import load_predictions
from mmvt.evaluators.predictors.question import OptionPredictor
from mmvt.features.shard import StoreWriter
from mmvt.processors.aligners.question import YesNoAligner
from mmvt.processors.meta.tvqa import TVQAMetaProcessor
from mmvt.processors.text.questions import TVQATextProcessor
from mmvt_cli.predict import main as predict
from tests.asking import DIM, KINDS, VIDEOS, ShownThings, layout_of, model_of, words_in
from tests.launching import ROOT
from tests.standins import write_jsonl

SHOWS = {
    "friends": "Friends",
    "castle": "Castle",
    "house": "House M.D.",
    "grey": "Grey's Anatomy",
    "met": "How I Met You Mother",
    "bbt": "The Big Bang Theory",
}
ANSWERS = ["red", "green", "blue", "white", "red and blue"]
STEPS, FPS = 40, 2.0
TRAIN = [f"{show}_s01e01_seg01_clip_00" for show in SHOWS]
# show after show, each with a clip more than the one before
EVALUATED = [
    f"{show}_s02e01_seg02_clip_{n:02d}" for more, show in enumerate(SHOWS) for n in range(more + 1)
]
EVERY = [*TRAIN, *EVALUATED]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def question(number: int, clip: str, span: str = "2.5-6") -> dict[str, Any]:
    """Return a line of the public file."""
    return {
        **{f"a{place}": text for place, text in enumerate(ANSWERS)},
        "answer_idx": number % 5,
        "q": "what color is it ?",
        "qid": number,
        "show_name": SHOWS[clip.partition("_")[0]],
        "ts": span,
        "vid_name": clip,
    }


def write_store(folder: Path, clips: Sequence[str]) -> None:
    """Write features of clips, whose first number is the time of their step, in this order."""
    with StoreWriter(folder, dim=DIM, fps=FPS, encoder={"name": "standin"}) as store:
        for clip in clips:
            features = np.random.default_rng(EVERY.index(clip)).normal(size=(STEPS, DIM))
            features[:, 0] = np.arange(STEPS) / FPS
            store.add(clip, features.astype(np.float32))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with TVQA."""
    words_in(tmp_path)
    write_store(tmp_path / "features", EVERY)
    write_jsonl(tmp_path / "train.jsonl", [question(900 + n, own) for n, own in enumerate(TRAIN)])
    write_jsonl(tmp_path / "val.jsonl", [question(n, own) for n, own in enumerate(EVALUATED)])
    (tmp_path / "subtitles").mkdir()
    for clip in EVERY:
        said = "1\n00:00:03,000 --> 00:00:05,000\nit is red\n"
        (tmp_path / "subtitles" / f"{clip}.srt").write_text(said)
    return tmp_path


def words_for(folder: Path, *more: str) -> list[str]:
    """Return a command about the shipped project over the files of a folder."""
    small = "{d_model: 16, d_kv: 8, d_ff: 32, num_layers: 1, num_heads: 2, vocab_size: 24}"
    return [
        str(ROOT / "projects/vpt/tvqa.yaml"),
        f"dataset.bert_name={folder / 'tokenizer'}",
        f"dataset.store={folder / 'features'}",
        f"dataset.train_path={folder / 'train.jsonl'}",
        f"dataset.val_path={folder / 'val.jsonl'}",
        f"dataset.text_processor.transcripts={folder / 'subtitles'}",
        "dataset.video_processor.suffix=",
        f"encoders.video.input_dim={DIM}",
        f"trunk.model_config={small}",
        *("fairseq.common.fp16=false", "fairseq.common.cpu=true"),
        *more,
    ]


def evaluated(folder: Path, *more: str, out: str = "out") -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what initial weights choose, and what is said of it."""
    words = words_for(folder, *more)
    assert predict([*words, "--checkpoint", "none", "--out", str(folder / out)]) == 0
    predictions, _ = load_predictions(folder / out / "predictions.npz")
    return dict(predictions), json.loads((folder / out / "results.json").read_text())


def test_what_is_trained_on_is_not_evaluated(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = Recipe.load(Path(words_for(folder)[0]), words_for(folder)[1:])
    trained, asked = (set(recipe.dataset(split).video_ids) for split in ("train", "test"))
    assert trained == set(TRAIN)
    assert asked == set(recipe.dataset("valid").video_ids) == set(EVALUATED)
    write_jsonl(folder / "val.jsonl", [question(0, EVALUATED[0]), question(1, TRAIN[2])])
    assert predict([*words_for(folder), "--checkpoint", "none", "--out", "out"]) == 2
    assert f"1 videos are in both {folder / 'val.jsonl'}" in capsys.readouterr().err


def test_all_six_shows_are_told(folder: Path) -> None:
    _, results = evaluated(folder)
    counts = {name: group["questions"] for name, group in results["groups"].items()}
    assert counts == {name: number for number, name in enumerate(SHOWS.values(), start=1)}
    assert results["questions"] == 21
    right = sum(group["accuracy"] * group["questions"] for group in results["groups"].values())
    assert results["accuracy"] == pytest.approx(right / 21)
    for blind in ("question_only", "answer_only"):
        assert results[blind]["groups"].keys() == set(SHOWS.values())


def test_the_order_of_files_changes_nothing(folder: Path) -> None:
    before, results = evaluated(folder)
    lines = (folder / "val.jsonl").read_text().splitlines()
    random.Random(3).shuffle(lines)
    (folder / "val.jsonl").write_text("\n".join(lines))
    write_store(folder / "turned", EVERY[::-1])
    turned = f"dataset.store={folder / 'turned'}"
    after, results_after = evaluated(folder, turned, "predictor.batch_size=21", out="other")
    assert before["scored_ids"].tolist() != after["scored_ids"].tolist()
    place = {name: number for number, name in enumerate(after["scored_ids"].tolist())}
    same = [place[name] for name in before["scored_ids"].tolist()]
    np.testing.assert_allclose(before["scores"], after["scores"][same], rtol=1e-4, atol=1e-6)
    assert len(np.unique(before["scores"][:, 0])) == 21  # each clip is another
    assert results["groups"] == results_after["groups"]


@pytest.mark.parametrize(("times", "first", "last"), [("false", 0.0, 19.5), ("true", 2.5, 5.5)])
def test_steps_are_shown_in_time_order(times: str, first: float, last: float, folder: Path) -> None:
    words = words_for(folder, f"dataset.text_processor.times={times}", "dataset.max_video_len=6")
    dataset = Recipe.load(Path(words[0]), words[1:]).dataset("test")
    for index in range(len(dataset)):
        example = dataset[index]
        shown = example["vfeats"][example["vmasks"], 0].tolist()
        assert shown == sorted(shown)
        assert len(shown) == 6
        assert first <= shown[0] < first + 3
        assert last - 3 < shown[-1] <= last


def test_the_protocol_tells_whether_the_part_was_shown(folder: Path) -> None:
    scores = []
    for times in (False, True):
        written = f"dataset.text_processor.times={json.dumps(times)}"
        predictions, results = evaluated(folder, written, out=str(times))
        assert results["protocol"]["config"]["dataset"]["text_processor"]["times"] is times
        scores.append(predictions["scores"])
    assert not np.allclose(*scores)
    _, results = evaluated(folder)
    assert results["protocol"]["config"]["dataset"]["text_processor"]["times"] is False


@pytest.mark.parametrize("kind", KINDS)
def test_a_score_is_the_log_odds_of_yes_at_the_first_token(kind: str, tmp_path: Path) -> None:
    bert_name, path = words_in(tmp_path), tmp_path / "val.jsonl"
    shown = [question(n, "house_x") | {"vid_name": video} for n, video in enumerate(VIDEOS[:2])]
    write_jsonl(path, shown)
    layout = layout_of(bert_name, max_prompt_len=16)
    texts = TVQATextProcessor(bert_name=bert_name, val_path=path)
    dataset = MultimodalDataset(
        meta_processor=TVQAMetaProcessor(split="test", val_path=path),
        video_processor=ShownThings(),
        text_processor=texts,
        aligner=YesNoAligner(layout=layout, bert_name=bert_name),
        split="test",
    )
    model = model_of(kind)
    trunk: Any = model.trunk
    lm = trunk.t5 if kind == "t5" else trunk.lm
    words = lm.get_input_embeddings()
    begin = [] if kind == "t5" else [words(torch.tensor([2]))]
    yes, no = texts.tokenizer.convert_tokens_to_ids(["yes", "no"])
    found = OptionPredictor(baselines=False)(model, dataset)
    for row in range(2):
        example = dataset[row]
        encoded = model.encoders["video"](vfeats=example["vfeats"][None])["video_embeddings"][0]
        for place, answer in enumerate(ANSWERS):
            asked = f"what color is it ? is it '{answer}'?"
            prompt = torch.tensor(texts.tokenizer(asked, add_special_tokens=False)["input_ids"])
            embeds = torch.cat([*begin, encoded, words(prompt)])[None]
            generated = lm.generate(
                inputs_embeds=embeds,
                attention_mask=torch.ones(embeds.shape[:2], dtype=torch.long),
                max_new_tokens=1,
                do_sample=False,
                output_logits=True,
                return_dict_in_generate=True,
                **({"decoder_start_token_id": 0} if kind == "t5" else {}),
            )
            told = generated.logits[0][0].log_softmax(-1)
            expected = (told[yes] - told[no]).item()
            assert found["scores"][row, place] == pytest.approx(expected, rel=1e-3, abs=1e-5)
