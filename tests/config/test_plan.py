"""Tests of binding configurations to constructors: short and long form, claims, problems."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmvt.config.merge import Layer
from mmvt.config.plan import Planner
from mmvt.config.yaml_file import UNKNOWN, parse_yaml
from mmvt.plugins import KINDS, Plugins, load_plugins
from mmvt.processors.aligners.sampled import OverlappedAligner, SampledAligner
from mmvt.processors.base import Layout, MetaProcessor, Sampler
from mmvt.processors.sampling import OverlappedSampler

NAMES = ", ".join(sorted([*KINDS["layout"][1], "PlainLayout"]))
LAYOUTS = f"one of {NAMES}"


class ListMeta(MetaProcessor):
    """Lists numbers.

    Args:
        split: part of the data.
        count: how many there are.
        layout: an optional plugin.
    """

    def __init__(self, *, split: str, count: int = 2, layout: Layout | None = None) -> None:
        self.split, self.count, self.layout = split, count, layout

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[str, Any]:
        return str(index), index


class PlainLayout(Layout):
    """Writes nothing.

    Args:
        max_len: length in tokens.
        scale: a factor.
    """

    def __init__(self, *, max_len: int, scale: float = 1.0) -> None:
        self.max_len, self.scale = max_len, scale

    def __call__(self, *_: object) -> dict[str, Any]:  # type: ignore[override]
        return {}


class Holder:
    """Holds an aligner.

    Args:
        aligner: aligns.
        seed: of the run.
    """

    def __init__(self, *, sampler: Sampler, layout: Layout, seed: int = 1) -> None:
        self.sampler, self.layout, self.seed = sampler, layout, seed


def planner(
    text: str,
    defaults: dict[str, str | None] | None = None,
    *,
    partial: bool = False,
    **kwargs: Any,
) -> Planner:
    file = parse_yaml(text, Path("a.yaml"))
    plugins = Plugins()
    for kind, cls in (("layout", PlainLayout), ("meta_processor", ListMeta)):
        plugins.registries[kind].add(cls)
    layer = Layer(file.data, {(): "a.yaml", **file.lines}, partial=partial)
    return Planner(layer.settled(), plugins, defaults, **kwargs)


def reported(plans: Planner, *sections: str) -> list[str]:
    plans.report_unclaimed(sections, ("fairseq",))
    return plans.problems


def test_the_short_form_reads_the_shared_section():
    plans = planner("dataset: {layout: PlainLayout, max_len: 5}")
    plan = plans.slot("layout", ("dataset", "layout"))
    assert plan is not None
    assert plan.values == {"max_len": 5}
    assert reported(plans, "dataset") == []
    assert plan.build().max_len == 5


def test_the_long_form_has_fields_of_its_own_and_shares_the_rest():
    plans = planner(
        "dataset: {layout: {name: PlainLayout, scale: 2}, max_len: 5, scale: 9, count: 3}"
    )
    plan = plans.slot("layout", ("dataset", "layout"))
    meta = plans.bind(ListMeta, ("dataset",))
    assert plan is not None
    assert plan.values == {"scale": 2.0, "max_len": 5}
    assert meta.values["count"] == 3
    assert reported(plans, "dataset") == [
        "a.yaml:1: dataset.scale is not used; the plugins that take it have a value of their own"
    ]


def test_a_plugin_holds_plugins_and_builds_them():
    plans = planner(
        "dataset:\n"
        "  aligner: {name: SampledAligner, sampler: WholeSampler, subsampling: 2}\n"
        "  layout: PlainLayout\n  max_len: 7\n"
    )
    plan = plans.slot("aligner", ("dataset", "aligner"))
    assert plan is not None
    aligner = plan.build()
    assert isinstance(aligner, SampledAligner)
    assert aligner.subsampling == 2
    assert isinstance(aligner.layout, PlainLayout)
    assert aligner.layout.max_len == 7
    assert reported(plans, "dataset") == []


def test_a_default_fills_an_open_slot_and_a_choice_has_precedence():
    text = "dataset: {sampler: WholeSampler, max_len: 5%s}"
    plan = planner(text % "", {"layout": "PlainLayout"}).bind(Holder, ("dataset",))
    assert plan.values["layout"].cls is PlainLayout
    text = text % ", layout: {name: PlainLayout, max_len: 6}"
    plan = planner(text, {"layout": "VideoTextLayout"}).bind(Holder, ("dataset",))
    assert plan.values["layout"].values == {"max_len": 6}


def test_an_optional_plugin_stays_out_unless_it_is_named():
    assert planner("dataset: {}").bind(ListMeta, ("dataset",)).values == {}
    plan = planner("dataset: {layout: {name: PlainLayout, max_len: 1}}").bind(
        ListMeta, ("dataset",)
    )
    assert plan.build(split="train").layout.max_len == 1


def test_the_context_gives_what_a_yaml_cannot():
    plans = planner("dataset: {sampler: WholeSampler, layout: PlainLayout, max_len: 1}")
    plan = plans.bind(Holder, ("dataset",))
    assert plan.build(seed=7, split="unused").seed == 7
    assert plan.build().seed == 1
    fixed = planner("dataset: {sampler: WholeSampler, layout: PlainLayout, max_len: 1, seed: 3}")
    assert fixed.bind(Holder, ("dataset",)).build(seed=7).seed == 3


def test_samplers_of_two_kinds_share_a_field():
    plans = planner(
        "dataset:\n  aligner: OverlappedAligner\n  layout: PlainLayout\n  max_len: 9\n"
        "  max_video_len: 4\n  sampled_min_len: 2\n  sampled_max_len: 3\n"
    )
    plan = plans.slot("aligner", ("dataset", "aligner"))
    assert plan is not None
    aligner = plan.build()
    assert isinstance(aligner, OverlappedAligner)
    assert isinstance(aligner.sampler, OverlappedSampler)
    assert reported(plans, "dataset") == []


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (
            "dataset:\n  layout: PlainLayuot\n  max_len: 5\n",
            ["a.yaml:2: dataset.layout: no layout named 'PlainLayuot'; did you mean PlainLayout?"],
        ),
        (
            "dataset:\n  layout: PlainLayout\n  max_lne: 5\n",
            [
                "a.yaml:1: dataset.max_len is missing; PlainLayout needs it: length in tokens.",
                "a.yaml:3: dataset.max_lne is used by no plugin; did you mean 'max_len'?",
            ],
        ),
        (
            "dataset:\n  layout: PlainLayout\n  max_len: five\n  scale: [1]\n",
            [
                "a.yaml:3: dataset.max_len must be int, not str 'five'",
                "a.yaml:4: dataset.scale must be float, not list [1]",
            ],
        ),
        (
            "dataset:\n  layout:\n    name: PlainLayout\n    max_len: 5\n    scael: 1\n",
            ["a.yaml:5: dataset.layout.scael is used by no plugin; did you mean 'scale'?"],
        ),
        (
            "dataset:\n  layout: {nmae: PlainLayout, max_len: 5}\n",
            [
                f"a.yaml:2: dataset.layout.name is missing; name {LAYOUTS}",
                "a.yaml:2: dataset.layout.nmae is used by no plugin; did you mean 'name'?",
            ],
        ),
        ("dataset:\n  layout: 5\n", [f"a.yaml:2: dataset.layout must name {LAYOUTS}, not 5"]),
        ("dataset:\n  layout: [x]\n", [f"a.yaml:2: dataset.layout must name {LAYOUTS}, not ['x']"]),
        ("dataset: {}\n", [f"a.yaml:1: dataset.layout is missing; name {LAYOUTS}"]),
        (
            "datsaet:\n  layout: PlainLayout\n",
            [
                f"a.yaml: dataset.layout is missing; name {LAYOUTS}",
                "a.yaml:1: datsaet is no section; did you mean 'dataset'?",
            ],
        ),
        (
            "dataset:\n  layout: Nothing\n  anything: 1\n",
            [f"a.yaml:2: dataset.layout: no layout named 'Nothing' (there are {NAMES})"],
        ),
    ],
)
def test_each_slip_is_one_problem_with_its_line(text: str, problems: list[str]):
    plans = planner(text)
    plans.slot("layout", ("dataset", "layout"))
    assert reported(plans, "dataset") == problems


def test_the_keys_of_a_misspelt_plugin_are_no_problem_but_a_misspelt_key_is():
    plans = planner("dataset: {layout: {name: PlainLayuot, max_len: 5, scael: 2}}")
    plans.slot("layout", ("dataset", "layout"))
    assert [problem.split(": ", 1)[1] for problem in reported(plans, "dataset")] == [
        "dataset.layout: no layout named 'PlainLayuot'; did you mean PlainLayout?",
        "dataset.layout.scael is used by no plugin; did you mean 'scale'?",
    ]


def test_fields_alone_are_those_of_the_default():
    plans = planner("dataset: {layout: {max_len: 5}}", {"layout": "PlainLayout"})
    plan = plans.slot("layout", ("dataset", "layout"))
    assert plan is not None
    layout = plan.build()
    assert isinstance(layout, PlainLayout)
    assert layout.max_len == 5
    assert reported(plans, "dataset") == []
    slip = planner("dataset: {layout: {nmae: X, max_len: 5}}", {"layout": "PlainLayout"})
    slip.slot("layout", ("dataset", "layout"))
    assert [problem.split(": ", 1)[1] for problem in reported(slip, "dataset")] == [
        "dataset.layout.nmae is used by no plugin; did you mean 'name'?"
    ]
    untold = planner("dataset: {layout: {max_len: 5}}", {"layout": None})
    assert untold.slot("layout", ("dataset", "layout")) is None
    assert reported(untold, "dataset") == []


def test_a_key_that_two_plugins_miss_is_one_problem():
    plans = planner("dataset: {aligner: OverlappedAligner, layout: VideoTextLayout}")
    plans.slot("aligner", ("dataset", "aligner"))
    missing = [problem for problem in plans.problems if "max_video_len is missing" in problem]
    assert len(missing) == 1


def test_a_section_must_hold_keys():
    plans = planner("dataset: 5\nencoders: [a]\n")
    assert plans.section(ListMeta, ("dataset",)) is None
    assert plans.mapping(("encoders",)) == {}
    assert plans.mapping(("absent",)) == {}
    assert reported(plans, "dataset", "encoders") == [
        "a.yaml:1: dataset must hold keys and values, not 5",
        "a.yaml:2: encoders must hold keys and values, not ['a']",
    ]


def test_a_configuration_that_could_not_be_read_whole_misses_nothing():
    plans = planner("dataset:\n  layout: PlainLayout\n  scael: 2\n  x: 1\n", partial=True)
    plans.slot("layout", ("dataset", "layout"))
    plans.slot("head", ("head",))
    assert reported(plans, "dataset") == [
        "a.yaml:3: dataset.scael is used by no plugin; did you mean 'scale'?"
    ]


def test_a_plugin_of_a_file_that_could_not_be_imported_is_no_second_problem():
    plans = planner("dataset: {layout: Nothing, x: 1}\n", some_plugins=True)
    plans.slot("layout", ("dataset", "layout"))
    plans.slot("head", ("head",))
    heads = ", ".join(load_plugins().registries["head"].names())
    assert reported(plans, "dataset") == [f"a.yaml: head is missing; name one of {heads}"]


def test_a_slot_whose_default_cannot_be_told_is_no_problem():
    plans = planner("dataset: {}", {"loss": None})
    assert plans.slot("loss", ("loss",)) is None
    assert plans.problems == []


def test_a_plugin_whose_constructor_is_no_schema_is_a_problem():
    class Positional(PlainLayout):
        def __init__(self, max_len: int) -> None:
            super().__init__(max_len=max_len)

    plans = planner("dataset: {layout: Positional}")
    plans.plugins.registries["layout"].add(Positional)
    assert plans.slot("layout", ("dataset", "layout")) is None
    assert "must be keyword-only and have a type" in plans.problems[0]


def test_a_value_of_the_environment_is_not_quoted():
    layer = Layer({"dataset": {"layout": "PlainLayout", "max_len": "hunter2"}}, {(): "a.yaml"})
    written = Layer({"dataset": {"layout": "PlainLayout", "max_len": "${oc.env:SECRET}"}})
    plans = planner("", written=written)
    plans.layer = layer
    plans.slot("layout", ("dataset", "layout"))
    assert plans.problems == [
        "a.yaml: dataset.max_len must be int, but '${oc.env:SECRET}' gives str"
    ]


def test_a_value_that_could_not_be_read_is_no_second_problem():
    plans = planner("dataset: {layout: PlainLayout, x: 1}\nhead: a\nencoders: b\n")
    plans.layer.data["dataset"]["max_len"] = UNKNOWN
    plans.layer.data |= {"head": UNKNOWN, "encoders": UNKNOWN}
    plans.slot("layout", ("dataset", "layout"))
    assert plans.slot("head", ("head",)) is None
    assert plans.mapping(("encoders",)) == {}
    assert reported(plans, "dataset", "head", "encoders") == []


def test_what_is_passed_through_is_somebody_elses():
    plans = planner("fairseq: {common: {sede: 1}}\nother: 1\n")
    assert reported(plans, "dataset") == ["a.yaml:2: other is no section"]
