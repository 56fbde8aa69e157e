"""Data of VPT: imported, trained on by the project that comes with mmvt, and captioned."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from mmvt_cli import store
from tests.corpus import COLOURS, SHAPES, write_tokenizer
from tests.launching import ROOT, losses, succeed
from tests.vpt_data import Spoken, spoken, write_columns, write_deeplake

pytestmark = pytest.mark.slow
WORDS = ("a", "the", "rests", "here", "and", "moves", *COLOURS, *SHAPES)
SMALL = (
    "trunk.model_config={d_model: 16, d_kv: 8, d_ff: 32, num_layers: 1, num_heads: 2, \
vocab_size: 24}",
    "dataset.bert_name=tokenizer",
    "dataset.valid_fraction=0.25",
    "dataset.test_fraction=0.25",
    "fairseq.common.fp16=false",
    "fairseq.common.log_interval=1",
    "fairseq.common.log_format=json",
    "fairseq.dataset={batch_size: 8, num_workers: 0}",
    "fairseq.optimization={optimizer: adam, lr: [0.01], lr_scheduler: fixed, warmup_updates: 0, \
total_num_update: null, max_update: 12}",
)


def corpus() -> list[Spoken]:
    """Return three dozen segments; two have something wrong."""
    texts = {
        f"clip {n}.mp4": [
            f"the {COLOURS[n % 4]} {SHAPES[at % 4]} moves and the {SHAPES[n % 4]} rests here"
            for at in range(3)
        ]
        for n in range(12)
    }
    segments = spoken(texts)
    segments[4].wrong = {"timestamp": 1000.0}
    segments[10].wrong = {"done_text_encode": False}
    return segments


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(write_columns, id="npz"),
        pytest.param(
            write_deeplake,
            id="Deeplake",
            marks=[
                pytest.mark.may_skip("Deeplake is an extra"),
                pytest.mark.skipif(
                    importlib.util.find_spec("deeplake") is None,
                    reason="deeplake is not installed; run: python -m mmvt_cli.setup deeplake",
                ),
            ],
        ),
    ],
)
def test_imported_segments_train_and_are_written(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    write: Callable[[Path, Sequence[Spoken]], Path],
) -> None:
    write(tmp_path / "original", corpus())
    assert store.main(["convert", str(tmp_path / "original"), str(tmp_path / "data/vpt")]) == 3
    assert "34 segments of 12 videos (0 there already), 2 failed" in capsys.readouterr().out
    write_tokenizer(tmp_path / "tokenizer", WORDS)
    shutil.copytree(ROOT / "projects", tmp_path / "projects")
    (tmp_path / "projects" / "tiny.yaml").write_text("includes: vpt/imported.yaml\n")
    words = (*SMALL, "fairseq.checkpoint.save_dir=run")
    values = losses(succeed(tmp_path, "--jobtype", "local_single", *words))
    assert len(values) == 12
    assert sum(values[-3:]) < 0.8 * sum(values[:3])
    succeed(tmp_path, "--jobtype", "local_predict", *words)
    results = json.loads((tmp_path / "run/eval/results.json").read_text())
    assert results["protocol"]["clips"] == 9
    with np.load(tmp_path / "run/eval/predictions.npz") as predictions:
        assert predictions["ids"].tolist()[:3] == [
            f"clip 2.mp4@{s}" for s in ("1-6", "7-12", "13-18")
        ]
        assert all(predictions["hypotheses"].tolist())
