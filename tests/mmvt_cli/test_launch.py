"""Tests of the launcher: what it checks, writes, prints and starts."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mmvt.config.yaml_file import read_yaml
from mmvt_cli.launch import main
from tests.corpus import write_corpus, write_project

ROOT = Path(__file__).resolve().parents[2]
TRAIN = ["-m", "mmvt_cli.train"]
SHELL = '$(touch x1); rm -rf "*" | touch x2 & > x3 \'`touch x4`'

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"), videos=6)


@pytest.fixture
def project(tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the project ``projects/tiny.yaml`` of one task, in the working directory."""
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path, corpus)
    return Path("projects/tiny.yaml")


def add(path: Path, text: str) -> Path:
    path.write_text(path.read_text() + text)
    return path


def files() -> set[str]:
    return {str(path) for path in Path().rglob("*")}


def errors(capsys: Capture, *words: str) -> list[str]:
    """Run the launcher, which must refuse and write nothing; return what it says."""
    before = files()
    assert main(list(words)) == 2
    assert files() == before
    lines = capsys.readouterr().err.splitlines()
    return [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]


def commands(printed: str) -> list[list[str]]:
    """Return the words of the commands that a dry run prints."""
    return [shlex.split(line) for line in printed.splitlines() if "mmvt_cli." in line]


def locallaunch(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    paths = f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"
    return subprocess.run(
        [sys.executable, str(ROOT / "locallaunch.py"), *words],
        env={**os.environ, "PYTHONPATH": paths, "CUDA_VISIBLE_DEVICES": "", **environment},
        capture_output=True,
        text=True,
        timeout=200,
    )


def test_notes_on_a_yaml_for_the_original_are_printed_once(project: Path, capsys: Capture):
    template = Path("projects/task/tiny.yaml")
    other = template.with_name("other.yaml")
    add(template, "task_type: sweep_big\nloss: {loss_cls: MMContraLoss}\n")
    other.write_text("includes: tiny.yaml\ndataset: {mm_prob: 0.5}\n")
    project.write_text(project.read_text().replace("[tiny.yaml]", "[tiny.yaml, other.yaml]"))
    assert main([str(project)]) == 0
    printed = capsys.readouterr().err.splitlines()
    notes = [line.removeprefix("note: ") for line in printed if line.startswith("note: ")]
    assert [note.partition(": ")[2] for note in notes] == [
        "task_type has no meaning here: --jobtype says how a task is run",
        "dataset.mm_prob is left out: no chosen part uses it",
    ]
    assert "original: true" in Path("projects/tiny/tiny.yaml").read_text()


class TestWords:
    def test_without_arguments_it_prints_examples_and_the_projects(
        self, project: Path, capsys: Capture
    ):
        assert main([]) == 0
        printed = capsys.readouterr().out
        assert "examples:" in printed
        assert printed.endswith("projects:\n  projects/tiny.yaml\n")

    def test_without_projects_it_names_the_command_that_writes_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
    ):
        monkeypatch.chdir(tmp_path)
        assert main([]) == 0
        assert "none here; mmvt init DIR" in capsys.readouterr().out

    def test_an_unknown_job_type_lists_the_known_ones(self, project: Path, capsys: Capture):
        assert errors(capsys, str(project), "--jobtype", "local_bgi") == [
            (
                "no job type named 'local_bgi'; did you mean local_big? (there are local_single, "
                "local_small, local_big, local_predict, slurm_single, slurm_small, slurm_big, "
                "slurm_predict)"
            )
        ]

    def test_a_missing_project_suggests_its_neighbour(self, project: Path, capsys: Capture):
        assert errors(capsys, "projects/tinny.yaml") == [
            "projects/tinny.yaml: does not exist; did you mean tiny.yaml?"
        ]


