"""A stand-in for HowTo100M: a store of long videos, and captions in several sentences a video."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from mmvt.features.shard import StoreWriter
from tests.corpus import DIM, write_tokenizer

THINGS = (
    *("ball", "box", "cone", "ring", "star", "drum", "leaf", "lamp"),
    *("boat", "bell", "fork", "kite", "moon", "nest", "pear", "rope"),
)
WORDS = ("a", "the", "moves", "rests", "behind", *THINGS)
SECONDS = 4  # of a caption
CAPTIONS = 4  # of a video


def write_how2(folder: Path, videos: int = 256, held_out: int = 8) -> Path:
    """Write features, lists of ids, captions and a tokenizer under ``folder``; return it.

    Each caption names the three things that the features of its seconds are the sum of, so that
    there is something to learn; one of them stays the same in a video, so that some are near.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder / "tokenizer", WORDS)
    rng = np.random.default_rng(0)
    directions = dict(zip(THINGS, rng.normal(size=(len(THINGS), DIM)), strict=True))
    names = [f"v{number:04d}" for number in range(videos + held_out)]
    rows = []
    with StoreWriter(folder / "features", dim=DIM, fps=1.0, encoder={"name": "test"}) as writer:
        for name in names:
            subject, seconds = rng.choice(THINGS), []
            for start in range(0, CAPTIONS * SECONDS, SECONDS):
                first, second = rng.choice(THINGS, 2)
                mean = directions[subject] + directions[first] + directions[second]
                seconds.append(mean + 0.1 * rng.normal(size=(SECONDS, DIM)))
                text = f"a {subject} moves the {first} behind the {second} rests"
                rows.append([name, text, start, start + SECONDS])
            writer.add(name, np.concatenate(seconds).astype(np.float32))
    with (folder / "captions.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["video", "caption", "start", "end"], *rows])
    (folder / "train.lst").write_text("\n".join(names[:videos]))
    (folder / "val.lst").write_text("\n".join(names[videos:]))
    return folder


DATASET = """\
dataset:
  meta_processor: How2MetaProcessor
  video_processor: StoreVideoProcessor
  text_processor: CaptionTextProcessor
  annotations: {corpus}/captions.csv
  train_path: {corpus}/train.lst
  val_path: {corpus}/val.lst
  store: {corpus}/features
  bert_name: {corpus}/tokenizer
  max_video_len: 8
  max_len: 32
"""
TRAINING = """\
encoders:
  video: {{name: VideoTokenMLP, input_dim: 16}}
fairseq:
  common: {{seed: 3, log_interval: 1, log_format: json}}
  dataset: {{batch_size: 32, num_workers: 0, disable_validation: true}}
  optimization:
    optimizer: adam
    lr: [0.003]
    lr_scheduler: polynomial_decay
    warmup_updates: 2
    total_num_update: 1000
    clip_norm: 2.0
  checkpoint: {{save_dir: runs/task/tiny}}
"""
VIDEOCLIP = (
    DATASET
    + """\
  aligner: OverlappedAligner
  evaluation_aligner: PairAligner
  sampled_min_len: 4
  sampled_max_len: 12
  subsampling: 4
task: {{name: RetrievalTask, retri_epoch: 2, num_video_per_batch: 32}}
trunk:
  name: SeparateTrunk
  pretrained: false
  num_hidden_video_layers: 1
  bert_config: {{hidden_size: 32, hidden_dropout_prob: 0.0, attention_probs_dropout_prob: 0.0}}
head: ContrastiveHead
"""
    + TRAINING
)
VLM = (
    DATASET
    + """\
  aligner: MFMMLMAligner
  subsampling: 4
task: PairTask
trunk: {{name: JointTrunk, pretrained: false, bert_config: {{hidden_size: 32}}}}
head: {{name: MTMHead, pretrained: false}}
"""
    + TRAINING
)
