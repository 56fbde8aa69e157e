"""Stand-ins for public data sets: small files of exactly the public form, with features to learn.

Each ``write_<data set>(folder)`` writes annotations, a feature store and a tokenizer, and returns
the fields of a ``dataset`` section that lead to them. Features are sums of one direction a word, so
that a model can learn which text belongs to which seconds.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mmvt.config.fields import convert, fields_of
from mmvt.features.shard import StoreWriter
from tests.corpus import DIM, write_tokenizer

THINGS = (
    *("ball", "box", "cone", "ring", "star", "drum", "leaf", "lamp"),
    *("boat", "bell", "fork", "kite", "moon", "nest", "pear", "rope"),
)
ACTIONS = ("cut", "pour", "stir", "bake", "fold", "wash", "peel", "mix")
WORDS = ("a", "the", "add", "no", *ACTIONS, *THINGS)

Fields = dict[str, Any]
T = TypeVar("T")


def built(cls: type[T], fields: Fields, **more: Any) -> T:
    """Return a plugin made of those of the fields that it takes, and of ``more``."""
    given = fields | more
    chosen = {
        f.name: convert(given[f.name], f.annotation) for f in fields_of(cls) if f.name in given
    }
    return cls(**chosen)


class Scene:
    """Writes the features of videos whose steps show words.

    Args:
        folder: where ``features`` and ``tokenizer`` are written.
        fps: feature steps a second.
    """

    def __init__(self, folder: Path, fps: float = 1.0) -> None:
        self.folder, self.fps = folder, fps
        folder.mkdir(parents=True, exist_ok=True)
        write_tokenizer(folder / "tokenizer", WORDS)
        self.rng = np.random.default_rng(0)
        self.directions = {word: self.rng.normal(size=DIM) for word in WORDS}

    def text(self, number: int) -> str:
        """Return a sentence of its own for each number below 2,048."""
        thing, action, other = number % 16, number // 16 % 8, (number // 128 + number) % 16
        return f"{ACTIONS[action]} the {THINGS[thing]} add a {THINGS[other]}"

    def write(self, videos: Mapping[str, Sequence[str]]) -> Fields:
        """Write the store of videos, given as the text of each step; return its fields."""
        encoder = {"name": "standin"}
        with StoreWriter(
            self.folder / "features", dim=DIM, fps=self.fps, encoder=encoder
        ) as writer:
            for video_id, steps in videos.items():
                rows = np.array([self._row(text) for text in steps])
                writer.add(video_id, rows.astype(np.float32))
        store, tokenizer = self.folder / "features", self.folder / "tokenizer"
        return {"store": str(store), "bert_name": str(tokenizer)}

    def _row(self, text: str) -> np.ndarray:
        words = [self.directions[word] for word in text.split()]
        return sum(words, np.zeros(DIM)) + 0.1 * self.rng.normal(size=DIM)


def write_json(path: Path, content: Any) -> str:
    path.write_text(json.dumps(content))
    return str(path)


def write_jsonl(path: Path, rows: Iterable[Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def write_csv(
    path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]], delimiter: str = ","
) -> str:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerows([header, *rows] if header else rows)
    return str(path)


def write_lines(path: Path, lines: Iterable[str]) -> str:
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


def write_msrvtt(folder: Path, train: int = 16, test: int = 8, captions: int = 4) -> Fields:
    """MSR-VTT: ``MSRVTT_train.9k.csv``, ``MSRVTT_JSFUSION_test.csv`` and ``MSRVTT_data.json``.

    Beside these, ``MSR_MC_test.csv`` of the multiple choice task is at ``choice_path``, which no
    processor takes under this name: give it as ``test_path``.
    """
    scene = Scene(folder)
    names = [f"video{number}" for number in range(train + test)]
    says = {name: scene.text(number) for number, name in enumerate(names)}
    sentences = [
        {"caption": f"{'the ' * k}{says[name]}", "video_id": name, "sen_id": number * captions + k}
        for number, name in enumerate(names)
        for k in range(captions)
    ]
    videos = [
        {
            "category": 0,
            "url": f"https://www.youtube.com/watch?v={name}",
            "video_id": name,
            "start time": 1.5,
            "end time": 9.5,
            "split": "train" if number < train else "test" if number % 2 else "validate",
            "id": number,
        }
        for number, name in enumerate(names)
    ]
    info = {"contributor": "x", "data_created": "x", "version": "1.0", "description": "x"}
    tests = names[train:]
    ret = [
        [f"ret{n}", f"msr{name.removeprefix('video')}", name, says[name]]
        for n, name in enumerate(tests)
    ]
    choices = [
        [
            f"msr{name.removeprefix('video')}",
            *(says[tests[(n + k - n % 5) % test]] for k in range(5)),
            n % 5,
        ]
        for n, name in enumerate(tests)
    ]
    answers = [f"a{k}" for k in range(1, 6)]
    ret_path = write_csv(
        folder / "MSRVTT_JSFUSION_test.csv", ["key", "vid_key", "video_id", "sentence"], ret
    )
    return {
        **scene.write({name: [text] * 8 for name, text in says.items()}),
        "train_path": write_csv(
            folder / "MSRVTT_train.9k.csv", ["video_id"], [[name] for name in names[:train]]
        ),
        "val_path": ret_path,
        "test_path": ret_path,
        "json_path": write_json(
            folder / "MSRVTT_data.json", {"info": info, "videos": videos, "sentences": sentences}
        ),
        "choice_path": write_csv(
            folder / "MSR_MC_test.csv", ["vid_key", *answers, "answer"], choices, delimiter="\t"
        ),
    }


def write_youcook2(folder: Path, train: int = 6, val: int = 3, clips: int = 4) -> Fields:
    """YouCook2: ``youcookii_annotations_trainval.json``, and MIL-NCE's csv at ``val_path``.

    Features are of whole videos; the id of every third begins with a dash, as one in 64 of
    YouTube's do. The lists of the captioning task are at ``train_list`` and ``val_list``, which no
    processor takes under these names: give them as ``train_path`` and ``val_path``.
    """
    scene, database, rows, videos = Scene(folder), {}, [], {}
    names = [f"{'-' if n % 3 == 0 else 'x'}yc_{n:02d}_{n}abc" for n in range(train + val)]
    for number, name in enumerate(names):
        texts = [scene.text(number * clips + k) for k in range(clips)]
        segments = [[2 + 7 * k, 2 + 7 * k + 5] for k in range(clips)]
        seconds = ["no"] * (7 * clips + 3)
        for text, (start, end) in zip(texts, segments, strict=True):
            seconds[start:end] = [text] * (end - start)
            if number >= train:
                rows.append([end, start, 100 + number, text, name])
        videos[name] = seconds
        database[name] = {
            "duration": len(seconds) + 0.5,
            "subset": "training" if number < train else "validation",
            "recipe_type": str(100 + number),
            "annotations": [
                {"segment": segment, "id": k, "sentence": text}
                for k, (segment, text) in enumerate(zip(segments, texts, strict=True))
            ],
            "video_url": f"https://www.youtube.com/watch?v={name}",
        }
    csv_path = write_csv(
        folder / "validation_youcook.csv", ["end", "start", "task", "text", "video_id"], rows
    )
    lists = {"train": names[:train], "val": names[train:]}
    listed = {
        f"{split}_list": write_lines(folder / f"{split}_list.txt", [f"101/{name}" for name in ids])
        for split, ids in lists.items()
    }
    return {
        **scene.write({f"./{n}" if n.startswith("-") else n: shown for n, shown in videos.items()}),
        **listed,
        "val_path": csv_path,
        "test_path": csv_path,
        "trainval_annotation": write_json(
            folder / "youcookii_annotations_trainval.json", {"database": database}
        ),
    }


def write_didemo(folder: Path, train: int = 8, val: int = 4) -> Fields:
    """DiDeMo: ``train_data.json``, ``val_data.json`` and ``test_data.json``; videos of 30 s."""
    scene, files, videos = Scene(folder), {}, {}
    number = 0
    for split, count in {"train": train, "val": val, "test": val}.items():
        records: list[dict[str, Any]] = []
        for place in range(count):
            name = f"{split}@N0{place}_6060447507_dc1a90b8ef.mov"
            chunks = [scene.text(number + k) for k in range(6)]
            videos[name] = [text for text in chunks for _ in range(5)]
            number += 6
            for first, last in ((0, 0), (2, 3)):
                records.append(
                    {
                        "num_segments": 6,
                        "description": f"{chunks[first]} the {chunks[last]}",
                        "dl_link": "https://www.flickr.com/video_download.gne?id=6060447507",
                        "times": [[first, last]] * 3 + [[first, 5]],
                        "video": name,
                        "annotation_id": 40_000 + len(videos) * 10 + first,
                    }
                )
        files[f"{split}_path"] = write_json(folder / f"{split}_data.json", records)
    return {**scene.write(videos), **files}


def write_crosstask(folder: Path, videos: int = 6, n_train: int = 3) -> Fields:
    """CrossTask: two primary tasks and a related one; features are of 40 to 45 seconds."""
    scene, annotations, seconds = Scene(folder), folder / "annotations", {}
    annotations.mkdir(exist_ok=True)
    steps = {
        "23521": ["cut ball", "pour box", "stir cone"],
        "59684": ["bake star", "fold drum"],
        "94276": ["wash leaf", "peel lamp", "mix boat", "cut bell"],
    }
    listed: dict[str, list[str]] = {"videos": [], "videos_val": []}
    for task, texts in steps.items():
        for number in range(videos):
            name = f"v{task}_{number}"
            listed["videos_val" if number == 0 else "videos"].append(
                f"{task},{name},https://www.youtube.com/watch?v={name}"
            )
            shown, rows = ["no"] * (40 + number), []
            for k, text in enumerate(texts):
                start, end = 3 + 9 * k + 0.5, 3 + 9 * k + 4.25
                shown[int(start) : int(end) + 1] = [text] * 5
                rows.append([k + 1, start, end])
            seconds[name] = shown
            write_csv(annotations / f"{task}_{name}.csv", [], rows)
    files = {}
    for kind, tasks in {"primary": ["23521", "59684"], "related": ["94276"]}.items():
        lines = [
            line
            for task in tasks
            for line in (
                *(task, f"Make {task}", f"https://www.wikihow.com/{task}"),
                *(str(len(steps[task])), ",".join(steps[task]), ""),
            )
        ]
        files[f"{kind}_path"] = write_lines(folder / f"tasks_{kind}.txt", lines)
    return {
        **scene.write(seconds),
        **files,
        "train_csv_path": write_lines(
            folder / "videos.csv", [*listed["videos"], *listed["videos_val"]]
        ),
        "val_csv_path": write_lines(folder / "videos_val.csv", listed["videos_val"]),
        "annotation_path": str(annotations),
        "n_train": n_train,
    }


def write_coin(folder: Path, train: int = 6, test: int = 3) -> Fields:
    """COIN: ``COIN.json`` with 4 steps, so 5 classes with "O"; videos of 30 to 50 seconds."""
    scene, database, videos = Scene(folder), {}, {}
    labels = ["cut the ball", "pour the box", "stir the cone", "bake the star"]
    for number in range(train + test):
        name, shown, annotation = f"coin_{number:02d}-x", ["no"] * (30 + 2 * number), []
        for k in range(3):
            label, start = (number + k) % len(labels), 2.5 + 9 * k
            shown[int(start) : int(start) + 6] = [labels[label]] * 6
            annotation.append(
                {"id": str(label + 1), "segment": [start, start + 5.25], "label": labels[label]}
            )
        videos[name] = shown
        database[name] = {
            "recipe_type": 13,
            "video_url": f"https://www.youtube.com/embed/{name}",
            "subset": "training" if number < train else "testing",
            "duration": float(len(shown)),
            "start": 2.5,
            "end": 26.0,
            "class": "MakeThings",
            "annotation": annotation,
        }
    path = write_json(folder / "COIN.json", {"database": database})
    return {**scene.write(videos), "train_path": path, "val_path": path, "test_path": path}


def write_msvd(folder: Path, train: int = 8, val: int = 3, captions: int = 5) -> Fields:
    """MSVD: captions of every clip in one JSON, and three lists of ids."""
    scene, records, files = Scene(folder), [], {}
    names = [f"mv89psg6zh{n:02d}_{n}_{n + 9}.avi" for n in range(train + 2 * val)]
    says = {name: scene.text(number) for number, name in enumerate(names)}
    for name, text in says.items():
        records.append({"caption": [f"{'a ' * k}{text}" for k in range(captions)], "id": name})
    parts = {"train": names[:train], "val": names[train:-val], "test": names[-val:]}
    for split, ids in parts.items():
        files[f"{split}_path"] = write_lines(folder / f"{split}_list.txt", ids)
    return {
        **scene.write({name: [text] * 9 for name, text in says.items()}),
        **files,
        "annotations": write_json(folder / "captions.json", records),
    }


def write_activitynet(folder: Path, train: int = 8, val: int = 4) -> Fields:
    """ActivityNet Captions: ``train.json``, and ``val_1.json``, ``val_2.json`` of equal videos."""
    scene, files, videos = Scene(folder), {}, {}
    ids = {"train": range(train), "val_1": range(train, train + val)}
    ids["val_2"] = ids["val_1"]
    for split, numbers in ids.items():
        content = {}
        for number in numbers:
            name, texts = f"v_{number:011d}", [scene.text(3 * number + k) for k in range(3)]
            content[name] = {
                "duration": 30.04,
                "timestamps": [[10 * k + 0.28, 10 * k + 9.5] for k in range(3)],
                "sentences": [f" {text}" for text in texts],
            }
            videos[name] = [text for text in texts for _ in range(10)]
        files[split] = write_json(folder / f"{split}.json", content)
    paths = {"train_path": files["train"], "val_path": files["val_1"], "test_path": files["val_2"]}
    return {**scene.write(videos), **paths}


def write_qvhighlights(folder: Path, train: int = 8, val: int = 4) -> Fields:
    """QVHighlights: ``highlight_{train,val,test}_release.jsonl``; the test has no labels."""
    scene, files, videos, number = Scene(folder, fps=0.5), {}, {}, 0
    for split, count in {"train": train, "val": val, "test": val}.items():
        rows = []
        for _ in range(count):
            name, text = f"NUsG9BgSe{number:02d}_210.0_360.0", scene.text(number)
            first = 5 + number % 20
            shown = ["no"] * 75
            shown[first : first + 4] = [text] * 4
            videos[name] = shown
            row = {"qid": 2579 + number, "query": text, "duration": 150, "vid": name}
            if split != "test":
                row["relevant_clip_ids"] = list(range(first, first + 4))
                row["saliency_scores"] = [[4, 3, 2]] * 4
                row["relevant_windows"] = [[2 * first, 2 * (first + 4)]]
            rows.append(row)
            number += 1
        files[f"{split}_path"] = write_jsonl(folder / f"highlight_{split}_release.jsonl", rows)
    return {**scene.write(videos), **files}


def write_hmdb51(folder: Path, videos: int = 12) -> Fields:
    """HMDB51: ``hmdb51.csv`` with three splits, of four classes."""
    scene, labels = Scene(folder), ["cut", "pour", "stir", "bake"]
    rows, shown = [], {}
    for number in range(videos):
        label = labels[number % len(labels)]
        name = f"{label}_clip_u_nm_np1_ba_goo_{number}.avi"
        turn = number // len(labels)
        splits = [2 if turn % 3 == fold else 1 for fold in range(3)]
        rows.append([name, f"{label}_test", *splits])
        shown[name] = [f"{label} the {THINGS[number]}"] * 5
    header = ["video_id", "label", "split1", "split2", "split3"]
    return {**scene.write(shown), "annotations": write_csv(folder / "hmdb51.csv", header, rows)}
