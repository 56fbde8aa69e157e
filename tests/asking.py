"""Questions about coloured shapes: files of public forms, features to answer from, small models."""

from __future__ import annotations

import csv
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmvt.datasets.multimodal import MultimodalDataset, collate
from mmvt.losses.language import LanguageCrossEntropy
from mmvt.models.causal_lm import CausalLMTrunk
from mmvt.models.encoders import VideoTokenMLP
from mmvt.models.heads.language import LanguageHead
from mmvt.models.model import MultimodalModel
from mmvt.models.t5 import T5Trunk
from mmvt.models.writing import WritingTrunk
from mmvt.processors.aligners.question import QuestionAligner
from mmvt.processors.base import Aligner, MetaProcessor, TextProcessor, VideoProcessor
from mmvt.processors.prompts import PromptLayout
from tests.corpus import COLOURS, SHAPES, write_tokenizer
from tests.standins import Scene, write_csv, write_json, write_jsonl

WORDS = ("what", "color", "shape", "is", "it", "yes", "no", "'", "?", "and", *COLOURS, *SHAPES)
VOCABULARY, DIM, WIDTH = 5 + len(WORDS), 8, 32
VIDEOS = [f"v{number}" for number in range(16)]
T5 = {
    "d_model": WIDTH,
    "d_kv": 16,
    "d_ff": 64,
    "num_layers": 1,
    "num_heads": 2,
    "vocab_size": VOCABULARY,
    "dropout_rate": 0.0,
}
LLAMA = {
    "hidden_size": WIDTH,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 64,
    "bos_token_id": 2,
    "initializer_range": 0.2,
}
KINDS = ["t5", "llama"]


