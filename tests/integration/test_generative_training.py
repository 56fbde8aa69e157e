"""The head of a contrastive YAML exchanged for one that writes, on the same shards."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from mmvt.datasets.store import FeatureStore
from mmvt.features.shard import StoreWriter
from tests.corpus import write_corpus, write_project
from tests.launching import losses, succeed

HEAD = "head={name: LanguageHead}"
T5 = (
    "trunk={name: T5Trunk, pretrained: false, model_config: {d_model: 16, d_kv: 8, d_ff: 32, \
num_layers: 1, num_heads: 2, vocab_size: 30}}",
    "encoders.video={name: ExpertEncoder, input_dim: 16}",
    "dataset.layout={name: PromptLayout}",
    "dataset.max_len=null",
)
EXPERTS = (
    *T5,
    "trunk.prompt_states=true",
    "dataset.video_processor={name: ExpertsVideoProcessor, experts: {audio: CORPUS/audio}}",
    "encoders.video={name: ExpertsEncoder, token_budget: 16, input_dim: null, \
experts: {video: {input_dim: 16}, audio: {input_dim: 3}}}",
    "dataset.text_experts={ocr: {path: CORPUS/ocr.jsonl, label: the, max_tokens: 4}}",
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    corpus = write_corpus(tmp_path_factory.mktemp("corpus"))
    videos = FeatureStore.open(corpus / "features").ids
    with StoreWriter(corpus / "audio", dim=3, fps=2.0, encoder={"name": "sound"}) as writer:
        for number, name in enumerate(videos):
            writer.add(name, np.full((16, 3), number % 3, np.float32))
    lines = ({"video_id": name, "tags": ["ball", "box"], "start": 0, "end": 4} for name in videos)
    (corpus / "ocr.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return corpus


def checksums(corpus: Path) -> dict[str, str]:
    return {
        str(path.relative_to(corpus)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(corpus.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize(
    "options",
    [
        pytest.param((), id="head alone"),
        pytest.param(T5, id="T5", marks=pytest.mark.slow),
        pytest.param(EXPERTS, id="experts", marks=pytest.mark.slow),
    ],
)
def test_a_head_that_writes_trains_where_a_contrastive_one_did(
    tmp_path: Path, corpus: Path, options: tuple[str, ...]
) -> None:
    write_project(tmp_path, corpus)
    before = checksums(corpus)
    given = (option.replace("CORPUS", str(corpus)) for option in options)
    words = (HEAD, *given, "fairseq.optimization.max_update=16")
    values = losses(succeed(tmp_path, "--jobtype", "local_single", *words))
    assert len(values) == 16
    assert sum(values[-4:]) < 0.9 * sum(values[:4])
    succeed(tmp_path, "--jobtype", "local_predict", *words)
    results = json.loads((tmp_path / "runs/tiny/tiny/eval/results.json").read_text())
    assert 0 <= results["BLEU-1"] <= 1
    assert results["protocol"]["metric"]["name"] == "CaptionMetric"
    assert checksums(corpus) == before
