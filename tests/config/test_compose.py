"""Tests of includes, trust and interpolation."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmvt.config.compose import (
    MAX_LOOKUPS,
    TEMPLATES,
    compose,
    compose_template,
    finished,
    resolve,
    root_of,
    shortest,
)
from mmvt.config.merge import Layer, dropped, read_overrides
from mmvt.config.yaml_file import UNKNOWN
from mmvt.errors import ConfigError


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder that is no root of the files of a test."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "elsewhere"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "projects").mkdir()
    return tmp_path / "projects"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class TestIncludes:
    def test_a_file_lies_over_those_it_includes_the_last_on_top(self, folder: Path):
        write(folder / "one.yaml", "a: 1\nb: 1\nc: {x: 1, y: 1}\n")
        write(folder / "sub/two.yaml", "b: 2\nc: {y: 2}\nd: 2\n")
        path = write(
            folder / "main.yaml", "includes: [one.yaml, sub/two.yaml]\nd: 3\nc: {x: null}\n"
        )
        layer = compose(path)
        assert layer.settled().data == {"a": 1, "b": 2, "c": {"y": 2}, "d": 3}
        assert layer.where(("b",)) == f"{folder}/sub/two.yaml:1"
        assert layer.where(("d",)) == f"{path}:2"
        assert layer.where(("gone",)) == str(path)
        assert layer.problems == []

    def test_paths_resolve_against_the_including_file_then_the_working_directory(
        self, folder: Path, elsewhere: Path
    ):
        write(folder / "sub/one.yaml", "includes: near.yaml\n")
        write(folder / "sub/near.yaml", "a: near\n")
        write(elsewhere / "near.yaml", "a: far\n")
        write(elsewhere / "far.yaml", "b: far\n")
        path = write(folder / "main.yaml", "includes: [sub/one.yaml, far.yaml]\n")
        assert compose(path).data == {"a": "near", "b": "far"}

    def test_packaged_templates_can_be_included(self, folder: Path):
        name = next(TEMPLATES.glob("task/*.yaml")).name
        path = write(folder / "main.yaml", f"includes: projects/task/{name}\n")
        assert "dataset" in compose(path).data

    def test_a_file_may_be_included_along_two_ways(self, folder: Path):
        write(folder / "base.yaml", "a: 1\n")
        write(folder / "one.yaml", "includes: base.yaml\n")
        write(folder / "two.yaml", "includes: base.yaml\n")
        layer = compose(write(folder / "main.yaml", "includes: [one.yaml, two.yaml]\n"))
        assert (layer.data, layer.problems) == ({"a": 1}, [])

    def test_many_ways_to_one_file_are_read_once(self, folder: Path):
        write(folder / "0.yaml", "a: 1\n")
        for n in range(1, 60):  # 2^60 ways
            write(folder / f"{n}.yaml", f"includes: [{n - 1}.yaml, {n - 1}.yaml]\n")
        assert compose(folder / "59.yaml").data == {"a": 1}

    def test_a_cycle_is_one_problem_that_shows_it(self, folder: Path):
        write(folder / "a.yaml", "x: 1\nincludes: b.yaml\n")
        write(folder / "b.yaml", "includes: c.yaml\n")
        write(folder / "c.yaml", "y: 1\nincludes: b.yaml\n")
        layer = compose(folder / "a.yaml")
        assert layer.problems == [
            (
                f"{folder}/c.yaml:2: includes form a cycle: "
                f"{folder}/b.yaml → {folder}/c.yaml → {folder}/b.yaml"
            )
        ]
        assert layer.data == {"x": 1, "y": 1}
        assert layer.partial
        write(folder / "self.yaml", "includes: self.yaml\n")
        assert "self.yaml → " in compose(folder / "self.yaml").problems[0]

    def test_a_missing_include_suggests_its_neighbour(self, folder: Path):
        write(folder / "sub/base.yaml", "a: 1\n")
        path = write(folder / "main.yaml", "b: 1\nincludes: sub/bsae.yaml\n")
        assert compose(path).problems == [
            f"{path}:2: the included file sub/bsae.yaml does not exist; did you mean base.yaml?"
        ]

    @pytest.mark.parametrize("name", ["../outside.yaml", "{tmp_path}/outside.yaml", "link.yaml"])
    def test_an_include_may_not_leave_the_roots(self, folder: Path, tmp_path: Path, name: str):
        write(tmp_path / "outside.yaml", "secret: 1\n")
        (folder / "link.yaml").symlink_to(tmp_path / "outside.yaml")
        name = name.format(tmp_path=tmp_path)
        path = write(folder / "main.yaml", f"includes: {name}\na: 1\n")
        layer = compose(path)
        assert layer.problems == [f"{path}:1: the included file {name} lies outside of {folder}"]
        assert layer.data == {"a": 1}

    def test_an_include_outside_does_not_tell_whether_it_is_yaml(
        self, folder: Path, tmp_path: Path
    ):
        write(tmp_path / "passwd", "root:x:0:0: [\n")
        problems = compose(write(folder / "main.yaml", "includes: ../passwd\n")).problems
        assert "lies outside of" in problems[0]
        assert "root" not in problems[0].replace(str(folder), "")

    @pytest.mark.parametrize("value", ["5", "{a: 1}", "[a.yaml, 5]", '"a\\0b.yaml"'])
    def test_includes_are_paths(self, folder: Path, value: str):
        write(folder / "a.yaml", "")
        path = write(folder / "main.yaml", f"includes: {value}\n")
        assert (
            compose(path)
            .problems[0]
            .startswith(f"{path}:1: includes must be a path or a list of paths, not ")
        )

    def test_what_is_wrong_in_an_include_keeps_its_place(self, folder: Path):
        write(folder / "bad.yaml", "a: [\n")
        write(folder / "twice.yaml", "a: 1\na: 2\n")
        layer = compose(write(folder / "main.yaml", "includes: [bad.yaml, twice.yaml]\nb: 1\n"))
        assert layer.problems[0].startswith(f"{folder}/bad.yaml:2: is no YAML: ")
        assert layer.problems[1:] == [f"{folder}/twice.yaml:2: a is given twice"]
        assert layer.data == {"a": 1, "b": 1}

    def test_the_file_itself_must_be_there(self, folder: Path):
        with pytest.raises(ConfigError, match=r"main.yaml: does not exist"):
            compose(folder / "main.yaml")

    def test_composing_writes_nothing(self, folder: Path, tmp_path: Path):
        write(folder / "base.yaml", "a: 1\n")
        path = write(folder / "main.yaml", "includes: base.yaml\n")
        before = snapshot(tmp_path)
        compose(path)
        assert snapshot(tmp_path) == before


class TestTrust:
    def test_the_named_file_may_list_plugins_and_read_the_environment(self, folder: Path):
        path = write(folder / "main.yaml", "plugins: [mine.py]\na: '${oc.env:HOME}'\n")
        layer = compose(path)
        assert layer.problems == []
        assert layer.data["plugins"] == [str(folder / "mine.py")]

    @pytest.mark.parametrize(
        "value",
        [
            "${oc.env:HOME}",
            "${oc.env:NO_SUCH,default}",
            "text ${oc.env:HOME} text",
            "${ oc.env : HOME }",
            "${oc.${b}:HOME}",
            "${oc.env:${b}}",
            "$${oc.env:HOME}",
            "\\\\${oc.env:HOME}",
            "${oc.decode:x}",
            "${eval:1}",
            "${",
        ],
    )
    def test_an_included_file_reads_no_environment_however_it_is_written(
        self, folder: Path, value: str
    ):
        included = write(
            folder / "base.yaml", f'a: 1\nb: env\nc: {{d: "{value}"}}\ne: ["{value}"]\n'
        )
        path = write(folder / "main.yaml", "includes: base.yaml\nf: 1\n")
        layer = compose(path)
        assert [problem.split(": ")[:2] for problem in layer.problems] == [
            [f"{included}:3", "c.d"],
            [f"{included}:4", "e"],
        ]
        assert "add --trust-code" in layer.problems[0]
        known = {"a": 1, "b": "env", "c": {}, "f": 1}
        assert dropped(layer.data, UNKNOWN) == known
        assert not layer.partial
        assert compose(path, trust_code=True).problems == []

    def test_references_are_open_to_all(self, folder: Path):
        write(folder / "base.yaml", "a: 1\nb: 'x${a}'\n")
        assert compose(write(folder / "main.yaml", "includes: base.yaml\n")).problems == []

    def test_an_included_file_lists_no_plugins(self, folder: Path):
        included = write(folder / "sub/base.yaml", "a: 1\nplugins: [mine.py]\n")
        path = write(folder / "main.yaml", "includes: sub/base.yaml\n")
        layer = compose(path)
        assert layer.problems == [
            (
                f"{included}:2: plugins are imported only for the file named on the command line; "
                "move the key there, or add --trust-code"
            )
        ]
        assert layer.data["plugins"] is UNKNOWN
        # with trust, a file is found from the folder of the YAML that lists it
        assert compose(path, trust_code=True).data["plugins"] == [str(folder / "sub/mine.py")]

    def test_a_template_is_not_trusted_and_its_includes_neither(self, folder: Path):
        write(folder / "task/base.yaml", "plugins: [a.py]\n")
        template = write(folder / "task/t.yaml", "includes: base.yaml\nx: '${oc.env:HOME}'\n")
        project = folder / "main.yaml"
        assert len(compose_template(template, project).problems) == 2
        assert compose_template(template, project, trust_code=True).problems == []


class TestPluginFiles:
    def finish(self, path: Path, trust_code: bool = False) -> Layer:
        return finished(compose(path), path, trust_code=trust_code)

    def test_files_within_the_root_are_kept(self, folder: Path):
        path = write(folder / "sub/main.yaml", "plugins: ../mine.py\na: null\n")
        layer = self.finish(path)
        assert (layer.data, layer.problems) == ({"plugins": [str(folder / "mine.py")]}, [])

    @pytest.mark.parametrize("name", ["../mine.py", "/mine.py", "link.py"])
    def test_a_file_outside_of_the_root_is_refused(self, folder: Path, tmp_path: Path, name: str):
        (folder / "link.py").symlink_to(tmp_path / "mine.py")
        path = write(folder / "main.yaml", f"a: 1\nplugins: [ok.py, {name}]\n")
        layer = self.finish(path)
        assert len(layer.problems) == 1
        assert layer.problems[0].startswith(f"{path}:2: the plugin file ")
        assert f"lies outside of {folder}" in layer.problems[0]
        assert layer.data == {"a": 1, "plugins": UNKNOWN}
        assert self.finish(path, trust_code=True).problems == []

    @pytest.mark.parametrize("value", ["5", "{a: b}", "[a.py, 5]"])
    def test_plugins_are_a_list_of_files(self, folder: Path, value: str):
        path = write(folder / "main.yaml", f"plugins: {value}\n")
        layer = self.finish(path)
        assert layer.problems[0].startswith(f"{path}:1: plugins must be a list of Python files")
        assert layer.data == {"plugins": UNKNOWN}

    def test_a_file_named_on_the_command_line_is_found_from_where_one_is(self, elsewhere: Path):
        path = write(elsewhere / "main.yaml", "")
        layer = finished(read_overrides(["plugins=[sub/mine.py]"]), path)
        assert layer.data["plugins"] == [str(elsewhere / "sub/mine.py")]


class TestRoots:
    def test_the_root_is_the_nearest_folder_named_projects(self, tmp_path: Path):
        assert root_of(tmp_path / "projects/a/b/c.yaml") == tmp_path / "projects"
        assert root_of(tmp_path / "projects/a/projects/c.yaml") == tmp_path / "projects/a/projects"

    def test_else_the_folder_of_the_file_or_of_its_project(self, tmp_path: Path):
        assert root_of(tmp_path / "a/b/c.yaml") == tmp_path / "a/b"
        assert root_of(tmp_path / "a/b/c.yaml", "b") == tmp_path / "a"
        assert root_of(tmp_path / "a/b/c.yaml", "a/b") == tmp_path
        assert root_of(tmp_path / "a/b/c.yaml", "other") == tmp_path / "a/b"
        assert root_of(tmp_path / "a/b/c.yaml", 5) == tmp_path / "a/b"

    def test_a_folder_of_all_ones_work_is_no_root(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        work = tmp_path / "projects/work"
        work.mkdir(parents=True)
        monkeypatch.chdir(work)
        assert root_of(Path("conf/a.yaml")) == work / "conf"
        monkeypatch.chdir(tmp_path / "projects")
        assert root_of(Path("a.yaml")) == tmp_path / "projects"

    def test_paths_are_shown_from_the_working_directory(self, elsewhere: Path, tmp_path: Path):
        assert shortest(elsewhere / "a.yaml") == Path("a.yaml")
        assert shortest(tmp_path / "a.yaml") == tmp_path / "a.yaml"


class TestResolving:
    def resolve(self, **data: object) -> Layer:
        return resolve(Layer(dict(data), {("a",): "x.yaml:1"}))

    def test_a_reference_alone_keeps_the_type(self):
        layer = self.resolve(a="${b}", b=5, c="${d.e}", d={"e": [1, "${b}"]}, f="${d}")
        assert layer.data == {
            "a": 5,
            "b": 5,
            "c": [1, 5],
            "d": {"e": [1, 5]},
            "f": {"e": [1, 5]},
        }

    def test_a_reference_within_text_becomes_text(self):
        assert self.resolve(a="runs/${b}-${c}/x", b=5, c=True).data["a"] == "runs/5-true/x"

    def test_the_environment_is_text(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("MMVT_TEST", "5")
        layer = self.resolve(a="${oc.env:MMVT_TEST}", b="${oc.env:NO_SUCH_VAR,x y}/z")
        assert layer.data == {"a": "5", "b": "x y/z"}

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ("${nowhere}", "${nowhere} leads nowhere"),
            ("${b.c}", "${b.c} leads nowhere"),
            ("${a}", "references form a cycle: a → a"),
            ("${cycle}", "references form a cycle: cycle → again → cycle"),
            ("${oc.env:NO_SUCH_VAR}", "the environment variable NO_SUCH_VAR is not set"),
            ("x${list}", "${list} is no text but a list"),
            ("${oc.decode:b}", "'${oc.decode:b}': only ${key.sub} and ${oc.env:NAME} can be"),
            ("${b", "'${b': only"),
            ("${b.${b}}", "'${b.${b}}': only"),
            ("x${unknown}", "${unknown} is no text but a Unknown"),
            # what a reference puts together is not read again
            ("$${brace}", "'$${brace}': only"),
        ],
    )
    def test_what_leads_nowhere_is_a_problem_at_its_key(self, value: str, message: str):
        data = {"a": value, "b": 1, "list": [1], "brace": "{oc.env:HOME}", "unknown": UNKNOWN}
        layer = self.resolve(**data, cycle="${again}", again="${cycle}")
        mine = [problem for problem in layer.problems if problem.startswith("x.yaml:1: a: ")]
        assert mine[0].removeprefix("x.yaml:1: a: ").startswith(message)
        assert layer.data["a"] is UNKNOWN
        assert layer.data["b"] == 1

    def test_every_problem_is_told(self):
        assert len(self.resolve(a="${x}", b="${y}", c={"d": ["${z}"]}).problems) == 3

    def test_references_do_not_multiply_without_end(self):
        data: dict[str, object] = {f"k{n}": f"${{k{n - 1}}}" * 2 for n in range(1, 30)}
        layer = self.resolve(**data, k0="x")
        assert any(f"more than {MAX_LOOKUPS} references" in p for p in layer.problems)

    def test_other_dollars_stay(self):
        text = '$(touch x); rm -rf "*" | & > \' $HOME {a} \\$'
        assert self.resolve(a=text).data["a"] == text
