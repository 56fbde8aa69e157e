"""Models of the original code, built again of our parts, as a recorded case says."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import torch
from torch import Tensor

from mmvt.losses.base import Loss
from mmvt.losses.classification import BinaryCrossEntropy, CrossEntropy
from mmvt.losses.contrastive import SymmetricNCE, TextToVideoNCE, VideoToTextNCE
from mmvt.models.base import Head, Trunk
from mmvt.models.bert import SeparateTrunk
from mmvt.models.convert_mmpt import load_mmpt
from mmvt.models.encoders import VideoTokenMLP
from mmvt.models.heads.contrastive import ContrastiveHead
from mmvt.models.heads.localization import StepLocalizationHead
from mmvt.models.heads.segmentation import SegmentationHead
from mmvt.models.joint import JointTrunk, SharedTrunk
from mmvt.models.model import MultimodalModel
from tests.golden.conftest import Golden

CLOSE = {"rtol": 1e-4, "atol": 1e-5}
PARTS: dict[str, tuple[type[Trunk], type[Head]]] = {
    "MMFusionSeparate": (SeparateTrunk, ContrastiveHead),
    "MMFusionSeparateActionSegmentation": (SeparateTrunk, SegmentationHead),
    "MMFusionSeparateActionLocalization": (SeparateTrunk, StepLocalizationHead),
    "MMFusionShare": (SharedTrunk, ContrastiveHead),
    "MMFusionShareActionLocalization": (SharedTrunk, StepLocalizationHead),
    "MMFusionJoint": (JointTrunk, ContrastiveHead),
    "MMFusionMTM": (JointTrunk, ContrastiveHead),  # in evaluation, where nothing is masked
    "MMFusionMFMMLM": (JointTrunk, ContrastiveHead),
    "MMFusionActionSegmentation": (JointTrunk, SegmentationHead),
    "MMFusionActionLocalization": (JointTrunk, StepLocalizationHead),
}
LOSSES: dict[str, Loss] = {
    "MMContraLoss": SymmetricNCE(),
    "T2VContraLoss": TextToVideoNCE(),
    "V2TContraLoss": VideoToTextNCE(),
    "BCE": BinaryCrossEntropy(),
    "CrossEntropy": CrossEntropy(),
}
SETTINGS = {
    "dataset": {"bert_name", "max_video_len", "max_len", "train_path", "num_iso_layer"},
    "model": {
        "model_cls",
        "mm_encoder_cls",
        "video_encoder_cls",
        "text_encoder_cls",
        "num_hidden_video_layers",
        "use_seg_emb",
    },
}


def build(golden: Golden, case: dict[str, Any], state: dict[str, Tensor]) -> MultimodalModel:
    """Return the model of a case with its weights, in evaluation mode."""
    for section, known in SETTINGS.items():
        assert case["config"][section].keys() <= known
    data, options = case["config"]["dataset"], case["config"]["model"]
    trunk_class, head_class = PARTS[case["model_cls"]]
    chosen: dict[str, Any] = {}
    if trunk_class is SeparateTrunk:
        chosen = {"num_hidden_video_layers": options["num_hidden_video_layers"]}
    elif trunk_class is JointTrunk:
        chosen = {
            "num_iso_layer": data.get("num_iso_layer"),
            "use_seg_emb": options.get("use_seg_emb", False),
        }
    trunk = trunk_class(
        bert_name=golden.bert, max_video_len=data["max_video_len"], pretrained=False, **chosen
    )
    width = trunk.hidden_size
    encoder = VideoTokenMLP(hidden_size=width, input_dim=golden.geometry["input_dim"])
    if head_class is SegmentationHead:
        (classes,) = (len(v) for k, v in state.items() if k.endswith("classifier.bias"))
        head: Head = SegmentationHead(hidden_size=width, num_classes=classes)
    else:
        head = head_class()
    model = MultimodalModel({"video": encoder}, trunk, head)
    # models of masked modelling bring the head of their training to the evaluation
    load_mmpt(model, state, allow_unexpected=["head.transform.*", "head.bias"])
    return model.eval()


def inputs_of(case: dict[str, Any], io: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the batch of a case; windows are its first dimension."""
    batch = {k.removeprefix("in."): v for k, v in io.items() if k.startswith("in.")}
    if batch["vfeats"].ndim == 4:
        batch = {key: value.squeeze(0) for key, value in batch.items()}
    if case["model_cls"].endswith("ActionLocalization"):
        (cls, sep), pad = batch["caps"][0, :2].tolist(), 0
        windows = len(batch["vfeats"])
        batch["window_caps"] = torch.tensor([[cls, sep, pad, sep]] * windows)
        batch["window_cmasks"] = torch.tensor([[False, True, False, True]] * windows)
    return batch


def case_of(recorded: dict[str, Any], key: str) -> str:
    """Return the case that a path in a ``case.json`` leads to, such as ``../share/x``."""
    return PurePosixPath(recorded[key]).parent.name
