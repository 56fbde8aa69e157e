"""A small corpus of real files for tests: features in a store, captions, a tokenizer, a project."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmvt.features.shard import StoreWriter

COLOURS = ("red", "green", "blue", "white")
SHAPES = ("ball", "box", "cone", "ring")
WORDS = ("a", "the", "moves", "rests", *COLOURS, *SHAPES)
DIM = 16
STEPS = 8


def write_tokenizer(folder: Path, words: Sequence[str] = WORDS) -> Path:
    """Write a WordPiece vocabulary and the configuration of a tiny BERT; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    )
    config = {
        "model_type": "bert",
        "vocab_size": len(tokens),
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 64,
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def write_corpus(folder: Path, videos: int = 24) -> Path:
    """Write features, captions and a tokenizer under ``folder``; return it.

    Features hold the colour and the shape of a video as directions, so that there is something to
    learn. One video in six is for validation and one in six for testing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder / "tokenizer")
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(len(COLOURS) + len(SHAPES), DIM))
    rows = []
    with StoreWriter(folder / "features", dim=DIM, fps=1.0, encoder={"name": "test"}) as writer:
        for number in range(videos):
            colour, shape = number % len(COLOURS), number // len(COLOURS) % len(SHAPES)
            mean = directions[colour] + directions[len(COLOURS) + shape]
            noise = 0.1 * rng.normal(size=(STEPS, DIM))
            name = f"video {number:02d}.mp4"
            writer.add(name, (mean + noise).astype(np.float32))
            split = {4: "valid", 5: "test"}.get(number % 6, "train")
            thing = f"{COLOURS[colour]} {SHAPES[shape]}"
            rows.append([name, f"a {thing} moves", 0, 4, split])
            rows.append([name, f"the {thing} rests", 4, 8, split])
    with (folder / "captions.csv").open("w", newline="") as file:
        writer_csv = csv.writer(file)
        writer_csv.writerow(["video", "caption", "start", "end", "split"])
        writer_csv.writerows(rows)
    return folder


def write_project(folder: Path, corpus: Path) -> Path:
    """Write a project of one task over a corpus; return the path of its YAML."""
    task = folder / "projects" / "task"
    task.mkdir(parents=True)
    (task / "tiny.yaml").write_text(TASK.format(corpus=corpus))
    project = folder / "projects" / "tiny.yaml"
    project.write_text(PROJECT)
    return project


PROJECT = """\
project_dir: tiny
base_dir: task
task_group:
  pretrain:
    task_list: [tiny.yaml]
"""

TASK = """\
dataset:
  meta_processor: CaptionMetaProcessor
  video_processor: StoreVideoProcessor
  text_processor: CaptionTextProcessor
  aligner: OverlappedAligner
  evaluation_aligner: PairAligner
  annotations: {corpus}/captions.csv
  store: {corpus}/features
  bert_name: {corpus}/tokenizer
  max_video_len: 8
  max_len: 24
  sampled_min_len: 4
  sampled_max_len: 8
encoders:
  video: {{name: VideoTokenMLP, input_dim: 16}}
trunk: {{name: SeparateTrunk, pretrained: false, num_hidden_video_layers: 1}}
head: ContrastiveHead
fairseq:
  common:
    seed: 3
    log_interval: 1
    log_format: json
    tensorboard_logdir: runs/task/tiny/tensorboard
  dataset: {{batch_size: 4, num_workers: 0}}
  optimization:
    optimizer: adam
    lr: [0.003]
    lr_scheduler: polynomial_decay
    warmup_updates: 2
    total_num_update: 100
    max_update: 8
    clip_norm: 2.0
  checkpoint: {{save_dir: runs/task/tiny, save_interval_updates: 2, keep_last_epochs: 1}}
"""
