"""Tests of expanding a project over task templates, and of the files that it writes."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmvt.config.compose import TEMPLATES
from mmvt.config.project import is_generated, load_project, load_task
from mmvt.config.yaml_file import read_yaml
from mmvt.errors import ConfigError

TEMPLATE = """\
dataset: {max_len: 32, aligner: OverlappedAligner}
head: {name: ContrastiveHead, temperature: 0.1}
fairseq:
  checkpoint: {save_dir: runs/task/one, restore_file: runs/tasks/other}
  common: {log: [runs/task, x]}
"""
PROJECT = """\
project_dir: mine
base_dir: task
task_group:
  pretrain: {task_list: [one.yaml, two.yaml]}
  test: {task_list: [score.yaml]}
"""

Write = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder ``projects`` with three templates, in the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two", "score"):
        write(tmp_path / f"projects/task/{name}.yaml", TEMPLATE)
    return tmp_path / "projects"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def problems(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_project(path, overrides)
    return [problem.removeprefix(f"{path}:") for problem in caught.value.problems]


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


class TestTasks:
    def test_a_template_is_stamped_with_the_project_then_the_group_then_the_command_line(
        self, folder: Path
    ):
        path = write(
            folder / "mine.yaml",
            PROJECT.replace("two.yaml]", "two.yaml], dataset: {max_len: 3, b: 3}")
            + "dataset: {max_len: 2, a: 2, b: 2}\nhead: {temperature: null}\n",
        )
        task = load_project(path, ["dataset.max_len=4"]).tasks["one.yaml"]
        assert task.layer.data == {
            "project_dir": "mine",
            "dataset": {"max_len": 4, "aligner": "OverlappedAligner", "a": 2, "b": 3},
            "head": {"name": "ContrastiveHead"},
            "fairseq": {
                "checkpoint": {"save_dir": "runs/mine/one", "restore_file": "runs/tasks/other"},
                "common": {"log": ["runs/mine", "x"]},
            },
        }
        assert task.layer.where(("dataset", "a")) == f"{path}:6"
        assert task.layer.where(("dataset", "aligner")) == "projects/task/one.yaml:1"
        score = load_project(path).tasks["score.yaml"]
        assert score.layer.data["dataset"]["max_len"] == 2

    def test_null_on_the_command_line_unsets_a_key_of_the_template(self, folder: Path):
        path = write(folder / "mine.yaml", PROJECT)
        layer = load_project(path, ["head.temperature=null"]).tasks["one.yaml"].layer
        assert layer.data["head"] == {"name": "ContrastiveHead"}

    def test_naming_another_head_is_one_line(self, folder: Path):
        path = write(folder / "mine.yaml", PROJECT + "head: {name: Other, x: 1}\n")
        layer = load_project(path).tasks["one.yaml"].layer
        assert layer.data["head"] == {"name": "Other", "x": 1}

    def test_a_folder_given_outright_is_not_moved(self, folder: Path):
        path = write(
            folder / "mine.yaml", PROJECT + "fairseq: {checkpoint: {restore_file: runs/task/x}}\n"
        )
        layer = load_project(path, ["fairseq.checkpoint.save_dir=runs/task/y"]).tasks["one.yaml"]
        checkpoint = layer.layer.data["fairseq"]["checkpoint"]
        assert checkpoint == {"save_dir": "runs/task/y", "restore_file": "runs/task/x"}

    def test_keys_of_the_project_can_be_changed_on_the_command_line(self, folder: Path):
        path = write(folder / "mine.yaml", PROJECT)
        project = load_project(path, ["project_dir=other", "run_task=[two.yaml]"])
        assert project.tasks["one.yaml"].path == Path("projects/other/one.yaml")
        assert project.steps == [["two.yaml"]]

    def test_a_yaml_without_groups_is_a_task(self, folder: Path):
        path = write(folder / "task.yaml", "a: null\nb: 1\n")
        project = load_project(path, ["c=1"])
        task = project.tasks["task.yaml"]
        assert (task.path, task.source, task.overrides) == (path, None, ("c=1",))
        assert task.layer.data == {"b": 1, "c": 1}
        assert project.steps == [["task.yaml"]]
        task.write()
        assert path.read_text() == "a: null\nb: 1\n"

    def test_the_expansion_lies_beside_a_project_outside_of_any_projects_folder(
        self, folder: Path, tmp_path: Path
    ):
        write(tmp_path / "conf/task/one.yaml", TEMPLATE)
        path = write(tmp_path / "conf/mine.yaml", PROJECT.replace(", two.yaml", ""))
        task = load_project(path).tasks["one.yaml"]
        assert task.path == Path("conf/mine/one.yaml")
        task.write()
        assert load_project(task.path).tasks["one.yaml"].layer.data == task.layer.data


class TestTemplates:
    def test_local_templates_come_before_packaged_ones(self, folder: Path):
        packaged = next(path.name for path in TEMPLATES.glob("task/*.yaml"))
        path = write(folder / "mine.yaml", PROJECT.replace("one.yaml, two.yaml", packaged))
        assert "trunk" in load_project(path).tasks[packaged].layer.data
        write(folder / f"task/{packaged}", "a: local\n")
        assert load_project(path).tasks[packaged].layer.data["a"] == "local"

    def test_an_unknown_template_suggests_its_neighbour_and_spares_the_others(self, folder: Path):
        path = write(folder / "mine.yaml", PROJECT.replace("two.yaml", "twoo.yaml"))
        project = load_project(path)
        assert project.tasks["twoo.yaml"].layer.problems == [
            f"{path}:4: there is no task template task/twoo.yaml; did you mean two.yaml?"
        ]
        assert project.tasks["one.yaml"].layer.problems == []

    def test_an_unknown_folder_of_templates_lists_nothing(self, folder: Path):
        path = write(folder / "mine.yaml", PROJECT.replace("base_dir: task", "base_dir: tsak"))
        assert load_project(path).tasks["one.yaml"].layer.problems == [
            f"{path}:4: there is no task template tsak/one.yaml (there are none)"
        ]

    @pytest.mark.parametrize("base_dir", ["../outside", "link"])
    def test_a_template_may_not_lie_outside(self, folder: Path, tmp_path: Path, base_dir: str):
        write(tmp_path / "outside/one.yaml", "a: 1\n")
        (folder / "link").symlink_to(tmp_path / "outside")
        path = write(
            folder / "mine.yaml",
            f"project_dir: p\nbase_dir: {base_dir}\ntask_group: {{g: {{task_list: [one.yaml]}}}}\n",
        )
        assert load_project(path).tasks["one.yaml"].layer.problems == [
            f"{path}:3: the task template {base_dir}/one.yaml lies outside of {folder}"
        ]

    def test_templates_are_not_trusted_unless_told(self, folder: Path):
        write(folder / "task/one.yaml", "plugins: [a.py]\nb: '${oc.env:HOME}'\n")
        path = write(folder / "mine.yaml", PROJECT)
        assert len(load_project(path).tasks["one.yaml"].layer.problems) == 2
        with pytest.raises(ConfigError, match="plugins are imported only for"):
            load_project(path).tasks["one.yaml"].write()
        trusted = load_project(path, trust_code=True).tasks["one.yaml"].layer
        assert trusted.problems == []
        assert trusted.data["b"] == "${oc.env:HOME}"


class TestStructure:
    def test_every_problem_of_a_project_is_told_at_once(self, folder: Path):
        path = write(
            folder / "mine.yaml",
            "project_dir: [a]\ntask_group:\n  one: {task_list: one.yaml}\n  two: 5\n"
            "  three: {task_list: [a.yaml, b.yaml, a.yaml]}\n  four: {task_list: [b.yaml]}\n",
        )
        assert problems(path) == [
            "1: project_dir must be plain text, not ['a']",
            " base_dir is missing; it names the folder of the task templates",
            "3: task_group.one.task_list must be a list of task files",
            "4: task_group.two.task_list must be a list of task files",
            "5: task_group.three.task_list: a.yaml is listed twice",
            "6: task_group.four.task_list: b.yaml is in another group already",
        ]

    def test_folders_are_not_interpolated(self, folder: Path):
        path = write(folder / "mine.yaml", PROJECT.replace(": mine", ": '${oc.env:HOME}'"))
        assert problems(path) == ["1: project_dir must be plain text, not '${oc.env:HOME}'"]

    def test_groups_must_be_groups(self, folder: Path):
        path = write(folder / "mine.yaml", "project_dir: a\nbase_dir: b\ntask_group: [a.yaml]\n")
        assert problems(path) == ["3: task_group must hold groups of tasks"]

    def test_a_broken_include_may_have_held_what_is_missing(self, folder: Path):
        path = write(folder / "mine.yaml", "includes: gone.yaml\ntask_group: {a: {task_list: 5}}\n")
        assert problems(path) == [
            "1: the included file gone.yaml does not exist",
            "2: task_group.a.task_list must be a list of task files",
        ]

    def test_a_group_can_be_unset(self, folder: Path):
        write(folder / "base.yaml", PROJECT)
        path = write(folder / "mine.yaml", "includes: base.yaml\ntask_group: {test: null}\n")
        assert list(load_project(path).tasks) == ["one.yaml", "two.yaml"]

    @pytest.mark.parametrize("project_dir", ["../out", "/out", "link"])
    def test_an_expansion_may_not_lie_outside(self, folder: Path, tmp_path: Path, project_dir: str):
        (tmp_path / "out").mkdir()
        (folder / "link").symlink_to(tmp_path / "out")
        path = write(
            folder / "mine.yaml",
            PROJECT.replace("project_dir: mine", f"project_dir: {project_dir}"),
        )
        found = load_project(path).tasks["one.yaml"].layer.problems
        assert found == [f"{path}:1: {project_dir}/one.yaml lies outside of {folder}"]

    def test_an_expansion_may_not_replace_its_template_or_its_project(self, folder: Path):
        path = write(
            folder / "mine.yaml", PROJECT.replace("project_dir: mine", "project_dir: task")
        )
        found = load_project(path).tasks["one.yaml"].layer.problems
        assert "expanding one.yaml would replace projects/task/one.yaml" in found[0]
        write(folder / "task/mine.yaml", TEMPLATE)
        text = PROJECT.replace("project_dir: mine", "project_dir: .").replace("two", "mine")
        path.write_text(text)
        found = load_project(path).tasks["mine.yaml"].layer.problems
        assert "would replace projects/mine.yaml" in found[0]


class TestSteps:
    def test_tasks_run_in_order_and_tests_only_when_evaluating(self, folder: Path):
        project = load_project(write(folder / "mine.yaml", PROJECT))
        assert project.steps == [["one.yaml"], ["two.yaml"]]
        assert project.test_steps() == [["score.yaml"]]
        path = write(folder / "other.yaml", PROJECT.replace("  test:", "  more:"))
        project = load_project(path)
        assert project.test_steps() == project.steps

    def test_run_task_gives_the_order_and_an_inner_list_runs_in_parallel(self, folder: Path):
        path = write(
            folder / "mine.yaml", PROJECT + "run_task: [two.yaml, [one.yaml, score.yaml]]\n"
        )
        assert load_project(path).steps == [["two.yaml"], ["one.yaml", "score.yaml"]]

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("[one.yaml, tow.yaml]", "'tow.yaml' is in no task_list; did you mean two.yaml?"),
            ("[{a: 1}]", "{'a': 1} is in no task_list"),
            ("one.yaml", "must be a list of tasks"),
        ],
    )
    def test_run_task_names_tasks(self, folder: Path, value: str, expected: str):
        path = write(folder / "mine.yaml", PROJECT + f"run_task: {value}\n")
        (problem,) = problems(path)
        assert problem.startswith("6: run_task")
        assert problem.endswith(expected)


class TestExpansions:
    def load(self, folder: Path, *overrides: str, text: str = PROJECT) -> Any:
        return load_project(write(folder / "mine.yaml", text), overrides).tasks["one.yaml"]

    def test_loading_writes_nothing(self, folder: Path, tmp_path: Path):
        path = write(folder / "mine.yaml", PROJECT)
        before = files(tmp_path)
        load_project(path)
        assert files(tmp_path) == before

    def test_the_header_names_source_and_sha256(self, folder: Path):
        self.load(folder).write()
        header, _, body = (folder / "mine/one.yaml").read_text().partition("\n")
        digest = hashlib.sha256(body.encode()).hexdigest()
        assert header == (
            f"# generated from projects/mine.yaml; edit that, not this; sha256 {digest}"
        )

    def test_an_expansion_reads_back_as_the_task(self, folder: Path):
        text = '$(touch x); rm -rf "*" | & > \''
        task = self.load(folder, f"a={text}", "b='5e-5'", "c=[1, null]", "d='1:30'")
        task.write()
        assert read_yaml(folder / "mine/one.yaml").data == task.layer.data
        assert task.layer.data["a"] == text
        assert task.layer.data["b"] == "5e-5"

    def test_an_expansion_is_rewritten_until_somebody_edits_it(self, folder: Path):
        target = folder / "mine/one.yaml"
        self.load(folder).write()
        self.load(folder, "dataset.max_len=7").write()
        assert read_yaml(target).data["dataset"]["max_len"] == 7

        target.write_text(target.read_text() + "# a note\n")
        with pytest.raises(
            ConfigError, match=r"mine/one.yaml: was edited .*; rename it, or add --"
        ):
            self.load(folder).write()
        assert "# a note" in target.read_text()
        self.load(folder).write(force=True)
        assert "# a note" not in target.read_text()

    @pytest.mark.parametrize("content", [b"", b"a: 1\n", b"\xff\xfe", b"# generated from x"])
    def test_a_file_that_was_never_generated_is_kept(self, folder: Path, content: bytes):
        target = write(folder / "mine/one.yaml", "")
        target.write_bytes(content)
        with pytest.raises(ConfigError, match="written by hand"):
            self.load(folder).write()
        assert target.read_bytes() == content

    def test_writing_the_same_again_leaves_the_file_alone(self, folder: Path):
        target = folder / "mine/one.yaml"
        self.load(folder).write()
        os.utime(target, (1, 1))
        self.load(folder).write()
        assert target.stat().st_mtime == 1

    def test_interpolations_stay_so_that_no_secret_is_written(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setenv("TOKEN", "hunter2")
        self.load(folder, text=PROJECT + "a: '${oc.env:TOKEN}'\n").write()
        assert "hunter2" not in (folder / "mine/one.yaml").read_text()

    def test_plugin_files_are_named_as_seen_from_the_expansion(self, folder: Path):
        text = PROJECT + "plugins: [sub/mine.py]\n"
        task = self.load(folder, text=text)
        assert task.layer.data["plugins"] == [str(folder / "sub/mine.py")]
        task.write()
        target = folder / "mine/one.yaml"
        assert read_yaml(target).data["plugins"] == ["../sub/mine.py"]
        again = load_project(target).tasks["one.yaml"]
        assert again.layer.data["plugins"] == [str(folder / "sub/mine.py")]
        assert again.layer.problems == []

    def test_a_name_over_two_lines_stays_in_the_header(self, folder: Path, tmp_path: Path):
        path = write(folder / "a\nplugins: [x.py]\n.yaml", PROJECT)
        task = load_project(path).tasks["one.yaml"]
        task.write()
        assert is_generated(task.path)
        assert "plugins" not in read_yaml(task.path).data


class TestGit:
    def status(self, folder: Path) -> str:
        command = ["git", "status", "--porcelain", "--untracked-files=all"]
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=True
        ).stdout

    def test_git_ignores_expansions_and_only_them(self, folder: Path, tmp_path: Path):
        subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
        (folder / "task/odd [1]*.yaml").write_text(TEMPLATE)
        text = PROJECT.replace("two.yaml]", "two.yaml, 'odd [1]*.yaml']")
        for task in load_project(write(folder / "mine.yaml", text)).tasks.values():
            task.write()
        write(folder / "mine/own.yaml", "a: 1\n")
        assert "mine/one.yaml" in files(folder)
        new = {line[3:] for line in self.status(tmp_path).splitlines() if "/mine/" in line}
        assert new == {"projects/mine/own.yaml"}

    def test_two_projects_share_a_folder(self, folder: Path):
        for name, task in (("a", "one.yaml"), ("b", "two.yaml")):
            path = write(folder / f"{name}.yaml", PROJECT.replace("one.yaml, two.yaml", task))
            load_project(path).tasks[task].write()
        lines = (folder / "mine/.gitignore").read_text().splitlines()
        assert lines[1:] == ["/.gitignore", "/one.yaml", "/two.yaml"]
        assert is_generated(folder / "mine/.gitignore")

    def test_a_gitignore_of_ones_own_is_left_alone(self, folder: Path):
        own = write(folder / "mine/.gitignore", "*.tmp\n")
        load_project(write(folder / "mine.yaml", PROJECT)).tasks["one.yaml"].write()
        assert own.read_text() == "*.tmp\n"


class TestExpansionsInMemory:
    @pytest.fixture
    def project(self, folder: Path) -> Path:
        return write(folder / "mine.yaml", PROJECT)

    def test_a_task_that_was_not_written_yet_is_what_the_project_makes_of_it(
        self, project: Path, folder: Path
    ):
        expected = load_project(project).tasks["one.yaml"].layer.data
        for path in (Path("projects/mine/one.yaml"), folder / "mine" / "one.yaml"):
            assert load_task(path).data == expected
        assert load_task(path, ["dataset.max_len=7"]).data["dataset"]["max_len"] == 7
        assert not (folder / "mine").exists()

    def test_it_is_launched_and_written_alone(self, project: Path, folder: Path):
        found = load_project(Path("projects/mine/two.yaml"))
        assert (list(found.tasks), found.steps) == (["two.yaml"], [["two.yaml"]])
        assert found.tasks["two.yaml"].source == Path("projects/mine.yaml")
        found.tasks["two.yaml"].write()
        assert files(folder / "mine") == {"two.yaml", ".gitignore"}

    def test_a_file_that_is_there_counts(self, project: Path, folder: Path):
        written = write(folder / "mine" / "one.yaml", "head: Mine\n")
        assert load_task(written).data == {"head": "Mine"}
        assert load_project(written).tasks["one.yaml"].source is None

    def test_a_task_that_the_project_lacks_is_named(self, project: Path):
        path = Path("projects/mine/oen.yaml")
        with pytest.raises(ConfigError, match=r"mine.yaml has no such task; did you mean one.yaml"):
            load_task(path)
        with pytest.raises(ConfigError, match=r"oen.yaml: does not exist, and projects/mine.yaml"):
            load_project(path)

    def test_without_a_project_the_file_is_missing(self, folder: Path):
        with pytest.raises(ConfigError, match=r"nowhere/one.yaml: does not exist"):
            load_task(Path("projects/nowhere/one.yaml"))

    def test_projects_that_come_with_mmvt_have_tasks_too(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.chdir(tmp_path)
        layer = load_task(Path("projects/retri/videoclip/how2.yaml"))
        assert layer.data["project_dir"] == "retri/videoclip"
        assert layer.data["fairseq"]["checkpoint"]["save_dir"] == "runs/retri/videoclip"
