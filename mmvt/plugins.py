"""Where every plugin lives: the one table from a name in a YAML to a class.

A plugin is found in one of three places: the table below, the ``mmvt.<kind>`` entry points of an
installed package, or a file listed under ``plugins:`` in a project YAML, all of whose classes that
extend a kind's base are taken.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import logging
import sys
from abc import ABC
from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from mmvt.errors import PluginError
from mmvt.registry import Registry

logger = logging.getLogger(__name__)

KINDS: dict[str, tuple[str, dict[str, str]]] = {
    "meta_processor": (
        "mmvt.processors.base:MetaProcessor",
        {
            "CaptionMetaProcessor": "mmvt.processors.meta.captions",
            "MSRVTTMetaProcessor": "mmvt.processors.meta.msrvtt",
            "MSRVTTChoiceMetaProcessor": "mmvt.processors.meta.msrvtt",
            "YouCook2MetaProcessor": "mmvt.processors.meta.youcook2",
            "YouCook2CaptionMetaProcessor": "mmvt.processors.meta.youcook2",
            "DiDeMoMetaProcessor": "mmvt.processors.meta.didemo",
            "DiDeMoParagraphMetaProcessor": "mmvt.processors.meta.didemo",
            "CrossTaskMetaProcessor": "mmvt.processors.meta.crosstask",
            "COINMetaProcessor": "mmvt.processors.meta.coin",
            "MSVDMetaProcessor": "mmvt.processors.meta.msvd",
            "ActivityNetCaptionsMetaProcessor": "mmvt.processors.meta.activitynet",
            "QVHighlightsMetaProcessor": "mmvt.processors.meta.qvhighlights",
            "NExTQAMetaProcessor": "mmvt.processors.meta.nextqa",
            "ActivityNetQAMetaProcessor": "mmvt.processors.meta.activitynet_qa",
            "OpenQuestionMetaProcessor": "mmvt.processors.meta.open_questions",
            "TVQAMetaProcessor": "mmvt.processors.meta.tvqa",
            "HMDB51MetaProcessor": "mmvt.processors.meta.hmdb51",
            "How2MetaProcessor": "mmvt.processors.meta.how2",
        },
    ),
    "video_processor": (
        "mmvt.processors.base:VideoProcessor",
        {
            "StoreVideoProcessor": "mmvt.processors.video.store",
            "ExpertsVideoProcessor": "mmvt.processors.video.experts",
            "ClipVideoProcessor": "mmvt.processors.video.clips",
            "NpyVideoProcessor": "mmvt.processors.video.npy",
            "ShardedVideoProcessor": "mmvt.processors.video.shards",
        },
    ),
    "text_processor": (
        "mmvt.processors.base:TextProcessor",
        {
            "CaptionTextProcessor": "mmvt.processors.text.captions",
            "MSRVTTTextProcessor": "mmvt.processors.text.msrvtt",
            "MSRVTTChoiceTextProcessor": "mmvt.processors.text.msrvtt",
            "YouCook2TextProcessor": "mmvt.processors.text.youcook2",
            "YouCook2CaptionTextProcessor": "mmvt.processors.text.youcook2",
            "DiDeMoTextProcessor": "mmvt.processors.text.didemo",
            "CrossTaskTextProcessor": "mmvt.processors.text.crosstask",
            "COINTextProcessor": "mmvt.processors.text.coin",
            "MSVDTextProcessor": "mmvt.processors.text.msvd",
            "ActivityNetCaptionsTextProcessor": "mmvt.processors.text.activitynet",
            "QVHighlightsTextProcessor": "mmvt.processors.text.qvhighlights",
            "NExTQATextProcessor": "mmvt.processors.text.questions",
            "ActivityNetQATextProcessor": "mmvt.processors.text.questions",
            "OpenQuestionTextProcessor": "mmvt.processors.text.questions",
            "TVQATextProcessor": "mmvt.processors.text.questions",
            "HMDB51TextProcessor": "mmvt.processors.text.hmdb51",
            "ShardedTextProcessor": "mmvt.processors.text.shards",
            "StoreTextProcessor": "mmvt.processors.text.shards",
            "JSONTextProcessor": "mmvt.processors.text.json_file",
            "TranscriptTextProcessor": "mmvt.processors.text.transcripts",
        },
    ),
    "sampler": (
        "mmvt.processors.base:Sampler",
        {
            "WholeSampler": "mmvt.processors.sampling",
            "CaptionSampler": "mmvt.processors.sampling",
            "HighlightSampler": "mmvt.processors.sampling",
            "FixedLenSampler": "mmvt.processors.sampling",
            "OverlappedSampler": "mmvt.processors.sampling",
            "VariedLenSampler": "mmvt.processors.sampling",
            "StartClipSampler": "mmvt.processors.sampling",
            "MILNCESampler": "mmvt.processors.sampling",
        },
    ),
    "layout": (
        "mmvt.processors.base:Layout",
        {
            "VideoTextLayout": "mmvt.processors.layout",
            "CaptionLayout": "mmvt.processors.layout",
            "PromptLayout": "mmvt.processors.prompts",
        },
    ),
    "masker": (
        "mmvt.processors.base:Masker",
        {"FrameTokenMasker": "mmvt.processors.masking"},
    ),
    "aligner": (
        "mmvt.processors.base:Aligner",
        {
            "SampledAligner": "mmvt.processors.aligners.sampled",
            "FixedLenAligner": "mmvt.processors.aligners.sampled",
            "OverlappedAligner": "mmvt.processors.aligners.sampled",
            "VariedLenAligner": "mmvt.processors.aligners.sampled",
            "StartClipAligner": "mmvt.processors.aligners.sampled",
            "MFMMLMAligner": "mmvt.processors.aligners.masked",
            "MILNCEAligner": "mmvt.processors.aligners.milnce",
            "PairAligner": "mmvt.processors.aligners.pair",
            "MultipleChoiceAligner": "mmvt.processors.aligners.choice",
            "QuestionAligner": "mmvt.processors.aligners.question",
            "YesNoAligner": "mmvt.processors.aligners.question",
            "SegmentationAligner": "mmvt.processors.aligners.segmentation",
            "StepLocalizationAligner": "mmvt.processors.aligners.localization",
            "MomentAligner": "mmvt.processors.aligners.moment",
            "CaptioningAligner": "mmvt.processors.aligners.captioning",
            "DenseCaptionAligner": "mmvt.processors.aligners.dense",
        },
    ),
    "encoder": (
        "mmvt.models.base:Encoder",
        {
            "VideoTokenMLP": "mmvt.models.encoders",
            "ExpertEncoder": "mmvt.models.experts",
            "ExpertsEncoder": "mmvt.models.experts",
            "ClassNameEncoder": "mmvt.models.bridge",
        },
    ),
    "trunk": (
        "mmvt.models.base:Trunk",
        {
            "SeparateTrunk": "mmvt.models.bert",
            "SharedTrunk": "mmvt.models.joint",
            "JointTrunk": "mmvt.models.joint",
            "T5Trunk": "mmvt.models.t5",
            "CausalLMTrunk": "mmvt.models.causal_lm",
            "SentenceTrunk": "mmvt.models.bridge",
        },
    ),
    "head": (
        "mmvt.models.base:Head",
        {
            "ContrastiveHead": "mmvt.models.heads.contrastive",
            "MFMMLMHead": "mmvt.models.heads.masked",
            "MTMHead": "mmvt.models.heads.masked",
            "LanguageHead": "mmvt.models.heads.language",
            "SegmentationHead": "mmvt.models.heads.segmentation",
            "StepLocalizationHead": "mmvt.models.heads.localization",
            "CosineHead": "mmvt.models.heads.bridge",
        },
    ),
    "loss": (
        "mmvt.losses.base:Loss",
        {
            "SymmetricNCE": "mmvt.losses.contrastive",
            "TextToVideoNCE": "mmvt.losses.contrastive",
            "VideoToTextNCE": "mmvt.losses.contrastive",
            "NCE": "mmvt.losses.contrastive",
            "MILNCE": "mmvt.losses.milnce",
            "CrossEntropy": "mmvt.losses.classification",
            "ArgmaxCrossEntropy": "mmvt.losses.classification",
            "BinaryCrossEntropy": "mmvt.losses.classification",
            "LanguageCrossEntropy": "mmvt.losses.language",
            "MFMMLM": "mmvt.losses.masked",
            "MTM": "mmvt.losses.masked",
            "MSE": "mmvt.losses.regression",
            "L1": "mmvt.losses.regression",
            "SmoothL1": "mmvt.losses.regression",
        },
    ),
    "task": (
        "mmvt.tasks.task:Task",
        {
            "Task": "mmvt.tasks.task",
            "PairTask": "mmvt.tasks.pair_task",
            "RetrievalTask": "mmvt.tasks.retrieval_task",
            "MILNCETask": "mmvt.tasks.milnce_task",
        },
    ),
    "predictor": (
        "mmvt.evaluators.base:Predictor",
        {
            "RetrievalPredictor": "mmvt.evaluators.predictors.retrieval",
            "CaptionPredictor": "mmvt.evaluators.predictors.caption",
            "DenseCaptionPredictor": "mmvt.evaluators.predictors.dense",
            "MultipleChoicePredictor": "mmvt.evaluators.predictors.choice",
            "AnswerPredictor": "mmvt.evaluators.predictors.question",
            "OptionPredictor": "mmvt.evaluators.predictors.question",
            "SegmentationPredictor": "mmvt.evaluators.predictors.segmentation",
            "ZeroShotSegmentationPredictor": "mmvt.evaluators.predictors.segmentation",
            "StepLocalizationPredictor": "mmvt.evaluators.predictors.localization",
            "MomentPredictor": "mmvt.evaluators.predictors.moment",
            "HighlightPredictor": "mmvt.evaluators.predictors.highlight",
            "ActionRecognitionPredictor": "mmvt.evaluators.predictors.action",
        },
    ),
    "metric": (
        "mmvt.evaluators.base:Metric",
        {
            "RetrievalMetric": "mmvt.evaluators.metrics.retrieval",
            "MultipleChoiceMetric": "mmvt.evaluators.metrics.choice",
            "AnswerMetric": "mmvt.evaluators.metrics.answer",
            "SegmentationMetric": "mmvt.evaluators.metrics.segmentation",
            "StepRecallMetric": "mmvt.evaluators.metrics.localization",
            "MomentMetric": "mmvt.evaluators.metrics.moment",
            "CaptionMetric": "mmvt.evaluators.metrics.captions",
            "DenseCaptionMetric": "mmvt.evaluators.metrics.dense",
            "HighlightMetric": "mmvt.evaluators.metrics.highlight",
            "ActionRecognitionMetric": "mmvt.evaluators.metrics.action",
        },
    ),
    "feature_encoder": (
        "mmvt.features.base:FeatureEncoder",
        {
            "EfficientNetLite0": "mmvt.features.efficientnet",
            "HFVisionEncoder": "mmvt.features.hf.image",
            "HFVideoEncoder": "mmvt.features.hf.video",
            "SpatioTemporalTokens": "mmvt.features.hf.tokens",
            "S3D": "mmvt.features.s3d.encoder",
        },
    ),
    "audio_encoder": (
        "mmvt.features.base:AudioEncoder",
        {
            "LogMel": "mmvt.features.logmel",
            "WhisperLogMel": "mmvt.features.whisper",
            "WhisperEncoder": "mmvt.features.whisper",
        },
    ),
}


class Plugins:
    """One registry a kind; made anew for every configuration, so that nothing is global."""

    def __init__(self) -> None:
        self.registries: dict[str, Registry[Any]] = {}
        for kind, (base, builtin) in KINDS.items():
            installed = {e.name: e.module for e in entry_points(group=f"mmvt.{kind}")}
            self.registries[kind] = Registry(kind.replace("_", " "), base, installed | builtin)

    def get(self, kind: str, name: str) -> type[Any]:
        """Return the class of a plugin.

        Raises:
            PluginError: no plugin of that kind has that name.
        """
        return self.registries[kind].get(name)

    def kind_of(self, base: object) -> str | None:
        """Return the kind whose contract is the class ``base``, or None."""
        if not inspect.isclass(base):
            return None
        reference = f"{base.__module__}:{base.__qualname__}"
        return next((kind for kind, (ref, _) in KINDS.items() if ref == reference), None)

    def add_file(self, path: Path) -> list[str]:
        """Import a user's file and add the plugins defined in it; return their names.

        Raises:
            PluginError: the file is missing, cannot be imported, defines no plugin, or one that
                breaks its kind's contract or takes a name that is in use.
        """
        logger.info("importing plugins from %s", path)
        added = []
        for cls in _classes_of(_import_file(path)):
            for registry in self.registries.values():
                if issubclass(cls, registry.base):
                    _add(registry, cls, path)
                    added.append(cls.__name__)
        if not added:
            raise PluginError(
                f"the plugin file {path} defines no plugin; a plugin extends a class such as "
                "mmvt.processors.base.Aligner"
            )
        return added


def _add(registry: Registry[Any], cls: type, path: Path) -> None:
    try:
        registry.add(cls)
    except PluginError as error:
        raise PluginError(f"the plugin file {path}: {error}") from error


def load_plugins(files: Iterable[Path] = ()) -> Plugins:
    """Return the plugins of mmvt and of installed packages, and those of ``files``.

    Raises:
        PluginError: a file is missing, fails to import, or takes a name that is in use.
    """
    plugins = Plugins()
    for path in files:
        plugins.add_file(path)
    return plugins


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise PluginError(f"the plugin file {path} does not exist")
    # files of the same name in two folders are two modules
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    name = f"mmvt_plugin_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"the plugin file {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise PluginError(
            f"the plugin file {path} fails to import: {type(error).__name__}: {error}"
        ) from error
    return module


def _classes_of(module: ModuleType) -> Iterator[type]:
    """Yield the public classes that a module defines; one that lists ABC is a base of others."""
    for value in dict.fromkeys(filter(inspect.isclass, vars(module).values())):
        if (
            value.__module__ == module.__name__
            and ABC not in value.__bases__
            and not value.__name__.startswith("_")
        ):
            yield value
