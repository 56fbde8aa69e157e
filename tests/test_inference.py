from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import mmvt
from mmvt.checkpoint import save_state
from mmvt.errors import CheckpointError, ConfigError, DataError
from mmvt.features.s3d.network import S3DNetwork
from mmvt.inference import LoadedModel, MMVTModel, find_config, load
from tests.colours import RGB, write_colour_task, write_colours
from tests.corpus import write_corpus, write_project, write_tokenizer
from tests.s3d_weights import named_weights, write_weights


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_colour_task(tmp_path_factory.mktemp("task"))


@pytest.fixture(scope="module")
def loaded(task: Path) -> LoadedModel:
    return load(task)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("videos")
    return [write_colours(folder / f"{name}.mp4", [name] * 2) for name in RGB]


def frames_of(*colours: str, rate: int = 4) -> Tensor:
    """Return (seconds, rate, 36, 64, 3) frames: a second of each colour."""
    seconds = torch.tensor([RGB[name] for name in colours], dtype=torch.uint8)
    return seconds[:, None, None, None].expand(-1, rate, 36, 64, -1)


def test_every_word_finds_the_video_of_its_colour(loaded: LoadedModel, videos: list[Path]) -> None:
    scores = loaded.scores(["red", "a green box", "the blue ring"], [str(v) for v in videos])
    assert scores.shape == (3, 3)
    assert scores.argmax(1).tolist() == [0, 1, 2]


def test_one_and_many_videos_and_texts_give_the_same_vectors(
    loaded: LoadedModel, videos: list[Path]
) -> None:
    many = loaded.encode_video(videos)
    assert many.shape == (3, loaded.dim)
    torch.testing.assert_close(loaded.encode_video(videos[1]), many[1:2])
    torch.testing.assert_close(loaded.encode_video(str(videos[1])), many[1:2])
    texts = loaded.encode_text(["red", "green box a"])
    torch.testing.assert_close(loaded.encode_text("red"), texts[:1], atol=1e-6, rtol=0)


def test_frames_and_their_file_give_the_same_vectors(
    loaded: LoadedModel, videos: list[Path]
) -> None:
    frames = frames_of("red", "red").flatten(0, 1)
    expected = loaded.encode_video(videos[0])
    torch.testing.assert_close(loaded.encode_video(frames, 4.0), expected, atol=0.05, rtol=0)
    two = loaded.encode_video(torch.stack([frames, frames]), 4.0)
    torch.testing.assert_close(two, expected.expand(2, -1), atol=0.05, rtol=0)


def test_no_video_and_no_text_give_no_vector(loaded: LoadedModel) -> None:
    assert loaded.encode_features([]).shape == (0, 3)
    assert loaded.encode_text([]).shape == (0, 3)


def test_more_steps_than_the_model_takes_are_cut_with_a_warning(
    loaded: LoadedModel, caplog: pytest.LogCaptureFixture
) -> None:
    rows = np.zeros((5, 3), np.float32)
    rows[:, 0], rows[4] = 1, 100
    torch.testing.assert_close(loaded.encode_features([rows]), torch.tensor([[1.0, 0.0, 0.0]]))
    assert "5 steps of a video are cut to 4" in caplog.text


def test_score_is_that_of_each_video_with_its_own_text(loaded: LoadedModel, task: Path) -> None:
    model, tokenizer, aligner = mmvt.MMVTModel.from_pretrained(task)
    words = ("blue", "red")
    pairs = [
        aligner._build_text_seq(tokenizer(word, add_special_tokens=False)["input_ids"])
        for word in words
    ]
    caps, cmasks = (torch.stack(part) for part in zip(*pairs, strict=True))
    frames = torch.stack([frames_of("blue", "blue"), frames_of("red", "green")])
    score = model(frames, caps, cmasks, return_score=True)["score"]
    assert score.shape == (2,)
    assert score[0] > score[1] > 0
    alone = model(frames[:1], caps[:1], cmasks[:1], return_score=True)["score"]
    torch.testing.assert_close(alone, score[:1])
    floats = model(frames / 255, caps, cmasks, return_score=True)["score"]
    torch.testing.assert_close(floats, score)
    ports = model(frames, caps, cmasks)
    torch.testing.assert_close(ports["scores"].diagonal(), score)


def test_text_of_the_aligner_is_that_of_training(loaded: LoadedModel) -> None:
    _, tokenizer, aligner = MMVTModel.from_pretrained(loaded.recipe.path)
    ids = tokenizer("a red ball", add_special_tokens=False)["input_ids"]
    caps, cmasks = aligner.build_text(ids)
    start, end = tokenizer.cls_token_id, tokenizer.sep_token_id
    assert caps.tolist()[: len(ids) + 3] == [start, end, *ids, end]
    assert int(cmasks.sum()) == len(ids) + 3
    assert len(caps) == 16 - 4


