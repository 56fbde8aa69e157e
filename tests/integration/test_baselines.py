"""The projects and templates as they are, from pre-training to figures, on stand-in data.

Only where data lies and how large things are is replaced: ``projects/data`` and ``default.yaml``.
Everything runs through the commands, in this process, which fairseq takes seconds to be imported
into; a training is two updates.
"""

from __future__ import annotations

import json
import math
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmvt.config.merge import Layer, merge, to_yaml
from mmvt.config.project import load_project
from mmvt.config.recipe import Recipe
from mmvt.config.yaml_file import read_yaml
from mmvt.datasets.store import FeatureStore
from mmvt.evaluators.evaluator import save_dir
from mmvt_cli.check import all_projects
from mmvt_cli.predict import main as predict
from mmvt_cli.train import main as train
from tests import standins
from tests.asking import write_open_questions, write_own, write_questions
from tests.corpus import DIM
from tests.launching import ROOT, forget_run
from tests.original_yaml import write_original
from tests.thin_bert import write_bert

pytestmark = pytest.mark.timeout(900)

VIDEOCLIP, VLM = Path("projects/retri/videoclip"), Path("projects/mtm/vlm")
OURS = Path("projects/task")
QUICK = [(VLM, name) for name in ("vtt", "crosstask", "coin", "youcookcap")]  # one a head
TRAINED = [
    *[(VLM, name) for name in ("vttqa", "youcook")],
    *[(VIDEOCLIP, f"{name}_videoclip") for name in ("vtt", "vttqa", "youcook")],
    *[(VIDEOCLIP, f"{name}_videoclip") for name in ("crosstask", "coin")],
    *[(OURS, f"vtt_{name}_videoclip") for name in ("7k", "9k", "full")],
    *[(OURS, f"{name}_videoclip") for name in ("msvd", "activitynet", "didemo")],
    *[(OURS, f"{name}_videoclip") for name in ("qvhighlights", "hmdb51")],
]
ZERO_SHOT = [
    (VLM, "test_crosstask_zs"),
    (VIDEOCLIP, "test_crosstask_zs_videoclip"),
    *[(VIDEOCLIP, f"test_{name}_zs") for name in ("vtt", "vttqa", "youcook", "coin", "didemo")],
    *[(OURS, f"test_{name}_zs") for name in ("msvd", "activitynet", "didemo_paragraph")],
    *[(OURS, f"test_{name}_zs") for name in ("qvhighlights", "hmdb51")],
]
TINY = {
    "dataset": {"max_video_len": 32, "max_len": 56},
    "encoders": {"video": {"name": "VideoTokenMLP", "input_dim": DIM}},
    "fairseq": {
        "common": {"fp16": False, "cpu": True, "log_interval": 1, "log_format": "json"},
        "dataset": {"num_workers": 0},
        "optimization": {"max_update": 2},
    },
}
SMALLER = [  # the same for a YAML of the original
    *("dataset.max_len=56", f"encoders.video={{name: VideoTokenMLP, input_dim: {DIM}}}"),
    *("fairseq.common.fp16=false", "fairseq.common.cpu=true", "fairseq.dataset.num_workers=0"),
    "fairseq.optimization.max_update=2",
]
QUESTIONS = {"nextqa": 3, "activitynet_qa": 3, "tvqa": 3, "msrvtt_qa": 4, "msvd_qa": 4}
CAPTIONS = {  # clips for testing, and the references of each
    "msrvtt_captions": (4, 4),
    "msvd_captions": (3, 5),
    "youcook2_captions": (12, 1),
    "youcook2_captions_speech": (12, 1),
    "own_captions": (2, 2),
}
ELSEWHERE = {"imported"}  # test_imported_training.py
SMALL_T5 = [
    "trunk.model_config={d_model: 16, d_kv: 8, d_ff: 32, num_layers: 1, num_heads: 2}",
    f"encoders.video.input_dim={DIM}",
    "dataset.max_prompt_len=64",
]
TEXT_EXPERTS = (("speech", "transcripts"), ("ocr", "ocr.jsonl"))
VIDEOS, CLIPS = 64, 6  # of HowTo100M; as many videos as a group of the papers takes, twice
FEWER = "dataset.subsampling=4"  # samples of a video than in the papers


