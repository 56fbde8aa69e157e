"""Trains one task YAML through fairseq; locallaunch.py starts this, alone or under torchrun."""

from __future__ import annotations

import argparse
import importlib.util
import logging
from collections.abc import Mapping
from pathlib import Path

from mmvt.config.compose import resolve
from mmvt.config.merge import Layer, dropped
from mmvt.config.yaml_file import UNKNOWN
from mmvt.errors import ConfigError, require_package
from mmvt.stopping import StopRequest
from mmvt_cli._cli import LEVELS, choose_level, cli_errors

EXAMPLES = """\
examples:
  mmvt train projects/pretrain/videoclip.yaml
  mmvt train projects/pretrain/videoclip.yaml fairseq.optimization.max_epoch=1
  torchrun --standalone --nproc_per_node=2 -m mmvt_cli.train projects/pretrain/videoclip.yaml
"""


@cli_errors
def main(argv: list[str] | None = None) -> int:
    """Train; return 0 when the last epoch or update is reached.

    SIGTERM has the run saved at its next update, and the process ends with 143.
    """
    parser = argparse.ArgumentParser(
        prog="mmvt train",
        description="Train one task YAML; a run that was begun is resumed.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("task", type=Path, help="a task YAML, such as locallaunch.py writes")
    parser.add_argument("overrides", nargs="*", metavar="key.sub=value", help="changes to the YAML")
    parser.add_argument("--trust-code", action="store_true", help="trust included files as well")
    parser.add_argument("--log-level", choices=LEVELS, help="default: info")
    args = parser.parse_intermixed_args(argv)
    choose_level(args.log_level)
    require_package("fairseq", "train")
    with StopRequest().listening() as stop:
        from mmvt.fairseq.entry import train  # takes seconds

        train(args.task, args.overrides, trust_code=args.trust_code, stop=stop)
    return 0


def fairseq_problems(layer: Layer) -> list[str]:
    """Return what is wrong with the ``fairseq`` section of a task.

    Without fairseq nothing is found wrong: only training needs it, and says so.
    """
    section = dropped(resolve(layer).data, UNKNOWN).get("fairseq", {})
    if importlib.util.find_spec("fairseq") is None or not isinstance(section, Mapping):
        return []
    # its import asks for a package that nothing here needs
    logging.getLogger("fairseq.tasks.text_to_speech").setLevel(logging.WARNING)
    # imported to register their options
    from mmvt.fairseq import arguments, criterion, fused_adam, model, task  # noqa: F401

    try:
        arguments.parse(section, recipe="")
    except ConfigError as error:
        keys = [tuple(problem.split()[0].rstrip(":").split(".")) for problem in error.problems]
        places = [layer.where(path) for path in keys]
        return [f"{place}: {p}" for place, p in zip(places, error.problems, strict=True)]
    return []


if __name__ == "__main__":
    raise SystemExit(main())