def test_frames_of_the_wrong_shape_are_refused(task: Path) -> None:
    model, _, aligner = MMVTModel.from_pretrained(task)
    caps, cmasks = aligner.build_text([])
    with pytest.raises(DataError, match="must be \\(batch, seconds, frames a second"):
        model(frames_of("red"), caps[None], cmasks[None])
    with pytest.raises(DataError, match="must be"):
        model(frames_of("red")[None], caps.expand(2, -1), cmasks.expand(2, -1))


def test_checkpoint_replaces_the_weights(task: Path, tmp_path: Path, loaded: LoadedModel) -> None:
    other = load(task, overrides=["trunk={name: ColourTrunk, gain: 2.0}"])
    path = tmp_path / "weights.safetensors"
    save_state(other.model, path)
    again = load(task, path)
    torch.testing.assert_close(again.encode_text("red box"), other.encode_text("red box"))
    assert again.fingerprint["settings"] == loaded.fingerprint["settings"]
    assert again.fingerprint != loaded.fingerprint
    assert other.fingerprint != loaded.fingerprint
    torch.save({"model": {"mmmodel.other": torch.zeros(1)}}, tmp_path / "wrong.pt")
    with pytest.raises(CheckpointError, match="missing: trunk.colours"):
        load(task, tmp_path / "wrong.pt")


def test_places_of_data_do_not_change_the_fingerprint(task: Path, loaded: LoadedModel) -> None:
    same = load(task, overrides=["dataset.store=elsewhere", "features.fps=2"])
    assert same.fingerprint == loaded.fingerprint
    assert load(task, overrides=["dataset.max_len=20"]).fingerprint != loaded.fingerprint


def test_untrained_model_is_told(task: Path, caplog: pytest.LogCaptureFixture) -> None:
    loaded = load(task, overrides=["trunk={name: ColourTrunk, frozen: false}"])
    assert not loaded.trained
    assert "is used without a checkpoint: it is untrained" in caplog.text


def test_untrusted_yaml_imports_no_code(task: Path) -> None:
    with pytest.raises(ConfigError, match="plugins are imported only for"):
        load(task, trusted=False)
    for override in ("plugins=[evil.py]", "dataset.store=${oc.env:HOME}"):
        with pytest.raises(ConfigError, match="overrides ask for code or for the environment"):
            load(find_config(Path("projects/task/videoclip.yaml")), None, [override], trusted=False)


def test_model_for_texts_has_the_same_texts_and_no_videos(
    task: Path, loaded: LoadedModel, tmp_path: Path
) -> None:
    save_state(loaded.model, tmp_path / "weights.safetensors")
    texts = load(task, tmp_path / "weights.safetensors", only_text=True)
    torch.testing.assert_close(texts.encode_text("green"), loaded.encode_text("green"))
    with pytest.raises(ConfigError, match="was loaded for texts only"):
        texts.encode_features([np.zeros((1, 3), np.float32)])


def test_yaml_that_comes_with_mmvt_is_found_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_config(Path("projects/bridge/zeroshot.yaml")).is_file()
    assert find_config(Path("projects/absent.yaml")) == Path("projects/absent.yaml")
    mine = tmp_path / "projects" / "bridge" / "zeroshot.yaml"
    mine.parent.mkdir(parents=True)
    mine.touch()
    assert find_config(Path("projects/bridge/zeroshot.yaml")).resolve() == mine


@pytest.mark.parametrize(
    "trunk",
    [
        "{name: SeparateTrunk, num_hidden_video_layers: 1, pretrained: false}",
        "{name: SharedTrunk, pretrained: false}",
        "{name: JointTrunk, num_iso_layer: 1, pretrained: false}",
    ],
)
def test_videos_and_texts_are_encoded_as_in_a_whole_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trunk: str
) -> None:
    """Padding, other examples and a video that is not there change no vector."""
    monkeypatch.chdir(tmp_path)
    corpus = write_corpus(tmp_path / "corpus")
    write_project(tmp_path, corpus)
    loaded = load("projects/task/tiny.yaml", overrides=[f"trunk={trunk}"])
    batch = [loaded.recipe.dataset("test")[i] for i in range(2)]
    names = ("vfeats", "vmasks", "caps", "cmasks")
    with torch.inference_mode():
        out = loaded.model(**{key: torch.stack([one[key] for one in batch]) for key in names})
    texts = [loaded.tokenizer.decode(one["caps"][one["cmasks"]][2:-1]) for one in batch]
    torch.testing.assert_close(loaded.encode_text(texts), out["pooled_text"], atol=1e-5, rtol=1e-4)
    rows = [one["vfeats"][one["vmasks"]].numpy() for one in batch]
    torch.testing.assert_close(
        loaded.encode_features(rows), out["pooled_video"], atol=1e-5, rtol=1e-4
    )
    with pytest.raises(ConfigError, match="features is missing"):
        loaded.encode_video(tmp_path / "absent.mp4")