def replace(path: Path, *over: dict[str, Any]) -> None:
    """Lay mappings over the content of a YAML."""
    layer = Layer(read_yaml(path).data)
    for data in over:
        layer = merge(layer, Layer(data))
    path.write_text(to_yaml(layer.data))


def write_how2(folder: Path) -> dict[str, Any]:
    """Write shards as the original toolkit does; return the fields that lead to them."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    lists = {"train": [f"v{n}" for n in range(VIDEOS)], "val": [f"w{n}" for n in range(8)]}
    for split, ids in lists.items():
        (folder / f"{split}_meta.pkl").write_bytes(pickle.dumps({0: ids}))
        (folder / f"{split}.lst").write_text("\n".join(ids))
        steps, clips = np.arange(len(ids) + 1) * 30, np.arange(len(ids) + 1) * CLIPS
        starts = np.tile(np.arange(CLIPS) * 5.0, len(ids))
        arrays = {
            f"{split}_0": (rng.normal(size=(steps[-1], DIM)).astype(np.float16), steps),
            f"caps.{split}_0.startends": (np.stack([starts, starts + 4], 1).astype("f4"), clips),
            f"caps.{split}_0.caps_ids": (rng.integers(5, 25, (clips[-1], 4)).astype("i4"), clips),
        }
        for name, (data, offsets) in arrays.items():
            np.save(folder / f"{name}_data.npy", data)
            np.save(folder / f"{name}_starts.npy", offsets)
    paths = {"train_path": str(folder / "train.lst"), "val_path": str(folder / "val.lst")}
    return {**paths, "vfeat_dir": str(folder), "tfeat_dir": f"{folder}/caps."}


def write_data(folder: Path) -> dict[str, dict[str, Any]]:
    """Write every data set; return the fields of each file of ``projects/data``."""
    msrvtt = standins.write_msrvtt(folder / "msrvtt")
    youcook = standins.write_youcook2(folder / "youcook2")
    choice = {"store": msrvtt["store"], "test_path": msrvtt.pop("choice_path")}
    lists = {"train_path": youcook.pop("train_list"), "val_path": youcook.pop("val_list")}
    annotation = {key: youcook[key] for key in ("store", "trainval_annotation")}
    highlights = standins.write_qvhighlights(folder / "qvhighlights")
    del highlights["test_path"]  # without labels
    return {
        "how2": write_how2(folder / "how2"),
        "msrvtt": msrvtt,
        "msrvtt_choice": choice,
        "youcook2": {"train_path": None, **youcook},
        "youcook2_captions": {**lists, **annotation},
        "crosstask": standins.write_crosstask(folder / "crosstask"),
        "coin": standins.write_coin(folder / "coin"),
        "didemo": standins.write_didemo(folder / "didemo"),
        "msvd": standins.write_msvd(folder / "msvd"),
        "activitynet": standins.write_activitynet(folder / "activitynet"),
        "qvhighlights": highlights,
        "hmdb51": standins.write_hmdb51(folder / "hmdb51"),
        **write_questions(folder / "questions"),
        **write_open_questions(folder / "open_questions"),
        "own": write_own(folder / "own"),
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the projects that come with mmvt, over stand-in data."""
    folder = tmp_path_factory.mktemp("baselines")
    shutil.copytree(ROOT / "projects", folder / "projects", ignore=shutil.ignore_patterns(".git*"))
    fields = write_data(folder)
    shipped = {path.stem for path in (folder / "projects/data").glob("*.yaml")}
    assert shipped == set(fields)
    for name, section in fields.items():
        path = folder / "projects" / "data" / f"{name}.yaml"
        section.pop("bert_name", None)
        if "suffix" in path.read_text():
            section["video_processor"] = {"suffix": ""}
        replace(path, {"dataset": section})
    for size, read in (("7k", 3), ("9k", 5)):
        lines = Path(fields["msrvtt"]["train_path"]).read_text().splitlines()[: 1 + read]
        short = standins.write_lines(folder / f"{size}.csv", lines)
        task = folder / "projects/task" / f"vtt_{size}_videoclip.yaml"
        replace(task, {"dataset": {"train_path": short}})
    bert = str(write_bert(folder / "bert"))
    replace(folder / "projects/task/default.yaml", TINY, {"dataset": {"bert_name": bert}})
    return folder


