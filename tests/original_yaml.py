"""Projects and task templates in the language of the original toolkit, as its users have them.

Written anew for these tests. ``{data}`` is a folder of stand-ins, ``{bert}`` a tokenizer.
"""

from __future__ import annotations

from pathlib import Path

RUN = """\
fairseq:
  common: {{tensorboard_logdir: run, log_interval: 1000, fp16: true}}
  dataset: {{num_workers: 4, batch_size: 128}}
  optimization:
    lr: [ 0.00005 ]
    clip_norm: 2.0
    optimizer: adam
    adam_betas: (0.9, 0.98)
    lr_scheduler: polynomial_decay
    total_num_update: 1000000
    warmup_updates: 1000
    weight_decay: 0.0
    ddp_backend: no_c10d
    max_epoch: 15
  checkpoint:
    save_dir: runs/task
    save_interval_updates: 1024
    keep_interval_updates: 2
    keep_last_epochs: 30
"""
HOW2 = """\
includes: projects/task/default.yaml
task_type: sweep_big
slurm_config: big
dataset:
  meta_processor: ShardedHow2MetaProcessor
  video_processor: ShardedVideoProcessor
  text_processor: ShardedTextProcessor
  aligner: FixedLenAligner
  train_path: {data}/how2/train.lst
  val_path: {data}/how2/val.lst
  vfeat_dir: {data}/how2
  tfeat_dir: {data}/how2/caps.
  bert_name: {bert}
eval:
  save_path: runs/task
"""
FINE_TUNED = """\
includes: projects/task/default.yaml
task_type: sweep_small
dataset: {{bert_name: {bert}}}
fairseq:
  optimization: {{warmup_updates: 122}}
  checkpoint:
    restore_file: runs/task/checkpoint_best.pt
    reset_optimizer: true
    reset_dataloader: true
    reset_meters: true
"""
TESTED = """\
slurm_config: big
task_type: local_predict
dataset:
  split: test
  video_processor: VideoProcessor
  aligner: DSAligner
  bert_name: {bert}
fairseq:
  dataset: {{batch_size: 256, valid_subset: test, num_workers: 2}}
  common_eval: {{path: runs/task/checkpoint_best.pt}}
model: {{model_cls: MMFusionJoint}}
eval: {{save_path: runs/task/eval}}
predictor: RetrievalPredictor
metric: RetrievalMetric
"""
# data sets: the keys of their ``dataset`` sections
DATA = {
    "vtt": """\
  meta_processor: MSRVTTMetaProcessor
  text_processor: MSRVTTTextProcessor
  video_processor: VideoProcessor
  json_path: {data}/msrvtt/MSRVTT_data.json
  train_path: {data}/msrvtt/MSRVTT_train.9k.csv
  val_path: {data}/msrvtt/MSRVTT_JSFUSION_test.csv
  test_path: {data}/msrvtt/MSRVTT_JSFUSION_test.csv
  vfeat_dir: {data}/msrvtt/npy
  aligner: DSAligner
  dup: 20
""",
    "vttqa": """\
  meta_processor: MSRVTTQAMetaProcessor
  text_processor: MSRVTTQATextProcessor
  video_processor: VideoProcessor
  test_path: {data}/msrvtt/MSR_MC_test.csv
  vfeat_dir: {data}/msrvtt/npy
  aligner: MSRVTTQAAligner
""",
    "youcook": """\
  meta_processor: YoucookMetaProcessor
  text_processor: TextProcessor
  video_processor: YoucookVideoProcessor
  train_path: {data}/youcook2/train.pkl
  val_path: {data}/youcook2/validation_youcook.csv
  test_path: {data}/youcook2/validation_youcook.csv
  trainval_annotation: {data}/youcook2/youcookii_annotations_trainval.json
  use_annotation_text: True
  vfeat_dir: {data}/youcook2/npy
  aligner: DSAligner
""",
    "youcookcap": """\
  meta_processor: YoucookNLGMetaProcessor
  text_processor: NLGTextProcessor
  video_processor: YoucookVideoProcessor
  train_path: {data}/youcook2/train_list.txt
  val_path: {data}/youcook2/val_list.txt
  test_path: {data}/youcook2/val_list.txt
  trainval_annotation: {data}/youcook2/youcookii_annotations_trainval.json
  vfeat_dir: {data}/youcook2/npy
  aligner: DSNLGAligner
""",
    "crosstask": """\
  meta_processor: CrossTaskMetaProcessor
  text_processor: CrossTaskTextProcessor
  video_processor: CrossTaskVideoProcessor
  train_path: {data}/crosstask/videos.csv
  train_csv_path: {data}/crosstask/videos.csv
  val_path: {data}/crosstask/videos_val.csv
  val_csv_path: {data}/crosstask/videos_val.csv
  primary_path: {data}/crosstask/tasks_primary.txt
  related_path: {data}/crosstask/tasks_related.txt
  annotation_path: {data}/crosstask/annotations
  n_train: 30
  vfeat_dir: {data}/crosstask/npy
  aligner: CrossTaskAligner
  sliding_window: 16
  sliding_window_size: 32
fairseq: {{dataset: {{batch_size: 1}}}}
""",
    "coin": """\
  meta_processor: COINActionSegmentationMetaProcessor
  text_processor: COINActionSegmentationTextProcessor
  video_processor: VideoProcessor
  train_path: {data}/coin/COIN.json
  val_path: {data}/coin/COIN.json
  test_path: {data}/coin/COIN.json
  vfeat_dir: {data}/coin/npy
  aligner: COINActionSegmentationAligner
  sliding_window: 8
  sliding_window_size: 32
fairseq: {{dataset: {{batch_size: 1}}}}
""",
    "didemo": """\
  meta_processor: DiDeMoMetaProcessor
  text_processor: DiDeMoTextProcessor
  video_processor: VideoProcessor
  test_path: {data}/didemo/test_data.json
  vfeat_dir: {data}/didemo/npy
  aligner: DiDeMoAligner
""",
}
# fine-tuning on a data set: the rest of its template
LEARNT = {
    "vtt": "loss: {{loss_cls: T2VContraLoss}}\nmodel: {{model_cls: MMFusionJoint}}\n",
    "youcook": "loss: {{loss_cls: T2VContraLoss}}\nmodel: {{model_cls: MMFusionJoint}}\n",
    "youcookcap": (
        "model: {{model_cls: MMFusionNLG, mm_encoder_cls: MMBertForNLG, max_decode_length: 24}}\n"
        "loss: {{loss_cls: NLGLoss}}\n"
    ),
    "crosstask": (
        "model: {{model_cls: MMFusionActionLocalization, mm_encoder_cls: MMBertForJoint}}\n"
        "loss: {{loss_cls: BCE}}\n"
    ),
    "coin": (
        "model: {{model_cls: MMFusionActionSegmentation,"
        " mm_encoder_cls: MMBertForTokenClassification}}\n"
        "loss: {{loss_cls: CrossEntropy}}\n"
    ),
}
# evaluation on a data set: the rest of its template
JUDGED = {
    "vtt": "",
    "youcook": "",
    "vttqa": "predictor: QAPredictor\nmetric: QAMetric\n",
    "youcookcap": (
        "predictor: NLGPredictor\nmetric: NLGMetric\ngen_param: {{num_beams: 5}}\n"
        "model: {{model_cls: MMFusionNLG, mm_encoder_cls: MMBertForNLG, max_decode_length: 24}}\n"
    ),
    "crosstask": (
        "model: {{model_cls: MMFusionActionLocalization, mm_encoder_cls: MMBertForJoint}}\n"
        "predictor: CrossTaskPredictor\nmetric: CrossTaskMetric\n"
    ),
    "coin": (
        "model: {{model_cls: MMFusionActionSegmentation,"
        " mm_encoder_cls: MMBertForTokenClassification}}\n"
        "predictor: COINPredictor\nmetric: COINActionSegmentationMetric\n"
    ),
    "didemo": "predictor: DiDeMoPredictor\nmetric: DiDeMoMetric\n",
}
SIZES = "max_video_len: 32, max_len: 96"
SEPARATE = (
    "mm_encoder_cls: , video_encoder_cls: MMBertForEncoder, text_encoder_cls: BertModel,"
    " num_hidden_video_layers: 6"
)
VIDEOCLIP = f"""\
project_dir: retri/videoclip
run_task:
  - how2.yaml
  - [vtt.yaml, youcook.yaml, coin.yaml]
base_dir: task
task_group:
  pretrain:
    task_list:
      - how2.yaml
    dataset: {{{SIZES}, subsampling: 32, sampled_min_len: 8, sampled_max_len: 64,
      aligner: VideoRetriOverlappedAligner, lazy_vfeat_mask: True, mfm_probability: 0.15,
      mlm_probability: 0.15, mm_prob: 0.5, video_processor: ShardedVideoRetriVideoProcessor,
      text_processor: ShardedVideoRetriTextProcessor,
      meta_processor: ShardedHow2VideoRetriMetaProcessor, num_video_per_batch: 32,
      clip_per_video: 16}}
    fairseq: {{dataset: {{batch_size: 1}}, optimization: {{max_epoch: 25, warmup_updates: 1000}}}}
    model: {{model_cls: MMFusionSeparate, {SEPARATE}}}
    loss: {{loss_cls: MMContraLoss}}
    task: VideoRetriTask
    retri_epoch: 1
    vectorpool_cls: VideoVectorPool
    retriever_cls: VectorRetriever
    num_cands: 64
  finetune:
    task_list: [vtt.yaml, youcook.yaml]
    dataset: {{{SIZES}}}
    fairseq: {{common: {{fp16: false}}, optimization: {{max_epoch: 10}}}}
    model: {{model_cls: MMFusionSeparate, {SEPARATE}}}
    loss: {{loss_cls: MMContraLoss}}
  finetune_segment:
    task_list: [coin.yaml]
    dataset: {{{SIZES}}}
    fairseq: {{dataset: {{batch_size: 1}}, optimization: {{max_epoch: 8}}}}
    model: {{model_cls: MMFusionSeparateActionSegmentation, {SEPARATE}}}
  finetune_steps:
    task_list: [crosstask.yaml]
    dataset: {{{SIZES}}}
    fairseq: {{dataset: {{batch_size: 1}}, optimization: {{max_epoch: 5}}}}
    model: {{model_cls: MMFusionSeparateActionLocalization, {SEPARATE}}}
  test:
    task_list: [test_vtt.yaml, test_vttqa.yaml, test_youcook.yaml, test_didemo.yaml]
    dataset: {{{SIZES}}}
    model: {{model_cls: MMFusionSeparate, {SEPARATE}}}
  test_coin:
    task_list: [test_coin.yaml]
    dataset: {{{SIZES}}}
    model: {{model_cls: MMFusionSeparateActionSegmentation, {SEPARATE}}}
  test_coin_zs:
    task_list: [test_coin_zs.yaml]
    dataset: {{{SIZES}}}
    model: {{model_cls: MMFusionSeparate, {SEPARATE}}}
    predictor: COINZSPredictor
  test_crosstask:
    task_list: [test_crosstask.yaml]
    dataset: {{{SIZES}}}
    model: {{model_cls: MMFusionSeparateActionLocalization, {SEPARATE}}}
"""
VLM = f"""\
project_dir: mtm/vlm
run_task:
  - how2.yaml
  - [vtt.yaml, youcook.yaml, youcookcap.yaml, crosstask.yaml, coin.yaml]
base_dir: task
task_group:
  pretrain:
    task_list:
      - how2.yaml
    dataset: {{{SIZES}, subsampling: 32, sampled_min_len: 8, sampled_max_len: 64,
      aligner: MFMMLMAligner, lazy_vfeat_mask: True, mfm_probability: 0.15,
      mlm_probability: 0.15, mm_prob: 0.5}}
    fairseq: {{dataset: {{batch_size: 256}}, optimization: {{max_epoch: 15}}}}
    model: {{model_cls: MMFusionMTM, mm_encoder_cls: MMBertForMFMMLM, use_seg_emb: true}}
    loss: {{loss_cls: MTM}}
    task: VLMTask
  finetune:
    task_list: [vtt.yaml, youcook.yaml, crosstask.yaml, coin.yaml, youcookcap.yaml]
    dataset: {{{SIZES}, num_iso_layer: 12}}
    model: {{use_seg_emb: true}}
  test:
    task_list: [test_vtt.yaml, test_vttqa.yaml, test_youcook.yaml, test_youcookcap.yaml,
      test_crosstask.yaml, test_coin.yaml]
    dataset: {{{SIZES}, num_iso_layer: 12}}
    model: {{use_seg_emb: true}}
"""
MFMMLM = f"""\
project_dir: mfmmlm
base_dir: task
task_group:
  pretrain:
    task_list: [how2.yaml]
    dataset: {{{SIZES}, subsampling: 32, aligner: MFMMLMAligner, mfm_probability: 0.15}}
    fairseq: {{dataset: {{batch_size: 256}}}}
    model: {{model_cls: MMFusionMFMMLM, mm_encoder_cls: MMFusionForMFMMLM}}
    loss: {{loss_cls: MFMMLM}}
    task: VLMTask
"""
PROJECTS = {"videoclip": VIDEOCLIP, "vlm": VLM, "mfmmlm": MFMMLM}


def write_original(folder: Path, data: str = "data", bert: str = "bert-base-uncased") -> Path:
    """Write projects and templates of the original under ``folder``; return their folder."""
    task = folder / "projects" / "task"
    task.mkdir(parents=True)
    texts = {"default": RUN, "how2": HOW2, "ft": FINE_TUNED, "test": TESTED}
    for name, fields in DATA.items():
        tested = f"includes: projects/task/test.yaml\ndataset:\n{fields}{JUDGED[name]}"
        texts[f"test_{name}"] = tested
        if name in LEARNT:
            texts[name] = f"includes: projects/task/ft.yaml\ndataset:\n{fields}{LEARNT[name]}"
    texts["test_coin_zs"] = texts["test_coin"]
    for name, text in texts.items():
        save = f"eval: {{{{save_path: runs/task/{name[5:]}/eval}}}}\n"
        text += save if name.startswith("test_") else ""
        (task / f"{name}.yaml").write_text(text.format(data=data, bert=bert))
    for name, text in PROJECTS.items():
        (folder / "projects" / f"{name}.yaml").write_text(text)
    return folder / "projects"
