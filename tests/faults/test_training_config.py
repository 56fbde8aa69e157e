"""Faults of configurations: slips are told with their line, and no YAML makes anything run."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmvt.config.recipe import Recipe
from mmvt.errors import MissingWeightsError, MMVTError
from mmvt_cli.launch import main
from tests.corpus import write_corpus, write_project, write_tokenizer
from tests.faults.runs import at_event

pytestmark = [pytest.mark.faults, pytest.mark.training]

Capture = pytest.CaptureFixture[str]
SHELL = "$(touch pwned); rm -rf * | touch pwned & > pwned `touch pwned` '\" \\ %s !x"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"), videos=6)


@pytest.fixture
def project(tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project whose folder, the working directory, is the only root."""
    write_project(tmp_path, corpus)
    (tmp_path / "outside.yaml").write_text("head: ContrastiveHead\n")
    monkeypatch.chdir(tmp_path / "projects")
    return Path("tiny.yaml")


def refused(capsys: Capture, *words: str) -> list[str]:
    """Return the errors of the launcher, which must run nothing and write nothing."""
    before = set(Path("..").rglob("*"))
    assert main([*words, "--jobtype", "local_single"]) == 2
    assert set(Path("..").rglob("*")) == before
    lines = capsys.readouterr().err.splitlines()
    return [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]


def appended(project: Path, text: str) -> int:
    """Append lines to a project; return the number of the first."""
    before = project.read_text()
    project.write_text(before + text)
    return len(before.splitlines()) + 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dataset: {max_vidoe_len: 8}", "is used by no plugin; did you mean 'max_video_len'?"),
        ("haed: ContrastiveHead", "haed is no section; did you mean 'head'?"),
        ("dataset: {max_len: many}", "dataset.max_len must be int, not str 'many'"),
        ("dataset: {aligner: OverlapedAligner}", "did you mean OverlappedAligner?"),
        ("fairseq: {optimization: {max_epohc: 3}}", "did you mean 'max_epoch'?"),
        ("fairseq: {dataset: {batch_size: x}}", "invalid int value: 'x'"),
        ("includes: tinny.yaml", "tinny.yaml does not exist; did you mean tiny.yaml?"),
        ("includes: ../outside.yaml", "the included file ../outside.yaml lies outside of"),
        ("includes: link.yaml", "the included file link.yaml lies outside of"),
        ("head: ContrastiveHead\nhead: MTMHead", "head is given twice"),
    ],
)
def test_t31_a_slip_is_told_with_file_and_line(
    project: Path, capsys: Capture, text: str, message: str
):
    Path("link.yaml").symlink_to(Path("../outside.yaml").resolve())
    line = appended(project, text + "\n") + text.count("\n")
    (problem,) = refused(capsys, str(project))
    assert message in problem
    assert problem.partition(": ")[0] == f"{project}:{line}"


def test_t31_a_cycle_of_includes_names_its_files(project: Path, capsys: Capture):
    Path("a.yaml").write_text("includes: b.yaml\n")
    Path("b.yaml").write_text("includes: a.yaml\n")
    assert refused(capsys, "a.yaml") == [
        "b.yaml:1: includes form a cycle: a.yaml → b.yaml → a.yaml"
    ]


