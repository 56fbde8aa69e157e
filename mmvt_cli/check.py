"""Checks project YAMLs: every key, and every model built at tiny size and run once on the CPU."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmvt.errors import ConfigError, MMVTError
from mmvt_cli._cli import cli_errors

if TYPE_CHECKING:
    from mmvt.config.plan import Plan
    from mmvt.config.project import TaskFile
    from mmvt.config.recipe import Recipe

EXAMPLES = """\
examples:
  mmvt check                               every YAML under projects/
  mmvt check projects/pretrain.yaml        one project
"""
TINY_BERT = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}


@cli_errors
def main(argv: list[str] | None = None) -> int:
    """Print a line a task; return 0, or 2 if one failed."""
    parser = argparse.ArgumentParser(
        prog="mmvt check",
        description="Check project YAMLs and build every model at tiny size.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("projects", nargs="*", type=Path, help="projects or tasks")
    parser.add_argument("--trust-code", action="store_true", help="trust included files as well")
    args = parser.parse_args(argv)
    failed = 0
    for path in args.projects or all_projects():
        for task, problem in check(path, trust_code=args.trust_code):
            print(f"{'ok' if problem is None else 'FAILED':<7} {task}")
            if problem is not None:
                failed += 1
                print(f"  {problem}".replace("\n", "\n  "), file=sys.stderr)
    return 2 if failed else 0


def all_projects() -> list[Path]:
    """Return every YAML under ``projects/`` but expansions, whose project is there too.

    Raises:
        ConfigError: there is none.
    """
    from mmvt.config.project import is_generated

    found = [path for path in sorted(Path("projects").rglob("*.yaml")) if not is_generated(path)]
    if not found:
        raise ConfigError("there is no YAML under projects/; name one, or see mmvt init --help")
    return found


def check(path: Path, *, trust_code: bool = False) -> Iterator[tuple[str, MMVTError | None]]:
    """Yield (task, problem) of every task of a project; the problem of a sound one is None."""
    from mmvt.config.project import load_project

    try:
        tasks = load_project(path, trust_code=trust_code).tasks
    except ConfigError as error:
        yield str(path), error
        return
    for task in tasks.values():
        label = f"{path}: {task.name}" if task.source else str(path)
        try:
            build_tiny(task)
        except MMVTError as error:
            yield label, error
        else:
            yield label, None


def build_tiny(task: TaskFile) -> None:
    """Build all parts of a task but its data, and run one small batch forward and backward.

    Raises:
        MMVTError: the YAML is wrong, or its parts do not fit together.
    """
    from mmvt.config.recipe import Recipe

    recipe = Recipe.from_layer(task.path, task.layer)
    _shrink(recipe.plans["trunk"])
    model = recipe.model()
    loss, _ = recipe.task().compute(model, recipe.loss(), _random_batch(recipe))
    loss.backward()
    recipe.predictor()
    recipe.metric()


def _shrink(plan: Plan) -> None:
    from mmvt.config.fields import fields_of

    names = {item.name for item in fields_of(plan.cls)}
    small = {"pretrained": False, "bert_config": TINY_BERT, "num_hidden_video_layers": 1}
    plan.values |= {name: value for name, value in small.items() if name in names}
    if "bert_config" in names:
        plan.values["bert_name"] = None


def _random_batch(recipe: Recipe, size: int = 2) -> dict[str, Any]:
    """Return wire keys of the shapes that the recipe's layout and video encoder name."""
    import torch

    layout = recipe.plans["dataset"].values["aligner"].values["layout"].values
    encoder = recipe.encoders["video"].values if "video" in recipe.encoders else {}
    steps, words = layout["max_video_len"], layout["max_len"] - layout["max_video_len"]
    rows = (encoder.get("grid", 1) ** 2,) if encoder.get("grid", 1) > 1 else ()
    copies = recipe.task().subsampling
    lead = (size, copies) if copies > 1 else (size,)
    generator = torch.Generator().manual_seed(0)
    caps = torch.randint(104, 1000, (*lead, words), generator=generator)
    caps[..., 0], caps[..., 1], caps[..., -1] = 101, 102, 102
    width = encoder.get("input_dim", 512)
    return {
        "vfeats": torch.rand(*lead, steps, *rows, width, generator=generator),
        "vmasks": torch.ones(*lead, steps, dtype=torch.bool),
        "caps": caps,
        "cmasks": torch.ones(*lead, words, dtype=torch.bool),
        "video_id": [str(i) for i in range(size)],
    }


if __name__ == "__main__":
    raise SystemExit(main())
