from __future__ import annotations

from pathlib import Path

import pytest

from mmvt.config.recipe import Recipe
from mmvt.errors import ConfigError
from mmvt.processors.text.tokenizer import load_tokenizer
from tests.corpus import write_tokenizer

YAML = """
dataset: {meta_processor: CaptionMetaProcessor, video_processor: ExpertsVideoProcessor,
  text_processor: CaptionTextProcessor, aligner: CaptioningAligner, annotations: captions.csv,
  store: frames, experts: {audio: audio}, bert_name: words, max_video_len: 4, max_len: 20}
encoders: {video: {name: ExpertsEncoder, experts: {video: {input_dim: 8}, audio: {input_dim: 2}}}}
trunk: {name: T5Trunk, pretrained: false}
head: LanguageHead
"""


def test_the_encoder_takes_apart_the_experts_that_are_read(tmp_path: Path) -> None:
    path = tmp_path / "experts.yaml"
    layout = "dataset.layout=PromptLayout", "dataset.max_len=null"
    path.write_text(YAML)
    assert Recipe.load(path, layout).encoders["video"].values["experts"]["audio"]
    for other in (
        "dataset.expert_rows={audio: 2}",
        "dataset.experts={sound: audio}",
        "encoders.video.experts.audio.rows=2",
    ):
        with pytest.raises(ConfigError, match=r"reads the experts .* encoders.video.experts are"):
            Recipe.load(path, [*layout, other])


def test_text_experts_need_a_prompt_and_must_not_say_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "experts.yaml"
    path.write_text(YAML)
    prompt = ["dataset.layout=PromptLayout", "dataset.max_len=null"]
    ocr = "dataset.text_experts={ocr: {path: ocr.jsonl}}"
    assert Recipe.load(path, [*prompt, ocr]).plans["dataset"].values["text_experts"]
    Recipe.load(path, [*prompt, ocr, "dataset.evaluation_aligner=PairAligner"])
    speech = ["dataset.text_processor=TranscriptTextProcessor", "dataset.transcripts=x/../speech"]
    for options, message in (
        ([ocr], "dataset.text_experts need a prompt, but aligner CaptioningAligner has no Prompt"),
        (
            [*prompt, ocr, "dataset.evaluation_aligner=MILNCEAligner"],
            "evaluation_aligner MILNCEAligner has no PromptLayout",
        ),
        (
            [*prompt, "dataset.text_experts={ocr: {path: ocr.jsonl, rule: last}}"],
            "experts.yaml: dataset.text_experts.ocr.rule must be first or middle or refuse",
        ),
        (
            [*prompt, *speech, "dataset.text_experts={speech: {path: speech}}"],
            r"speech.path speech is what TranscriptTextProcessor reads \(transcripts\)",
        ),
        (
            [*prompt, "dataset.text_experts={speech: {path: captions.csv}}"],
            r"captions.csv is what CaptionTextProcessor reads \(annotations\): words that are",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            Recipe.load(path, options)


def test_a_language_model_with_random_weights_or_another_tokenizer_is_told(tmp_path: Path) -> None:
    path = tmp_path / "experts.yaml"
    path.write_text(YAML)
    options = ["dataset.layout=PromptLayout", "dataset.max_len=null"]
    assert Recipe.load(path, options).notes == []
    (note,) = Recipe.load(path, [*options, "trunk.model_name=words"]).notes
    assert "with trunk.pretrained: false none of its weights are used" in note
    options.append("trunk.pretrained=true")
    assert Recipe.load(path, [*options, "trunk.model_name=words"]).notes == []
    (note,) = Recipe.load(path, [*options, "trunk.model_name=google/flan-t5-small"]).notes
    assert note == (
        f"{path}: trunk.model_name is google/flan-t5-small, but its words are told by the "
        "tokenizer dataset.bert_name, which is words"
    )


def test_a_language_model_must_know_all_words_of_the_tokenizer(tmp_path: Path) -> None:
    words = write_tokenizer(tmp_path / "words")
    count = len(load_tokenizer(str(words)))
    path = tmp_path / "experts.yaml"
    path.write_text(YAML)
    options = ["dataset.layout=PromptLayout", "dataset.max_len=null", f"dataset.bert_name={words}"]
    small = "d_model: 8, d_kv: 4, d_ff: 8, num_layers: 1, num_heads: 2"
    for known in (count - 1, count, count + 1):
        size = f"trunk.model_config={{{small}, vocab_size: {known}}}"
        recipe = Recipe.load(path, [*options, size])
        if known < count:
            with pytest.raises(
                ConfigError, match=f"has {count} words, but the language .* {known}"
            ):
                recipe.model_in_training()
        else:
            assert recipe.model_in_training().trunk.num_words == known