def test_t31_all_slips_are_told_at_once(project: Path, capsys: Capture):
    line = appended(project, "haed: x\ndataset:\n  max_len: many\n  stroe: x\n")
    problems = refused(capsys, str(project), "lsos=x")
    places = [problem.partition(": ")[0] for problem in problems]
    lines = [f"{project}:{line + more}" for more in (0, 2, 3)]
    assert places == ["command line", *lines]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loss: !!python/object/apply:os.system ['touch pwned']", "python/object/apply:os.system"),
        ("loss: !!python/object/new:os.system ['touch pwned']", "!!python/object/new:os.system"),
        ("loss: !!python/name:os.system ''", "the tag !!python/name:os.system is not allowed"),
        ("loss: !mine {a: 1}", "the tag !mine is not allowed"),
        ("head: {_target_: os.system, command: touch pwned}", "head._target_ is used by no plugin"),
        ("_target_: os.system", "_target_ is no section"),
        ("loss: os.system", "no loss named 'os.system'"),
        ("loss: {name: subprocess.Popen}", "no loss named 'subprocess.Popen'"),
        ("dataset: {aligner: ../evil.py}", "no aligner named '../evil.py'"),
        ("loss: '${oc.decode:x}'", "only ${key.sub} and ${oc.env:NAME} can be interpolated"),
        ("loss: '${eval:1}'", "only ${key.sub} and ${oc.env:NAME} can be interpolated"),
        ("loss: '${oc.create:{a: 1}}'", "only ${key.sub} and ${oc.env:NAME} can be interpolated"),
        ("loss: '${loss}'", "references form a cycle"),
        ("fairseq: {common: {user_dir: evil}}", "user_dir imports code"),
        ("fairseq: {common: {user-dir: evil}}", "'user-dir' is no name of an option"),
        ("fairseq: {task: {recipe: evil.yaml}}", "recipe is no option here"),
        ("fairseq: {task: {trust_code: true}}", "trust_code is no option here"),
        (
            "fairseq: {optimization: {adam_betas: \"__import__('os').system('touch pwned')\"}}",
            "adam_betas must be numbers",
        ),
        ("plugins: ['../evil.py']", "lies outside of"),
    ],
)
def test_t36_a_yaml_runs_nothing(project: Path, capsys: Capture, text: str, message: str):
    (project.parent / "../evil.py").write_text("import pathlib; pathlib.Path('pwned').touch()")
    appended(project, text + "\n")
    assert any(message in problem for problem in refused(capsys, str(project)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("plugins: [evil.py]", "plugins are imported only for the file named on the command line"),
        ("head: {temperature: '${oc.env:HOME}'}", "only the file named on the command line may"),
        ("head: {temperature: '${oc.${x}:HOME}'}", "only the file named on the command line may"),
        ("loss: '${mmvt.run:x}'", "only the file named on the command line may"),
    ],
)
def test_t36_an_included_file_asks_neither_for_code_nor_for_the_environment(
    project: Path, capsys: Capture, text: str, message: str
):
    Path("evil.py").write_text("import pathlib; pathlib.Path('pwned').touch()")
    Path("included.yaml").write_text(text + "\n")
    appended(project, "includes: included.yaml\n")
    (problem,) = refused(capsys, str(project))
    assert problem.startswith("included.yaml:1: ")
    assert message in problem


@pytest.mark.parametrize("depth", [10, 200])
def test_t36_aliases_of_aliases_are_refused(project: Path, capsys: Capture, depth: int):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, depth)]
    Path("bomb.yaml").write_text("\n".join(lines) + "\n")
    appended(project, "includes: bomb.yaml\n")
    assert refused(capsys, "bomb.yaml") == [
        "bomb.yaml: holds more than 20000 values, with its aliases"
    ]
    assert "bomb.yaml: holds more than" in refused(capsys, str(project))[0]


def test_t36_characters_of_a_shell_stay_in_their_word(project: Path, capsys: Capture):
    override = f"fairseq.checkpoint.save_dir=runs/{SHELL}"
    for job in ("local_single", "local_big", "slurm_single", "slurm_big"):
        assert main(["task/tiny.yaml", override, "--jobtype", job, "--dryrun"]) == 0
        printed = capsys.readouterr().out.splitlines()
        (command,) = [shlex.split(line) for line in printed if "mmvt_cli.train" in line]
        assert (command[0], command[-1]) == (sys.executable, override)
    assert not list(Path("..").rglob("pwned"))


@pytest.fixture
def network() -> Iterator[list[tuple[object, ...]]]:
    """Return what is asked of the network, none of which is granted."""
    asked: list[tuple[object, ...]] = []

    def refuse(*arguments: object) -> None:
        asked.append(arguments)
        raise OSError("no network")

    with at_event({"socket.connect", "socket.getaddrinfo"}, refuse):
        yield asked


def test_t37_weights_that_bring_code_run_none_of_it(
    project: Path, tmp_path: Path, network: list[tuple[object, ...]]
):
    folder = write_tokenizer(tmp_path / "model")
    (folder / "evil.py").write_text("import pathlib; pathlib.Path('pwned').touch()")
    classes = {"AutoConfig": "evil.A", "AutoModel": "evil.B", "AutoTokenizer": ["evil.C", None]}
    for name in ("config.json", "tokenizer_config.json"):
        content = json.loads((folder / name).read_text())
        remote = {"auto_map": classes, "_name_or_path": "someone/remote"}
        (folder / name).write_text(json.dumps(content | remote))
    recipe = Recipe.load(Path("task/tiny.yaml"), [f"dataset.bert_name={folder}"])
    with contextlib.suppress(MMVTError):  # refused, or built of what is known
        recipe.model()
        recipe.dataset("train")[0]
    assert not list(Path("..").rglob("pwned"))
    assert network == []


def test_t37_a_name_is_looked_for_on_this_machine_alone(
    project: Path, monkeypatch: pytest.MonkeyPatch, network: list[tuple[object, ...]]
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    recipe = Recipe.load(Path("task/tiny.yaml"), ["dataset.bert_name=someone/remote"])
    with pytest.raises(MissingWeightsError, match="put its config.json"):
        recipe.dataset("train")
    with pytest.raises(MissingWeightsError, match="put its config.json"):
        recipe.model()
    assert network == []
