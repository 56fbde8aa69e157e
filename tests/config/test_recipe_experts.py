from __future__ import annotations

from pathlib import Path

import pytest

from mmvt.config.recipe import Recipe
from mmvt.errors import ConfigError

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