def test_video_and_text_that_see_each_other_have_no_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path, write_corpus(tmp_path / "corpus"))
    trunk = "trunk={name: JointTrunk, pretrained: false}"
    loaded = load("projects/task/tiny.yaml", overrides=[trunk])
    rows = np.zeros((2, 16), np.float32)
    with pytest.raises(ConfigError, match=r"JointTrunk lets .* set trunk.num_iso_layer"):
        loaded.encode_features([rows])
    with pytest.raises(ConfigError, match="neither has a vector of its own"):
        loaded.encode_text("a red ball")
    with pytest.raises(ConfigError, match="neither has a vector of its own"):
        loaded.recipe.predictor()(loaded.model, loaded.recipe.dataset("test"))


def test_bridge_tells_clips_apart(shared: Path) -> None:
    loaded = mmvt.load("projects/bridge/zeroshot.yaml")
    clips = shared / "data" / "videos"
    names = ("hitting_baseball", "making_cake", "playing_guitar")
    scores = loaded.scores(
        ["a man hits a baseball", "somebody bakes a cake", "a guitar is played"],
        [str(clips / f"Ask-Anything__{name}.mp4") for name in names],
    )
    assert scores.argmax(1).tolist() == [0, 1, 2]
    assert scores.abs().max() <= 1.0


S3D_TASK = """\
features: {{encoder: {{name: S3D, weights: {weights}, frames_per_second: 4, frame_size: 32}}}}
dataset:
  meta_processor: CaptionMetaProcessor
  video_processor: StoreVideoProcessor
  text_processor: CaptionTextProcessor
  aligner: PairAligner
  annotations: captions.csv
  store: features
  bert_name: {tokenizer}
  max_video_len: 8
  max_len: 24
encoders: {{video: {{name: VideoTokenMLP, input_dim: 512}}}}
trunk: {{name: SeparateTrunk, pretrained: false, num_hidden_video_layers: 1}}
head: ContrastiveHead
fairseq: {{checkpoint: {{save_dir: {run}}}}}
"""


@pytest.fixture(scope="module")
def how2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a YAML of VideoCLIP on S3D."""
    folder = tmp_path_factory.mktemp("how2")
    weights = write_weights(folder / "s3d.pth", named_weights(S3DNetwork(), seed=1))
    yaml = folder / "how2.yaml"
    tokenizer = write_tokenizer(folder / "tokenizer", ["some", "text"])
    yaml.write_text(S3D_TASK.format(weights=weights, tokenizer=tokenizer, run=folder / "run"))
    return yaml


def test_the_example_of_the_original_runs(how2: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    model, tokenizer, aligner = MMVTModel.from_pretrained(how2)
    model.eval()
    video_frames = torch.randn(1, 2, 4, 32, 32, 3)
    caps, cmasks = aligner._build_text_seq(
        tokenizer("some text", add_special_tokens=False)["input_ids"]
    )
    caps, cmasks = caps[None, :], cmasks[None, :]
    with torch.no_grad():
        output = model(video_frames, caps, cmasks, return_score=True)
    assert output["score"].shape == (1,)
    assert output["score"].isfinite().all()
    assert "not from 0 to 1" in caplog.text


def test_frames_reach_the_encoder_unrounded_and_any_number_of_videos_scores_as_one(
    how2: Path,
) -> None:
    model, tokenizer, aligner = MMVTModel.from_pretrained(how2)
    caps, cmasks = aligner.build_text(tokenizer("text", add_special_tokens=False)["input_ids"])
    frames = torch.rand(3, 2, 4, 32, 32, 3, generator=torch.Generator().manual_seed(0))

    def scores(part: Tensor) -> Tensor:
        texts = (caps.expand(len(part), -1), cmasks.expand(len(part), -1))
        return model(part, *texts, return_score=True)["score"]

    together = scores(frames)
    torch.testing.assert_close(torch.cat([scores(one[None]) for one in frames]), together)
    levels = (frames * 255).round()
    torch.testing.assert_close(scores(levels.to(torch.uint8)), scores(levels / 255))
    assert not torch.allclose(scores(levels / 255), together, rtol=1e-6, atol=0)


def test_checkpoint_of_the_tasks_own_run_is_found(how2: Path) -> None:
    initial, _, _ = MMVTModel.from_pretrained(how2)
    state = {
        key: torch.full_like(value, 0.5) for key, value in initial.mmmodel.state_dict().items()
    }
    best = how2.parent / "run" / "checkpoint_best.pt"
    best.parent.mkdir()
    torch.save({"model": {f"mmmodel.{key}": value for key, value in state.items()}}, best)
    trained, _, _ = MMVTModel.from_pretrained(how2)
    assert all(
        torch.equal(value, state[key]) for key, value in trained.mmmodel.state_dict().items()
    )
    assert load(how2).checkpoint is None
    save_state(initial.mmmodel, how2.parent / "other.safetensors")
    other, _, _ = MMVTModel.from_pretrained(how2, how2.parent / "other.safetensors")
    assert not torch.equal(next(other.mmmodel.parameters()), next(trained.mmmodel.parameters()))
    best.unlink()
