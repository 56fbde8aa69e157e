"""Checks project YAMLs: every key, and every model built at tiny size and run once on the CPU."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mmvt.errors import ConfigError, MMVTError
from mmvt_cli._cli import cli_errors

if TYPE_CHECKING:
    from mmvt.config.project import TaskFile

EXAMPLES = """\
examples:
  mmvt check                               every YAML under projects/
  mmvt check projects/pretrain.yaml        one project
"""


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
    """Return every YAML under ``projects/`` that is a project or a task.

    Left out are expansions, whose project is there too, and parts of tasks: what is included by
    another YAML and names no head.

    Raises:
        ConfigError: there is none.
    """
    from mmvt.config.project import is_generated

    found = [path for path in sorted(Path("projects").rglob("*.yaml")) if not is_generated(path)]
    if not found:
        raise ConfigError("there is no YAML under projects/; name one, or see mmvt init --help")
    included = {name for path in found for name in _includes(path)}
    return [path for path in found if path.resolve() not in included or _names_head(path)]


def _includes(path: Path) -> set[Path]:
    """Return the files that a YAML includes; none if it cannot be read."""
    from mmvt.config.yaml_file import read_yaml

    try:
        value = read_yaml(path).data.get("includes")
    except ConfigError:
        return set()
    names = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    folders = (path.parent, Path())
    return {(folder / name).resolve() for name in names if name for folder in folders}


def _names_head(path: Path) -> bool:
    from mmvt.config.compose import compose

    try:
        layer = compose(path)
    except ConfigError:
        return True
    return bool({"head", "task_group"} & layer.data.keys())


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
    """Build all parts of a task but its data, and make an example or two of made-up data.

    A task that trains (it has ``fairseq.optimization``) then runs them forward and backward.

    Raises:
        MMVTError: the YAML is wrong, or its parts do not fit together.
    """
    from mmvt.config.recipe import Recipe
    from mmvt_cli.standin import make_batch, shrink

    recipe = Recipe.from_layer(task.path, task.layer)
    with tempfile.TemporaryDirectory(prefix="mmvt-check-") as folder:
        shrink(recipe, Path(folder))
        batch = make_batch(recipe)
        model = recipe.model()
        criterion = recipe.loss()
    if "optimization" in recipe.fairseq:
        loss, _ = recipe.task().compute(model, criterion, batch)
        loss.backward()
    recipe.predictor()
    recipe.metric()


if __name__ == "__main__":
    raise SystemExit(main())
