"""Names and keys of the original MMPT toolkit, and ours for them.

Everything that a YAML of the original may hold is in one of these tables, as a path of keys:
``PLUGINS``, ``LOSSES`` and ``MODELS`` give the names of parts, ``MOVED`` the keys that are another
one here, ``BUILT_IN`` and ``IGNORED`` those without a meaning, each with its reason. ``UNUSED`` are
those with a meaning that depends on the parts chosen, and ``UNSET`` what parts take in place of a
key that is absent. :mod:`mmvt.config.translation` and :mod:`mmvt.config.recipe` apply them.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from mmvt.config.merge import Keys

Named = str | dict[str, Any]  # a plugin, in short or in long form

# a key that names a plugin: the original's name, and ours
PLUGINS: dict[Keys, dict[str, Named]] = {
    ("dataset", "meta_processor"): {
        "How2MetaProcessor": "How2MetaProcessor",
        "ShardedHow2MetaProcessor": "How2MetaProcessor",
        "ShardedHow2VideoRetriMetaProcessor": "How2MetaProcessor",
        "MSRVTTMetaProcessor": "MSRVTTMetaProcessor",
        "MSRVTTQAMetaProcessor": "MSRVTTChoiceMetaProcessor",
        "YoucookMetaProcessor": "YouCook2MetaProcessor",
        "YoucookNLGMetaProcessor": "YouCook2CaptionMetaProcessor",
        "CrossTaskMetaProcessor": "CrossTaskMetaProcessor",
        "COINActionSegmentationMetaProcessor": "COINMetaProcessor",
        "DiDeMoMetaProcessor": "DiDeMoMetaProcessor",
    },
    ("dataset", "video_processor"): {
        "VideoProcessor": "NpyVideoProcessor",
        "ShardedVideoProcessor": "ShardedVideoProcessor",
        "ShardedVideoRetriVideoProcessor": "ShardedVideoProcessor",
        "YoucookVideoProcessor": {"name": "ClipVideoProcessor", "videos": "NpyVideoProcessor"},
        "CrossTaskVideoProcessor": "NpyVideoProcessor",
    },
    ("dataset", "text_processor"): {
        "TextProcessor": "YouCook2TextProcessor",
        "ShardedTextProcessor": "ShardedTextProcessor",
        "ShardedVideoRetriTextProcessor": "ShardedTextProcessor",
        "PKLJSONStrTextProcessor": "JSONTextProcessor",
        "MSRVTTTextProcessor": "MSRVTTTextProcessor",
        "MSRVTTQATextProcessor": "MSRVTTChoiceTextProcessor",
        "NLGTextProcessor": "YouCook2CaptionTextProcessor",
        "CrossTaskTextProcessor": "CrossTaskTextProcessor",
        "COINActionSegmentationTextProcessor": "COINTextProcessor",
        "DiDeMoTextProcessor": "DiDeMoTextProcessor",
    },
    ("dataset", "aligner"): {
        "FixedLenAligner": "FixedLenAligner",
        "VariedLenAligner": "VariedLenAligner",
        "StartClipAligner": "StartClipAligner",
        "OverlappedAligner": "OverlappedAligner",
        "MFMMLMAligner": "MFMMLMAligner",
        "How2MILNCEAligner": "MILNCEAligner",
        "VideoRetriAligner": "VariedLenAligner",
        "VideoRetriOverlappedAligner": "OverlappedAligner",
        "DSAligner": {"name": "SampledAligner", "sampler": "CaptionSampler"},
        "DSNLGAligner": "CaptioningAligner",
        "MSRVTTQAAligner": "MultipleChoiceAligner",
        "COINActionSegmentationAligner": "SegmentationAligner",
        "CrossTaskAligner": "StepLocalizationAligner",
        "DiDeMoAligner": "MomentAligner",
    },
    ("task",): {
        "VideoRetriTask": "RetrievalTask",
        "VLMTask": "PairTask",
        "MILNCETask": "MILNCETask",
    },
    ("predictor",): {
        "RetrievalPredictor": "RetrievalPredictor",
        "QAPredictor": "MultipleChoicePredictor",
        "NLGPredictor": "CaptionPredictor",
        "COINPredictor": "SegmentationPredictor",
        "COINZSPredictor": "ZeroShotSegmentationPredictor",
        "CrossTaskPredictor": "StepLocalizationPredictor",
        "DiDeMoPredictor": "MomentPredictor",
    },
    ("metric",): {
        "RetrievalMetric": "RetrievalMetric",
        "QAMetric": "MultipleChoiceMetric",
        "NLGMetric": "CaptionMetric",
        "COINActionSegmentationMetric": "SegmentationMetric",
        "CrossTaskMetric": "StepRecallMetric",
        "DiDeMoMetric": "MomentMetric",
    },
}
# they pass over videos without features
TOLERANT = (
    "YoucookMetaProcessor",
    "YoucookNLGMetaProcessor",
    "CrossTaskMetaProcessor",
    "COINActionSegmentationMetaProcessor",
)
LOSSES: dict[str, str] = {
    "MMContraLoss": "SymmetricNCE",
    "T2VContraLoss": "TextToVideoNCE",
    "V2TContraLoss": "VideoToTextNCE",
    "NCE": "NCE",
    "MTM": "MTM",
    "MFMMLM": "MFMMLM",
    "CrossEntropy": "CrossEntropy",
    "ArgmaxCrossEntropy": "ArgmaxCrossEntropy",
    "BCE": "BinaryCrossEntropy",
    "NLGLoss": "LanguageCrossEntropy",
    "MSE": "MSE",
    "L1": "L1",
    "SmoothL1": "SmoothL1",
}
# the classes of COIN are a constant in the original's code
_COIN: Named = {"name": "SegmentationHead", "num_classes": 779}
# num_iso_layer may stand beside these, but they never kept video and text apart
_MASKED: dict[str, Any] = {"name": "JointTrunk", "num_iso_layer": 0}
_WRITING: dict[str, Any] = {**_MASKED, "text_attention": "causal"}
# trunk and head of a model_cls
MODELS: dict[str, tuple[Named, Named]] = {
    "MMFusionSeparate": ("SeparateTrunk", "ContrastiveHead"),
    "MMFusionShare": ("SharedTrunk", "ContrastiveHead"),
    "MMFusionJoint": ("JointTrunk", "ContrastiveHead"),
    "MMFusionMFMMLM": (_MASKED, "MFMMLMHead"),
    "MMFusionMTM": (_MASKED, "MTMHead"),
    "MMFusionNLG": (_WRITING, "LanguageHead"),
    "MMFusionActionSegmentation": ("JointTrunk", _COIN),
    "MMFusionActionLocalization": ("JointTrunk", "StepLocalizationHead"),
    "MMFusionSeparateActionSegmentation": ("SeparateTrunk", _COIN),
    "MMFusionSeparateActionLocalization": ("SeparateTrunk", "StepLocalizationHead"),
    "MMFusionShareActionLocalization": ("SharedTrunk", "StepLocalizationHead"),
}
ENCODERS = (
    "MMBertForEncoder",
    "MMBertForJoint",
    "MMBertForMFMMLM",
    "MMBertForMTM",
    "MMBertForTokenClassification",
    "MMBertForNLG",
    "BertModel",
    "MMFusionForMFMMLM",  # a slip in the original's projects/mfmmlm.yaml; its model ignores it
)
MOVED: dict[Keys, Keys] = {
    ("model", "num_hidden_video_layers"): ("trunk", "num_hidden_video_layers"),
    ("model", "use_seg_emb"): ("trunk", "use_seg_emb"),
    ("model", "max_decode_length"): ("predictor", "max_decode_length"),
    ("retri_epoch",): ("task", "retri_epoch"),
    ("num_cands",): ("task", "num_cands"),
    ("dataset", "caption_pkl_path"): ("dataset", "annotations"),
}
# keys that name a class of the original for which nothing is to choose here
BUILT_IN: dict[Keys, tuple[Collection[str], str]] = {
    **{
        ("model", key): (ENCODERS, "trunk and head follow from model_cls")
        for key in ("mm_encoder_cls", "video_encoder_cls", "text_encoder_cls")
    },
    ("vectorpool_cls",): (("VideoVectorPool",), "RetrievalTask has its own"),
    ("retriever_cls",): (("VectorRetriever",), "RetrievalTask has its own"),
}
IGNORED: dict[Keys, str] = {
    ("task_type",): "--jobtype says how a task is run",
    ("slurm_config",): "nothing is sent to a cluster; --jobtype says how a task is run",
    ("dataset", "split"): "the job says which split is read: --split of mmvt predict",
    ("dataset", "use_fast"): "tokenizers are always the fast ones",
}
# keys that a YAML of the original may hold for other parts than those it names: no error there
UNUSED: tuple[Keys, ...] = (
    ("dataset", "train_path"),
    ("dataset", "val_path"),
    ("dataset", "test_path"),
    ("dataset", "train_csv_path"),
    ("dataset", "val_csv_path"),
    ("dataset", "json_path"),
    ("dataset", "jsfusion_path"),
    ("dataset", "full_test_path"),
    ("dataset", "dup"),
    ("dataset", "trainval_annotation"),
    ("dataset", "use_annotation_text"),
    ("dataset", "primary_path"),
    ("dataset", "related_path"),
    ("dataset", "annotation_path"),
    ("dataset", "n_train"),
    ("dataset", "vfeat_dir"),
    ("dataset", "tfeat_dir"),
    ("dataset", "bert_name"),
    ("dataset", "max_video_len"),
    ("dataset", "max_len"),
    ("dataset", "num_iso_layer"),
    ("dataset", "subsampling"),
    ("dataset", "num_video_per_batch"),
    ("dataset", "sampled_min_len"),
    ("dataset", "sampled_max_len"),
    ("dataset", "sampled_video_min_len"),
    ("dataset", "sampled_video_max_len"),
    ("dataset", "keep_prob"),
    ("dataset", "mfm_probability"),
    ("dataset", "mlm_probability"),
    ("dataset", "mm_prob"),
    ("dataset", "mm_type"),
    ("dataset", "lazy_vfeat_mask"),
    ("dataset", "sliding_window"),
    ("dataset", "sliding_window_size"),
    *MOVED.values(),
)
# fields of our plugins that are something else there, unless they are set: None was no for it
UNSET: dict[str, dict[str, Any]] = {"MFMMLMAligner": {"lazy_vfeat_mask": False}}