class TestExpanding:
    def test_without_a_job_type_it_only_expands(self, project: Path, capsys: Capture):
        before = files()
        assert main([str(project), "dataset.max_len=20"]) == 0
        assert capsys.readouterr().out == "expanded projects/tiny/tiny.yaml\n"
        new = {"projects/tiny", "projects/tiny/tiny.yaml", "projects/tiny/.gitignore"}
        assert files() - before == new
        assert read_yaml(Path("projects/tiny/tiny.yaml")).data["dataset"]["max_len"] == 20

    def test_a_dry_run_writes_expansions_alone_and_prints_command_and_configuration(
        self, project: Path, capsys: Capture
    ):
        Path("runs").mkdir()
        before = files()
        assert main([str(project), "--jobtype", "local_big", "--dryrun"]) == 0
        new = {"projects/tiny", "projects/tiny/tiny.yaml", "projects/tiny/.gitignore"}
        assert files() - before == new
        printed = capsys.readouterr().out
        (command,) = commands(printed)
        start = command.index("--standalone")
        assert Path(command[start - 1]).name in ("torchrun", "torch.distributed.run")
        assert command[start:] == [
            "--standalone",
            "--nproc_per_node=8",
            *TRAIN,
            "projects/tiny/tiny.yaml",
        ]
        body = printed.split("# projects/tiny/tiny.yaml\n")[1].split("\n\n")[0]
        assert body == Path("projects/tiny/tiny.yaml").read_text().split("\n", 1)[1].rstrip()

    def test_one_process_needs_no_torchrun(self, project: Path, capsys: Capture):
        assert main([str(project), "--dryrun", "--jobtype", "local_single"]) == 0
        assert commands(capsys.readouterr().out) == [
            [sys.executable, *TRAIN, "projects/tiny/tiny.yaml"]
        ]

    def test_evaluation_takes_the_group_test(self, project: Path, capsys: Capture):
        task = Path("projects/task")
        (task / "score.yaml").write_text((task / "tiny.yaml").read_text())
        text = project.read_text()
        project.write_text(f"{text}  test:\n    task_list: [score.yaml]\n")
        for job, name in (("local_predict", "score"), ("local_single", "tiny")):
            assert main([str(project), "--jobtype", job, "--dryrun"]) == 0
            (command,) = commands(capsys.readouterr().out)
            assert command[-1] == f"projects/tiny/{name}.yaml"

    def test_an_edited_expansion_is_kept_unless_forced(self, project: Path, capsys: Capture):
        assert main([str(project)]) == 0
        expansion = add(Path("projects/tiny/tiny.yaml"), "# mine\n")
        (problem,) = errors(capsys, str(project))
        assert problem == (
            "projects/tiny/tiny.yaml: was edited or written by hand; rename it, or add --force to "
            "have it overwritten from projects/tiny.yaml"
        )
        assert main([str(project), "--force"]) == 0
        assert "# mine" not in expansion.read_text()

    def test_the_grammar_holds_from_yaml_and_command_line_to_the_expansion(
        self, project: Path, capsys: Capture
    ):
        add(
            project,
            "head: {temperature: 0.5}\ntrunk: {num_hidden_video_layers: null}\n"
            "fairseq: {optimization: {lr: [5e-5, 1e-5], max_update: null}}\n"
            "encoders: {video: {name: VideoTokenMLP, input_dim: 8}}\nloss: SymmetricNCE\n",
        )
        words = [
            "loss=TextToVideoNCE",
            "head.normalize=true",
            "fairseq.optimization.clip_norm=null",
        ]
        assert main([str(project), *words, "fairseq.dataset.batch_size=8"]) == 0
        data = read_yaml(Path("projects/tiny/tiny.yaml")).data
        assert data["head"] == {"name": "ContrastiveHead", "temperature": 0.5, "normalize": True}
        assert data["trunk"] == {"name": "SeparateTrunk", "pretrained": False}
        assert data["loss"] == "TextToVideoNCE"
        optimization = data["fairseq"]["optimization"]
        assert optimization["lr"] == [5e-5, 1e-5]
        assert not {"max_update", "clip_norm"} & set(optimization)
        assert data["fairseq"]["dataset"] == {"batch_size": 8, "num_workers": 0}

    def test_a_value_stays_as_it_is_through_to_the_words_of_the_command(
        self, project: Path, capsys: Capture
    ):
        template = Path("projects/task/tiny.yaml")
        override = f"dataset.store={SHELL}=a: b # c"
        assert main([str(template), override, "--dryrun", "--jobtype", "local_single"]) == 0
        (command,) = commands(capsys.readouterr().out)
        assert command == [sys.executable, *TRAIN, str(template), override]
        assert main([str(project), override]) == 0
        expanded = read_yaml(Path("projects/tiny/tiny.yaml")).data
        assert expanded["dataset"]["store"] == f"{SHELL}=a: b # c"


