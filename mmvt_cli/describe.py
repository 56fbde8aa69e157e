"""Prints the plugins there are: their fields, types, defaults and docs."""

from __future__ import annotations

import argparse
import inspect
from pathlib import Path
from typing import TYPE_CHECKING

from mmvt.errors import PluginError, did_you_mean
from mmvt_cli._cli import cli_errors

if TYPE_CHECKING:
    from mmvt.config.fields import Field

EXAMPLES = """\
examples:
  mmvt describe                              the kinds of plugins and their names
  mmvt describe aligner                      every aligner with what it does
  mmvt describe aligner OverlappedAligner    its fields, as they stand in a YAML
  mmvt describe aligner --plugins mine.py    with the plugins of a file of yours
"""


@cli_errors
def main(argv: list[str] | None = None) -> int:
    """Print what was asked for; return 0."""
    parser = argparse.ArgumentParser(
        prog="mmvt describe",
        description="List plugins, their fields, types, defaults and docs.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kind", nargs="?", help="a kind of plugin, such as aligner")
    parser.add_argument("name", nargs="?", help="one plugin")
    parser.add_argument("--plugins", nargs="+", type=Path, default=[], help="files with plugins")
    args = parser.parse_args(argv)
    from mmvt.plugins import KINDS, load_plugins

    plugins = load_plugins(args.plugins)
    if args.kind is None:
        for kind, registry in plugins.registries.items():
            print(f"{kind}\n  {', '.join(registry.names())}")
        return 0
    if args.kind not in KINDS:
        raise PluginError(
            f"no kind of plugin named {args.kind!r}{did_you_mean(args.kind, KINDS)} "
            f"(there are {', '.join(KINDS)})"
        )
    registry = plugins.registries[args.kind]
    for name in [args.name] if args.name else registry.names():
        print(describe(registry.get(name), whole=bool(args.name)))
    return 0


def describe(cls: type, *, whole: bool) -> str:
    """Return the name and first line of a plugin, or all of its documentation and fields."""
    from mmvt.config.fields import fields_of

    doc = inspect.getdoc(cls) or ""
    if not whole:
        return f"{cls.__name__}\n  {doc.splitlines()[0] if doc else ''}"
    lines = [f"{cls.__name__} ({cls.__module__})", "", doc.partition("\nArgs:")[0].strip(), ""]
    for item in fields_of(cls):
        lines += [f"  {item.name}: {item.type_name}  ({_default(item)})", f"      {item.doc}"]
    return "\n".join(lines).rstrip()


def _default(item: Field) -> str:
    from mmvt.config.fields import REQUIRED
    from mmvt.config.plan import CONTEXT

    if item.name in CONTEXT:
        return "given by the run unless set"
    if item.default is REQUIRED:
        return "required"
    return f"default {'null' if item.default is None else repr(item.default)}"


if __name__ == "__main__":
    raise SystemExit(main())