class ShownThings(VideoProcessor):
    """Video vN shows colour N mod 4 and shape N div 4, in its own step each; others are absent."""

    def __contains__(self, video_id: str) -> bool:
        return video_id in VIDEOS

    def __call__(self, video_id: str) -> np.ndarray:
        number = int(video_id[1:])
        features = np.zeros((2, DIM), np.float32)
        features[0, number % 4] = features[1, 4 + number // 4] = 2
        return features


def answers_of(video: str) -> tuple[str, str]:
    number = int(video[1:])
    return COLOURS[number % 4], SHAPES[number // 4]


def write_open(path: Path, videos: list[str] = VIDEOS) -> Path:
    """Write two open questions a video."""
    rows = []
    for video in videos:
        for what, answer in zip(("color", "shape"), answers_of(video), strict=True):
            rows.append({"video_id": video, "question": f"what {what} ?", "answer": answer})
    path.write_text(json.dumps(rows))
    return path


def write_choices(path: Path, videos: list[str] = VIDEOS) -> Path:
    """Write two questions of five answers a video, in the form of NExT-QA."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["video", "question", "answer", "qid", "type", *(f"a{n}" for n in range(5))])
        for video in videos:
            colour, shape = answers_of(video)
            for qid, (what, right, of) in enumerate(
                (("color", colour, COLOURS), ("shape", shape, SHAPES))
            ):
                options = [*of, "red and blue"]
                kind = "DO" if qid else "CW"
                place = options.index(right)
                table.writerow([video, f"what {what} ?", place, qid, kind, *options])
    return path


def words_in(folder: Path) -> str:
    return str(write_tokenizer(folder / "tokenizer", WORDS))


def layout_of(bert_name: str, **fields: Any) -> PromptLayout:
    lengths = {"max_video_len": 2, "max_text_len": 5, "max_prompt_len": 12}
    return PromptLayout(bert_name=bert_name, **(lengths | fields))


def dataset_of(
    meta: MetaProcessor, texts: TextProcessor, bert_name: str, aligner: Aligner | None = None
) -> MultimodalDataset:
    return MultimodalDataset(
        meta_processor=meta,
        video_processor=ShownThings(),
        text_processor=texts,
        aligner=aligner or QuestionAligner(layout=layout_of(bert_name), bert_name=bert_name),
        allow_missing=True,
    )


def model_of(kind: str) -> MultimodalModel:
    torch.manual_seed(0)
    build = {
        "t5": partial(T5Trunk, model_config=T5, pretrained=False),
        "llama": partial(CausalLMTrunk, model_config=LLAMA, pretrained=False),
    }[kind]
    trunk: WritingTrunk = build()
    encoder = VideoTokenMLP(hidden_size=WIDTH, input_dim=DIM)
    head = LanguageHead(hidden_size=WIDTH, transform=False)
    return MultimodalModel({"video": encoder}, trunk, head).eval()


def taught(kind: str, dataset: MultimodalDataset, steps: int = 150) -> MultimodalModel:
    """Return a model of a kind that learned the examples of a dataset by heart."""
    return learned(model_of(kind), dataset, steps)


def learned(model: MultimodalModel, dataset: MultimodalDataset, steps: int) -> MultimodalModel:
    """Return the model, which learned the examples of a dataset by heart."""
    model.train()
    batch = collate([dataset[index] for index in range(len(dataset))])
    tensors = {key: value for key, value in batch.items() if isinstance(value, torch.Tensor)}
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = LanguageCrossEntropy()(model(**tensors)["logits"], tensors["text_label"])
        loss.backward()
        optimizer.step()
    return model.eval()


def write_questions(folder: Path) -> dict[str, dict[str, Any]]:
    """Write NExT-QA, ActivityNet-QA and TVQA over the same videos; return the fields of each."""
    scene = Scene(folder)
    names = {"train": [f"v_{n}" for n in range(6)], "val": [f"v_{n}" for n in range(6, 9)]}
    says = {name: scene.text(n) for n, name in enumerate([*names["train"], *names["val"]])}
    store = scene.write({name: [text] * 9 for name, text in says.items()})["store"]
    (folder / "subtitles").mkdir()
    for name, text in says.items():
        said = f"1\n00:00:01,000 --> 00:00:05,000\n{text}\n"
        (folder / "subtitles" / f"{name}.srt").write_text(said)
    fields: dict[str, dict[str, Any]] = {
        "nextqa": {"store": store},
        "activitynet_qa": {"store": store},
        "tvqa": {"store": store},
    }
    for split, own in names.items():
        answers = {name: [says[name], *(scene.text(20 + n) for n in range(4))] for name in own}
        write_csv(
            folder / f"{split}.csv",
            ["video", "question", "answer", "qid", "type", "a0", "a1", "a2", "a3", "a4"],
            [[name, "what is added", 0, 1, "TN", *answers[name]] for name in own],
        )
        ids = [{"question_id": f"{name}_1"} for name in own]
        asked = [{"video_name": n.removeprefix("v_"), "question": "what is added"} for n in own]
        answered = [{"answer": says[name], "type": 5} for name in own]
        write_json(folder / f"{split}_q.json", [i | q for i, q in zip(ids, asked, strict=True)])
        write_json(folder / f"{split}_a.json", [i | a for i, a in zip(ids, answered, strict=True)])
        show = {"q": "what is added", "show_name": "Friends", "ts": "2.5-4", "answer_idx": 0}
        write_jsonl(
            folder / f"{split}.jsonl",
            [
                {**show, "qid": int(name[2:]), "vid_name": name}
                | {f"a{n}": text for n, text in enumerate(answers[name])}
                for name in own
            ],
        )
        for name, file in (("nextqa", ".csv"), ("activitynet_qa", "_q.json"), ("tvqa", ".jsonl")):
            fields[name][f"{split}_path"] = str(folder / f"{split}{file}")
    fields["activitynet_qa"]["test_path"] = None
    fields["tvqa"]["text_processor"] = {"transcripts": str(folder / "subtitles")}
    return fields


def write_open_questions(folder: Path) -> dict[str, dict[str, Any]]:
    """Write MSR-VTT-QA and MSVD-QA as their releases are; return the fields of each."""
    fields: dict[str, dict[str, Any]] = {}
    for dataset in ("msrvtt_qa", "msvd_qa"):
        scene = Scene(folder / dataset)
        first = 6513 if dataset == "msrvtt_qa" else 1
        numbers = {"train": range(first, first + 6), "val": range(first + 6, first + 8)}
        numbers["test"] = range(first + 8, first + 10)
        every = range(first, first + 10)
        name_of = {number: f"-4wsuPCjDBc_{number}_{number + 9}" for number in every}
        if dataset == "msrvtt_qa":
            name_of = {number: f"video{number}" for number in every}
        says = {number: scene.text(number - first) for number in every}
        shown = {name_of[number]: [says[number]] * 9 for number in every}
        fields[dataset] = {"store": scene.write(shown)["store"]}
        for split, own in numbers.items():
            asked = [
                {"answer": answer, "id": place, "question": question, "video_id": number}
                for place, (number, question, answer) in enumerate(
                    (number, question, says[number].split()[at])
                    for number in own
                    for question, at in (("what is done?", 0), ("who is cut?", 2))
                )
            ]
            path = scene.folder / f"{split}_qa.json"
            fields[dataset][f"{split}_path"] = write_json(path, asked)
    mapping = folder / "msvd_qa" / "youtube_mapping.txt"
    mapping.write_text("".join(f"{name} vid{number}\n" for number, name in name_of.items()))
    fields["msvd_qa"]["names"] = str(mapping)
    return fields


def write_own(folder: Path) -> dict[str, Any]:
    """Write videos and a CSV of their captions; return their fields."""
    scene = Scene(folder)
    says = {f"v{number}": scene.text(number) for number in range(8)}
    store = scene.write({name: [text] * 9 for name, text in says.items()})["store"]
    rows = [
        [
            name,
            f"{the}{text}",
            "train" if int(name[1:]) < 5 else "valid" if name == "v5" else "test",
        ]
        for name, text in says.items()
        for the in ("", "the ")
    ]
    header = ["video", "caption", "split"]
    return {"store": store, "annotations": write_csv(folder / "captions.csv", header, rows)}