class TestCluster:
    def test_a_dry_run_says_what_slurm_is_asked_for_and_the_command_of_the_first_node(
        self, project: Path, capsys: Capture
    ):
        words = ["--jobtype", "slurm_big", "--gpus", "4", "--partition", "gpu", "--dryrun"]
        assert main([str(project), *words, "--log-level", "debug"]) == 0
        printed = capsys.readouterr().out
        (command,) = commands(printed)
        assert command[1:] == [
            "-m",
            "torch.distributed.run",
            "--nnodes=2",
            "--node_rank=0",
            "--master_addr=FIRST_NODE",
            "--master_port=20000",
            "--nproc_per_node=4",
            *TRAIN,
            "projects/tiny/tiny.yaml",
            "--log-level",
            "debug",
        ]
        asked = "name=mmvt-tiny, nodes=2, tasks_per_node=1, gpus_per_node=4, timeout_min=1440"
        assert printed.endswith(f"# Slurm: {asked}, slurm_partition=gpu\n")

    def test_options_of_a_cluster_need_a_job_for_it(self, project: Path, capsys: Capture):
        words = ["--jobtype", "local_big", "--nodes", "2", "--partition", "gpu"]
        assert errors(capsys, str(project), *words) == [
            "--partition, --nodes: only the job types slurm_* take that"
        ]


class TestProblems:
    def test_every_slip_of_a_project_is_told_at_once_with_its_line(
        self, project: Path, capsys: Capture
    ):
        add(
            project,
            "dataset:\n  aligner: OverlapedAligner\n  max_vidoe_len: 9\n  max_len: x\n"
            "  bert_name: null\nhaed: {}\nfairseq: {optimization: {max_epohc: 3}}\n"
            "plugins: [gone.py]\n",
        )
        found = errors(capsys, str(project), "--jobtype", "local_single")
        assert [problem.split(": ", 1) for problem in found] == [
            [f"{project}:{line}", text]
            for line, text in (
                (6, ("dataset.bert_name is missing; CaptionTextProcessor needs it: name or folder "
                     "of the tokenizer.")),
                (7, ("dataset.aligner: no aligner named 'OverlapedAligner'; did you mean Overlapped"
                    "Aligner?")),
                (8, "dataset.max_vidoe_len is used by no plugin; did you mean 'max_video_len'?"),
                (9, "dataset.max_len must be int, not str 'x'"),
                (11, "haed is no section; did you mean 'head'?"),
                (12, ("fairseq.optimization.max_epohc is no option of fairseq's training; did you "
                     "mean 'max_epoch'?")),
                (13, f"the plugin file {Path('projects/gone.py').resolve()} does not exist"),
            )
        ]  # fmt: skip

    def test_a_wrong_type_and_a_missing_key(self, project: Path, capsys: Capture):
        add(project, "dataset:\n  max_len: x\n  bert_name: null\n")
        found = errors(capsys, str(project))
        assert found == [
            (
                f"{project}:6: dataset.bert_name is missing; CaptionTextProcessor needs it: name "
                "or folder of the tokenizer."
            ),
            f"{project}:7: dataset.max_len must be int, not str 'x'",
        ]

    def test_a_broken_include_hides_no_other_problem_of_a_project(
        self, project: Path, capsys: Capture
    ):
        add(project, "includes: [gone.yaml]\nhaed: {}\ndataset: {max_len: x, max_lne: 1}\n")
        assert errors(capsys, str(project)) == [
            f"{project}:6: the included file gone.yaml does not exist",
            f"{project}:7: haed is no section; did you mean 'head'?",
            f"{project}:8: dataset.max_len must be int, not str 'x'",
            f"{project}:8: dataset.max_lne is used by no plugin; did you mean 'max_len'?",
        ]

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            ("includes: ../outside.yaml", ":1: the included file ../outside.yaml lies outside of "),
            ("includes: link.yaml", ":1: the included file link.yaml lies outside of "),
            (
                "includes: tinny.yaml",
                ":1: the included file tinny.yaml does not exist; did you mean ",
            ),
            ("includes: [env.yaml]", "env.yaml:1: head.temperature: only the file named on the "),
            ("plugins: [../own.py]", ":1: the plugin file "),
            ("a: 1\na: 2", ":2: a is given twice"),
            (
                "head: ContrastiveHead\n  x: 1",
                ":2: is no YAML: mapping values are not allowed here",
            ),
            ("\ufeffhaed: x", ":1: haed is no section; did you mean 'head'?"),
            (b"a: \xff", ": is not UTF-8 text (at byte 3)"),
            ("", ": head is missing; name one of "),
            ("head: '${oc.decode:x}'", ":1: head: '${oc.decode:x}': only ${key.sub} and "),
        ],
    )
    def test_what_is_refused_is_told_with_its_place(
        self,
        project: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: Capture,
        content: str | bytes,
        problem: str,
    ):
        # work where nothing but projects/ is a root
        monkeypatch.chdir(tmp_path / "projects")
        (tmp_path / "outside.yaml").write_text("head: ContrastiveHead\n")
        Path("link.yaml").symlink_to(tmp_path / "outside.yaml")
        Path("env.yaml").write_text("head: {temperature: '${oc.${a}:HOME}'}\n")
        own = Path("own.yaml")
        own.write_bytes(content if isinstance(content, bytes) else content.encode())
        found = errors(capsys, str(own))
        place = problem if problem.startswith("env") else f"own.yaml{problem}"
        assert any(line.startswith(place) for line in found), found

    def test_an_include_cycle_is_one_clear_error(self, project: Path):
        Path("projects/a.yaml").write_text("includes: b.yaml\n")
        Path("projects/b.yaml").write_text("includes: a.yaml\n")
        done = locallaunch("projects/a.yaml")
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr == (
            "error: projects/b.yaml:1: includes form a cycle: projects/a.yaml → projects/b.yaml → "
            "projects/a.yaml\n"
        )

    def test_an_untrusted_template_is_one_error_unless_trusted(
        self, project: Path, capsys: Capture
    ):
        Path("projects/task/mine.py").write_text("raise RuntimeError('imported')")
        template = add(Path("projects/task/tiny.yaml"), "plugins: [mine.py]\n")
        line = len(template.read_text().splitlines())
        assert errors(capsys, str(project)) == [
            (
                f"{template}:{line}: plugins are imported only for the file named on the command "
                "line; move the key there, or add --trust-code"
            )
        ]
        (problem,) = errors(capsys, str(project), "--trust-code")
        assert "mine.py fails to import: RuntimeError: imported" in problem
        Path("projects/task/mine.py").write_text(
            "from mmvt.processors.sampling import WholeSampler\n\n\n"
            "class Mine(WholeSampler):\n    pass\n"
        )
        words = [str(project), "--trust-code", "--jobtype", "local_single", "--dryrun"]
        assert main(words) == 0
        (command,) = commands(capsys.readouterr().out)
        assert command[-1] == "--trust-code"

    def test_absent_data_names_the_command_that_makes_it(self, project: Path, capsys: Capture):
        add(project, "prepare: mmvt demo data\ndataset: {store: nowhere}\n")
        assert main([str(project), "--jobtype", "local_single"]) == 2
        error = capsys.readouterr().err
        assert "projects/tiny/tiny.yaml: nowhere: there is no feature store" in error
        assert error.endswith("; make it with: mmvt demo data\n")

    def test_objects_and_bombs_are_refused(self, project: Path, capsys: Capture):
        add(project, "dataset: !!python/object/apply:os.system ['touch x']\n")
        found = errors(capsys, str(project))
        assert found[0].startswith(f"{project}:6: the tag !!python/object/apply:os.system is not")
        bomb = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
            f"{key}: &{key} [{', '.join([f'*{below}'] * 8)}]\n"
            for below, key in zip("abcdefgh", "bcdefghi", strict=True)
        )
        project.write_text(bomb)
        assert errors(capsys, str(project)) == [
            f"{project}: holds more than 20000 values, with its aliases"
        ]


