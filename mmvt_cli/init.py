"""Writes a starter project into a folder: a YAML to edit, a caption file and what to run next."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from mmvt.errors import ConfigError
from mmvt.files import atomic_write_text
from mmvt_cli._cli import cli_errors

EXAMPLES = """\
examples:
  mmvt init my_videos
  mmvt init .
"""
EXTRACT = "mmvt extract videos --encoder EfficientNetLite0:output=grid,grid=3 --out features"
LAUNCH = "mmvt launch projects/mine.yaml --jobtype local_single"
PREDICT = "mmvt launch projects/mine.yaml --jobtype local_predict"
INDEX = (
    "mmvt index videos --model projects/mine/videoclip.yaml "
    "--checkpoint runs/mine/videoclip/checkpoint_best.pt --out index"
)
FILES = {
    "projects/mine.yaml": f"""\
# Trains VideoCLIP on the videos of this folder: projects/task/videoclip.yaml of mmvt, with the keys
# below in place of its own. `mmvt launch projects/mine.yaml` writes the whole to projects/mine/;
# `mmvt describe` tells what can stand here.
project_dir: mine
base_dir: task
task_group:
  pretrain:
    task_list: [videoclip.yaml]

prepare: {EXTRACT}
dataset:
  annotations: captions.csv
  store: features
  bert_name: minilm # or any BERT: a folder, or a name in pretrained_models/
  max_video_len: 32
  max_len: 96
features: {{fps: 1, encoder: {{frame_size: null}}}} # as in the command above
trunk: {{pretrained: true}}
fairseq:
  dataset: {{batch_size: 16}}
  optimization: {{lr: [0.0001], total_num_update: 1000, max_epoch: 10}}
""",
    "captions.csv": """\
video,caption,start,end,split
dog.mp4,a dog runs along the beach,0,4,train
cat.mp4,a cat sleeps on a chair,0,4,valid
""",
    "README.md": f"""\
# A project of mmvt

1. Put videos into `videos/`, and a line for each caption into `captions.csv` (two examples are
   there): file name, caption, start and end in seconds, and `train`, `valid` or `test`. The columns
   `start`, `end` and `split` can be left out.
2. Turn the videos into features, train, evaluate and search:

   ```sh
   {EXTRACT}
   {LAUNCH}
   {PREDICT}
   {INDEX}
   mmvt search index "a dog runs on sand"
   ```

`{LAUNCH} --dryrun` shows what would run, and starts nothing. Change
anything in `projects/mine.yaml`, or on the command line: `head.temperature=0.07`.
""",
}


@cli_errors
def main(argv: list[str] | None = None) -> int:
    """Write the starter; return 0."""
    parser = argparse.ArgumentParser(
        prog="mmvt init",
        description="Write a starter project into a folder.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="where to write it; made if it is not there")
    folder = parser.parse_args(argv).folder
    write_starter(folder)
    print(
        f"wrote {', '.join(str(folder / name) for name in FILES)}\n\n"
        f"next, when your videos are in {folder / 'videos'} and {folder / 'captions.csv'} is "
        f"yours:\n  cd {shlex.quote(str(folder))}\n  {EXTRACT}\n  {LAUNCH}"
    )
    return 0


def write_starter(folder: Path) -> None:
    """Write the files of a starter project, or none of them.

    Raises:
        ConfigError: one of them is there already, or the folder is a file.
    """
    there = [str(folder / name) for name in FILES if (folder / name).exists()]
    if there:
        raise ConfigError(f"{', '.join(there)}: already there, and not overwritten")
    try:
        (folder / "videos").mkdir(parents=True, exist_ok=True)
        for name, text in FILES.items():
            atomic_write_text(folder / name, text)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written ({error.strerror})") from error


if __name__ == "__main__":
    raise SystemExit(main())