@pytest.fixture(autouse=True)
def _there(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(place)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def pretrained() -> Callable[[Path], None]:
    """Return a function that expands the project of a family and pre-trains it, once."""
    done: dict[Path, None] = {}

    def pretrain(family: Path) -> None:
        if family == OURS:
            pretrain(VIDEOCLIP)
            shutil.copytree("runs/retri/videoclip", "runs/task", dirs_exist_ok=True)
        elif family not in done:
            for task in load_project(Path(f"{family}.yaml")).tasks.values():
                task.write()
            run(family / "how2.yaml", FEWER)
            done[family] = None

    return pretrain


def run(task: Path, *words: str) -> None:
    """Train a task; a best checkpoint must be there afterwards."""
    try:
        assert train([str(task), *words]) == 0
    finally:
        forget_run()
    assert (save_dir(Recipe.load(task, words)) / "checkpoint_best.pt").is_file()


def evaluate(task: Path, *words: str, checkpoint: str | None = None) -> None:
    """Evaluate a task, with the checkpoint that it names; all figures must be finite."""
    options = [] if checkpoint is None else ["--checkpoint", checkpoint]
    assert predict([str(task), *words, *options]) == 0
    results = save_dir(Recipe.load(task)) / (f"eval{'_initial' if checkpoint else ''}/results.json")
    figures = json.loads(results.read_text())
    used = figures.pop("protocol")["checkpoint"]
    assert (used == "none: initial weights") == (checkpoint == "none")
    found = list(numbers(figures))
    assert found
    assert all(map(math.isfinite, found))


def numbers(value: Any) -> Iterator[float]:
    """Yield every number in nested containers."""
    if isinstance(value, dict | list):
        for child in value.values() if isinstance(value, dict) else value:
            yield from numbers(child)
    elif type(value) in (int, float):
        yield value


def train_and_evaluate(family: Path, name: str) -> None:
    run(family / f"{name}.yaml")
    evaluate(family / f"test_{name}.yaml")


@pytest.mark.parametrize(("family", "name"), QUICK, ids=str)
def test_every_head_is_fine_tuned_and_evaluated(
    family: Path, name: str, pretrained: Callable[[Path], None]
):
    pretrained(family)
    train_and_evaluate(family, name)


def test_frames_and_words_are_told_apart_by_heads_of_their_own(
    pretrained: Callable[[Path], None],
):
    pretrained(VLM)
    run(VLM / "how2.yaml", FEWER, "head=MFMMLMHead", "fairseq.checkpoint.save_dir=runs/mfmmlm")


@pytest.fixture(scope="module")
def theirs(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with projects of the original, over one file of features a video."""
    for name in ("msrvtt", "youcook2", "crosstask", "coin", "didemo"):
        store = FeatureStore.open(place / name / "features")
        (place / name / "npy").mkdir()
        for video in store.ids:
            np.save(place / name / "npy" / f"{Path(video).name}.npy", store[video])
    clips = json.loads((place / "youcook2/youcookii_annotations_trainval.json").read_text())
    pickled = [
        {"id": f"{video}_{clip['id']}", "caption": clip["sentence"]}
        for video, own in clips["database"].items()
        for clip in own["annotations"]
        if own["subset"] == "training"
    ]
    (place / "youcook2" / "train.pkl").write_bytes(pickle.dumps(pickled))
    folder = tmp_path_factory.mktemp("theirs")
    write_original(folder, data=str(place), bert=str(place / "bert"))
    return folder


def test_a_project_of_the_original_trains_as_it_is(theirs: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(theirs)
    tasks = load_project(Path("projects/videoclip.yaml")).tasks
    for name in ("how2.yaml", "vtt.yaml"):
        tasks[name].write()
        run(tasks[name].path, *SMALLER, *([FEWER] if name == "how2.yaml" else []))


@pytest.mark.parametrize("name", ["videoclip", "vlm"])
def test_every_test_of_the_original_is_run_as_it_is(
    name: str, theirs: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(theirs)
    for task in load_project(Path(f"projects/{name}.yaml")).tasks.values():
        if task.name.startswith("test_"):
            task.write()
            fewer = ["dataset.n_train=3"] if "crosstask" in task.name else []
            evaluate(task.path, *SMALLER, *fewer, checkpoint="none")


@pytest.mark.slow
@pytest.mark.parametrize(("family", "name"), TRAINED, ids=str)
def test_every_task_is_fine_tuned_and_evaluated(
    family: Path, name: str, pretrained: Callable[[Path], None]
):
    pretrained(family)
    train_and_evaluate(family, name)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "name"), ZERO_SHOT, ids=str)
def test_every_task_is_evaluated_zero_shot(
    family: Path, name: str, pretrained: Callable[[Path], None]
):
    pretrained(family)
    evaluate(family / f"{name}.yaml")


@pytest.mark.parametrize("name", QUESTIONS)
def test_questions_are_learned_and_asked_with_and_without_the_video(name: str):
    task = Path("projects/vpt", f"{name}.yaml")
    run(task, *SMALL_T5)
    evaluate(task, *SMALL_T5)
    results = json.loads(Path("runs/vpt", name, "eval/results.json").read_text())
    assert results["questions"] == QUESTIONS[name]
    assert {"question_only", "answer_only"} <= results.keys()


@pytest.mark.parametrize("name", CAPTIONS)
def test_captions_are_learned_and_compared_with_all_references(name: str):
    task = Path("projects/vpt", f"{name}.yaml")
    if name.endswith("_speech"):
        said = Path("data/youcook/transcripts")
        said.mkdir(parents=True)
        (said / "xyc_01_1abc.srt").write_text("1\n00:00:01,000 --> 00:00:05,000\ncut it\n")
    run(task, *SMALL_T5)
    evaluate(task, *SMALL_T5)
    protocol = json.loads(Path("runs/vpt", name, "eval/results.json").read_text())["protocol"]
    clips, references = CAPTIONS[name]
    assert (protocol["clips"], protocol["references"]) == (clips, clips * references)
    assert protocol["reference_source"] == "texts"


def test_dense_captions_are_learned_and_scored():
    task = Path("projects/vpt/activitynet_dense.yaml")
    run(task, *SMALL_T5)
    evaluate(task, *SMALL_T5)
    results = json.loads(Path("runs/vpt/activitynet_dense/eval/results.json").read_text())
    assert results["protocol"]["videos"] == 4
    assert {"SODA_c", "by_iou"} <= results.keys()


def test_captions_are_learned_from_further_experts(place: Path):
    task, store = Path("projects/vpt/experts.yaml"), place / "own" / "features"
    (place / "own/transcripts").mkdir()
    for name in FeatureStore.open(store).ids:
        said = "1\n00:00:01,000 --> 00:00:05,000\nwell\n"
        (place / "own/transcripts" / f"{name}.srt").write_text(said)
    lines = [{"video_id": name, "tags": ["dog"]} for name in FeatureStore.open(store).ids[1:]]
    standins.write_jsonl(place / "own/ocr.jsonl", lines)
    experts = [f"encoders.video.experts.{name}.input_dim={DIM}" for name in ("video", "audio")]
    paths = [f"dataset.text_experts.{name}.path={place}/own/{file}" for name, file in TEXT_EXPERTS]
    words = [*experts, *paths, f"dataset.video_processor.experts.audio={store}"]
    small = [SMALL_T5[0], "dataset.max_prompt_len=64"]
    run(task, *small, *words, "dataset.missing_experts=true")
    evaluate(task, *small, *words, "dataset.missing_experts=true")
    results = json.loads(Path("runs/vpt/experts/eval/results.json").read_text())
    assert results["protocol"]["clips"] == 2


def test_every_task_that_comes_with_mmvt_is_run_here():
    asked = {path.stem for path in all_projects() if path.parent == Path("projects/vpt")}
    assert asked == {*QUESTIONS, *CAPTIONS, "activitynet_dense", "experts", *ELSEWHERE}
    tasks = {path.stem for path in all_projects() if path.parent == OURS}
    trained = [name for _, name in (*QUICK, *TRAINED)]
    pairs = {*trained, *(f"test_{name}" for name in trained), *(name for _, name in ZERO_SHOT)}
    assert tasks == {*pairs, "how2", "videoclip"}