EXITS = '''\
import pathlib
from mmvt.tasks.task import Task


class ExitingTask(Task):
    """Writes a note and ends the process.

    Args:
        note: any text.
    """

    def __init__(self, *, note: str, subsampling: int = 1, seed: int = 1) -> None:
        super().__init__(subsampling=subsampling, seed=seed)
        pathlib.Path("note.txt").write_text(note)
        raise SystemExit(7)
'''


def test_a_failed_job_gives_its_exit_code_and_ends_the_project(project: Path):
    Path("projects/exits.py").write_text(EXITS)
    templates = Path("projects/task")
    (templates / "second.yaml").write_text((templates / "tiny.yaml").read_text())
    text = project.read_text().replace("[tiny.yaml]", "[second.yaml, tiny.yaml]")
    project.write_text(
        f"{text}run_task: [tiny.yaml, second.yaml]\nplugins: [exits.py]\n"
        f"task:\n  name: ExitingTask\n  note: {SHELL}\n"
    )
    before = files()
    done = locallaunch(str(project), "--jobtype", "local_single", f"prepare={SHELL}")
    assert done.returncode == 7, done.stderr
    assert "error: projects/tiny/tiny.yaml ended with exit code 7" in done.stderr
    assert "expanded projects/tiny/second.yaml" in done.stdout
    assert [words[-1] for words in commands(done.stdout)] == ["projects/tiny/tiny.yaml"]
    # a value that a shell would run reaches the job's plugin, and nothing else happens
    assert Path("note.txt").read_text() == SHELL
    assert not [name for name in files() - before if Path(name).name.startswith("x")]
