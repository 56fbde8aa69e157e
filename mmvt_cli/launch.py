"""Runs a project YAML: expands it, checks every task, then starts the processes of a job type.

Commands are lists of words from the YAML to the process; no shell ever reads them.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from mmvt.config.merge import to_yaml
from mmvt.config.project import Project, TaskFile, load_project
from mmvt.errors import ConfigError, LaunchError, MMVTError
from mmvt_cli._cli import cli_errors
from mmvt_cli.jobs import JOBS, Job, fitting_job, job_named

EXAMPLES = """\
examples:
  python locallaunch.py projects/pretrain.yaml                          expand only
  python locallaunch.py projects/pretrain.yaml --jobtype local_single   train in one process
  python locallaunch.py projects/pretrain.yaml --jobtype local_big --dryrun
  python locallaunch.py projects/pretrain.yaml --jobtype local_single \\
      fairseq.optimization.max_epoch=1 head.temperature=0.07            change any key
  python locallaunch.py projects/pretrain.yaml --jobtype local_predict  evaluate
"""


def _parser() -> argparse.ArgumentParser:
    jobs = "\n".join(f"  {name:<14} {job.about}" for name, job in JOBS.items())
    parser = argparse.ArgumentParser(
        prog="locallaunch.py",
        description="Run a project YAML on this machine.",
        epilog=f"job types:\n{jobs}\n\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("project", nargs="?", type=Path, help="a project or task YAML")
    parser.add_argument("overrides", nargs="*", metavar="key.sub=value", help="changes to the YAML")
    parser.add_argument("--jobtype", help="what to run; without it the project is only expanded")
    parser.add_argument(
        "--dryrun",
        action="store_true",
        help="write the expansions, print the commands and the composed configuration, start nothing",
    )
    parser.add_argument("--force", action="store_true", help="overwrite expansions that were edited")
    parser.add_argument(
        "--trust-code",
        action="store_true",
        help="let included files import plugins and read the environment",
    )
    return parser


@cli_errors
def main(argv: list[str] | None = None) -> int:
    """Run the launcher; return the exit code of the first job that failed, or 0."""
    args = _parser().parse_intermixed_args(argv)
    if args.project is None:
        print(_welcome())
        return 0
    job = job_named(args.jobtype) if args.jobtype else None
    project = load_project(args.project, args.overrides, trust_code=args.trust_code)
    for task in project.tasks.values():
        task.write(force=args.force)
        if task.source:
            print(f"expanded {task.path}")
    steps = project.steps if job is None or job.trains else project.test_steps()
    _check(project, steps, prepare=bool(job and job.trains and not args.dryrun))
    if job is None:
        return 0
    if args.dryrun:
        _show(project, steps, job, args.trust_code)
        return 0
    return _run(project, steps, job, args.trust_code)


def _welcome() -> str:
    found = sorted(str(path) for path in Path("projects").glob("*.yaml"))
    listing = "\n".join(f"  {path}" for path in found) or "  none; mmvt init DIR writes a starter"
    return f"usage: python locallaunch.py PROJECT.yaml --jobtype JOBTYPE\n\n{EXAMPLES}\nprojects:\n{listing}"


def _check(project: Project, steps: Sequence[Sequence[str]], *, prepare: bool) -> None:
    """Raise all problems of the tasks of ``steps``; ``prepare`` opens their training data too."""
    from mmvt.config.recipe import Recipe

    problems: list[str] = []
    for name in (name for step in steps for name in step):
        task = project.tasks[name]
        try:
            recipe = Recipe.from_layer(task.path, task.layer)
            if prepare:
                recipe.dataset("train")
        except ConfigError as error:
            problems += error.problems
        except MMVTError as error:
            hint = task.layer.data.get("prepare")
            problems.append(f"{task.path}: {error}" + (f"; make it with: {hint}" if hint else ""))
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))


def command_of(task: TaskFile, job: Job, *, trust_code: bool = False) -> list[str]:
    """Return the words of the command that runs a task as a job."""
    words = ["-m", job.module, str(task.path), *task.overrides]
    words += ["--trust-code"] if trust_code else []
    if job.processes == 1:
        return [sys.executable, *words]
    torchrun = Path(sys.executable).with_name("torchrun")
    start = [str(torchrun)] if torchrun.exists() else [sys.executable, "-m", "torch.distributed.run"]
    return [*start, "--standalone", f"--nproc_per_node={job.processes}", *words]


def _show(project: Project, steps: Sequence[Sequence[str]], job: Job, trust_code: bool) -> None:
    for step in steps:
        for name in step:
            task = project.tasks[name]
            print(f"\n# {task.path}")
            print(to_yaml(task.layer.data).rstrip())
            print(f"\n{shlex.join(command_of(task, job, trust_code=trust_code))}")


def _run(project: Project, steps: Sequence[Sequence[str]], job: Job, trust_code: bool) -> int:
    environment = _environment(job)
    for step in steps:
        commands = [command_of(project.tasks[n], job, trust_code=trust_code) for n in step]
        codes = _run_together(commands, environment)
        for name, code in zip(step, codes, strict=True):
            if code:
                print(f"error: {project.tasks[name].path} ended with exit code {code}", file=sys.stderr)
        failed = next((code for code in codes if code), 0)
        if failed:
            return failed
    return 0


def _run_together(commands: Sequence[Sequence[str]], environment: dict[str, str]) -> list[int]:
    """Run commands side by side; return their exit codes, 128 + n for one ended by signal n."""
    for command in commands:
        print(shlex.join(command), flush=True)
    processes = [subprocess.Popen(command, env=environment) for command in commands]
    with _signals_forwarded(processes):
        codes = [process.wait() for process in processes]
    return [128 - code if code < 0 else code for code in codes]


@contextmanager
def _signals_forwarded(processes: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    def forward(number: int, _frame: FrameType | None) -> None:
        for process in processes:
            process.send_signal(number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _environment(job: Job) -> dict[str, str]:
    """Return the environment of a job's processes; check that the GPUs are enough.

    Raises:
        LaunchError: there are GPUs, but fewer than processes.
    """
    import torch

    environment = dict(os.environ)
    gpus = torch.cuda.device_count()
    if 0 < gpus < job.processes:
        fitting = fitting_job(gpus)
        raise LaunchError(
            f"the job type asks for {job.processes} processes, a GPU each, but {gpus} GPUs are "
            f"visible; --jobtype {fitting} fits"
        )
    if gpus == 0 and job.processes > 1:
        threads = max(1, (os.cpu_count() or 1) // job.processes)
        environment.setdefault("OMP_NUM_THREADS", str(threads))
        print(
            f"warning: no GPU is visible; {job.processes} processes train on the CPU (gloo), "
            f"{threads} threads each",
            file=sys.stderr,
        )
    return environment


if __name__ == "__main__":
    raise SystemExit(main())
