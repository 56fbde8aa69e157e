"""Runs a project YAML on this machine: ``python locallaunch.py projects/pretrain.yaml --help``."""

from __future__ import annotations

from mmvt_cli.launch import main

if __name__ == "__main__":
    raise SystemExit(main())
