"""Converts checkpoints of the original VideoCLIP and VLM to ours, and ours to the original."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mmvt.errors import CheckpointError
from mmvt_cli._cli import cli_errors

if TYPE_CHECKING:
    from torch import Tensor

EXAMPLES = """\
examples:
  mmvt convert checkpoint_best.pt videoclip.safetensors
  mmvt convert checkpoint_best.pt videoclip.safetensors --task projects/retri/videoclip/how2.yaml
  mmvt convert runs/retri/videoclip/checkpoint_best.pt original.safetensors
  mmvt convert runs/retri/videoclip/checkpoint_best.pt videoclip.safetensors --keys ours

The direction follows from the keys, unless --keys says whose the target has. A checkpoint of
fairseq, a state dict saved by torch and safetensors are read, nothing in them is run, and
safetensors are written. The original takes what is written by
  model.load_state_dict(safetensors.torch.load_file("original.safetensors"))
A checkpoint of the original needs no conversion: --checkpoint takes it as it is.
"""


@cli_errors
def main(argv: list[str] | None = None) -> int:
    """Convert, print what became of the keys, and return 0."""
    parser = argparse.ArgumentParser(
        prog="mmvt convert",
        description="Export a checkpoint, or convert it from or to the original VideoCLIP or VLM.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path, help="a checkpoint of the original, or ours")
    parser.add_argument("target", type=Path, help="a .safetensors file to write")
    parser.add_argument("--task", type=Path, help="a task YAML whose model it must fit, key by key")
    parser.add_argument(
        "--keys",
        choices=("ours", "original"),
        help="whose keys the target has (default: not those of the source)",
    )
    parser.add_argument("--force", action="store_true", help="overwrite the target")
    args = parser.parse_args(argv)
    if args.target.exists() and not args.force:
        raise CheckpointError(f"{args.target} exists; add --force to have it overwritten")
    from mmvt.checkpoint import load_state
    from mmvt.models.convert_mmpt import convert_checkpoint, from_mmpt, is_mmpt

    given = load_state(args.source)
    try:
        ours = from_mmpt(given)
        check_known(ours)
        if args.task is not None:
            check_fits(ours, args.task)
    except CheckpointError as error:
        raise CheckpointError(f"{args.source}: {error}") from error
    keys: Literal["ours", "original"] = args.keys or ("ours" if is_mmpt(given) else "original")
    print(report(given, ours, keys))
    convert_checkpoint(args.source, args.target, keys)
    print(f"written to {args.target}")
    return 0


def check_known(state: Mapping[str, Tensor]) -> None:
    """Raise unless all weights, under our keys, are of a model of video and text.

    Raises:
        CheckpointError: with the keys that belong to nothing.
    """
    strange = [key for key in state if key.split(".")[0] not in ("encoders", "trunk", "head")]
    if strange:
        raise CheckpointError(
            f"{len(strange)} keys are neither the original's nor ours: {', '.join(strange)}"
        )


def check_fits(state: Mapping[str, Tensor], task: Path) -> None:
    """Raise unless weights under our keys fit the model of a task YAML.

    Raises:
        CheckpointError: with all keys that are missing, unexpected, or of another shape.
        ConfigError: the YAML is wrong.
    """
    from mmvt.checkpoint import load_into
    from mmvt.config.fields import fields_of
    from mmvt.config.recipe import Recipe
    from mmvt.inference import find_config

    recipe = Recipe.load(find_config(task))
    for plan in (recipe.plans["trunk"], recipe.plans["head"]):
        if "pretrained" in {item.name for item in fields_of(plan.cls)}:
            plan.values["pretrained"] = False  # all weights are replaced
    load_into(recipe.model(), state)
    print(f"fits the model of {task}: no key is missing, unexpected, or of another shape")


def report(given: Mapping[str, Tensor], ours: Mapping[str, Tensor], keys: str) -> str:
    """Return what becomes of the keys of a checkpoint.

    Args:
        given: the checkpoint.
        ours: the same tensors under our keys, without those that have no counterpart here.
        keys: whose the result has, ``ours`` or ``original``.
    """
    kept = {id(tensor) for tensor in ours.values()}
    left_out = [key for key, tensor in given.items() if id(tensor) not in kept]
    whose = "ours" if keys == "ours" else "the original"
    lines = [f"to {whose}: {len(ours)} of {len(given)} tensors; left out, as nothing uses them:"]
    return "\n".join([*lines, *(f"  {key}" for key in left_out or ["none"])])


if __name__ == "__main__":
    raise SystemExit(main())
