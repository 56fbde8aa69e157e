"""Runs a project YAML: expands it, checks every task, then starts the processes of a job type.

They run on this machine, or on a cluster (:mod:`mmvt_cli.slurm`). Commands are lists of words from
the YAML to the process; no shell ever reads them.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmvt.config.merge import to_yaml
from mmvt.config.project import Project, TaskFile, load_project
from mmvt.errors import ConfigError, LaunchError, MMVTError, position
from mmvt_cli import slurm
from mmvt_cli._cli import LEVELS, cli_errors
from mmvt_cli.jobs import JOBS, Job, Rendezvous, check_gpus, job_named, start_words
from mmvt_cli.processes import run_together
from mmvt_cli.train import fairseq_problems

EXAMPLES = """\
examples:
  python locallaunch.py projects/pretrain.yaml                          expand only
  python locallaunch.py projects/pretrain.yaml --jobtype local_single   train in one process
  python locallaunch.py projects/pretrain.yaml --jobtype local_big --dryrun
  python locallaunch.py projects/pretrain.yaml --jobtype local_single \\
      fairseq.optimization.max_epoch=1 head.temperature=0.07            change any key
  python locallaunch.py projects/pretrain.yaml --jobtype local_predict  evaluate
  python locallaunch.py projects/pretrain.yaml --jobtype slurm_big --nodes 4 --gpus 8 \\
      --partition gpu --account lab --time 720                          train on a cluster
"""


def _parser() -> argparse.ArgumentParser:
    jobs = "\n".join(f"  {name:<14} {job.about}" for name, job in JOBS.items())
    parser = argparse.ArgumentParser(
        prog="locallaunch.py",
        description="Run a project YAML on this machine or on a cluster.",
        epilog=f"job types:\n{jobs}\n\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("project", nargs="?", type=Path, help="a project or task YAML")
    parser.add_argument("overrides", nargs="*", metavar="key.sub=value", help="changes to the YAML")
    parser.add_argument("--jobtype", help="what to run; without it the project is only expanded")
    parser.add_argument(
        "--dryrun",
        action="store_true",
        help="write the expansions, print configurations and commands, start nothing",
    )
    parser.add_argument(
        "--force", action="store_true", help="overwrite expansions that were edited"
    )
    parser.add_argument(
        "--trust-code",
        action="store_true",
        help="let included files import plugins and read the environment",
    )
    parser.add_argument("--log-level", choices=LEVELS, help="of training (default: info)")
    slurm.add_options(parser)
    return parser


@cli_errors
def main(argv: list[str] | None = None) -> int:
    """Run the launcher; return the exit code of the first job that failed, or 0."""
    args = _parser().parse_intermixed_args(argv)
    if args.project is None:
        print(_welcome())
        return 0
    job = _job_of(args)
    project = load_project(args.project, args.overrides, trust_code=args.trust_code)
    steps = project.steps if job is None or job.trains else project.test_steps()
    to_open = steps if job and job.trains and not args.dryrun else []
    notes = [*project.notes, *_check(project, to_open)]
    if notes:
        print("\n".join(f"note: {note}" for note in dict.fromkeys(notes)), file=sys.stderr)
    _write(project, force=args.force)
    if job is None:
        return 0
    tasks = [[project.tasks[name] for name in step] for step in steps]
    if args.dryrun:
        _show(tasks, job, args)
        return 0
    words = [[words_of(task, job, args) for task in step] for step in tasks]
    if job.slurm:
        return slurm.submit(words, job, slurm.options_of(args), args.project.stem)
    environment = _environment(args.jobtype)
    for step, commands in zip(tasks, words, strict=True):
        if code := _run_step(step, commands, job, environment):
            return code
    return 0


def _job_of(args: argparse.Namespace) -> Job | None:
    """Return the job type, of as many processes as the command line says; None for none.

    Raises:
        LaunchError: there is no such job type, or an option has no meaning for it.
    """
    options = slurm.options_of(args)
    job = job_named(args.jobtype) if args.jobtype else None
    if job is not None and job.slurm:
        return slurm.sized(job, options)
    if options.given():
        names = ", ".join(f"--{name}" for name in options.given())
        raise LaunchError(f"{names}: only the job types slurm_* take that")
    return job


def _welcome() -> str:
    found = sorted(str(path) for path in Path("projects").glob("*.yaml"))
    listing = (
        "\n".join(f"  {path}" for path in found) or "  none here; mmvt init DIR writes a starter"
    )
    usage = "usage: python locallaunch.py PROJECT.yaml --jobtype JOBTYPE"
    return f"{usage}\n\n{EXAMPLES}\nprojects:\n{listing}"


def _check(project: Project, to_open: Sequence[Sequence[str]]) -> list[str]:
    """Return notes on all tasks or raise all problems; of the steps ``to_open``, open the data."""
    from mmvt.config.recipe import Recipe

    opened = {name for step in to_open for name in step}
    problems: list[str] = []
    notes: list[str] = []
    for name, task in project.tasks.items():
        problems += fairseq_problems(task.layer)
        try:
            recipe = Recipe.from_layer(task.path, task.layer)
        except ConfigError as error:
            problems += error.problems
            continue
        notes += recipe.notes
        try:
            if name in opened:
                recipe.dataset("train")
        except MMVTError as error:
            hint = task.layer.data.get("prepare")
            problems.append(f"{task.path}: {error}" + (f"; make it with: {hint}" if hint else ""))
    if problems:
        raise ConfigError(sorted(dict.fromkeys(problems), key=position))
    return notes


def _write(project: Project, *, force: bool) -> None:
    """Write all expansions, or none: those that were edited are one error."""
    problems = []
    for task in project.tasks.values():
        try:
            task.check_writable(force=force)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    for task in project.tasks.values():
        if task.source is not None:
            task.write(force=force)
            print(f"expanded {task.path}")


def words_of(task: TaskFile, job: Job, args: argparse.Namespace) -> list[str]:
    """Return what each process of a job runs with Python."""
    words = ["-m", job.module, str(task.path), *task.overrides]
    words += ["--trust-code"] if args.trust_code else []
    return words + (["--log-level", args.log_level] if args.log_level and job.trains else [])


def _show(steps: Sequence[Sequence[TaskFile]], job: Job, args: argparse.Namespace) -> None:
    meeting = Rendezvous(job.nodes, 0, "FIRST_NODE", 20_000) if job.nodes > 1 else None
    for step in steps:
        for task in step:
            print(f"\n# {task.path}")
            print(to_yaml(task.layer.data).rstrip())
            print(f"\n{shlex.join(start_words(words_of(task, job, args), job.processes, meeting))}")
        if job.slurm:
            array = f"an array of {len(step)}; " if len(step) > 1 else ""
            asked = slurm.parameters(job, slurm.options_of(args), args.project.stem)
            print(f"# Slurm: {array}" + ", ".join(f"{k}={v}" for k, v in asked.items()))


def _run_step(
    tasks: Sequence[TaskFile],
    words: Sequence[Sequence[str]],
    job: Job,
    environment: Mapping[str, str],
) -> int:
    """Run the tasks of a step side by side; return the exit code of the first that failed, or 0."""
    commands = [start_words(each, job.processes) for each in words]
    codes = run_together(commands, environment)
    for task, code in zip(tasks, codes, strict=True):
        if code:
            print(f"error: {task.path} ended with exit code {code}", file=sys.stderr)
    return next((code for code in codes if code), 0)


def _environment(name: str) -> dict[str, str]:
    """Return the environment of a job's processes; check that the GPUs are enough.

    Raises:
        LaunchError: there are GPUs, but fewer than processes.
    """
    import torch

    environment, processes = dict(os.environ), JOBS[name].processes
    gpus = torch.cuda.device_count()
    check_gpus(name, gpus)
    if gpus == 0 and processes > 1:
        threads = max(1, (os.cpu_count() or 1) // processes)
        environment.setdefault("OMP_NUM_THREADS", str(threads))
        print(
            f"warning: no GPU is visible; {processes} processes train on the CPU (gloo), "
            f"{threads} threads each",
            file=sys.stderr,
        )
    return environment


if __name__ == "__main__":
    raise SystemExit(main())
