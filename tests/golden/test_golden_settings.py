"""The settings of all recorded models, as the original's YAML has them."""

from __future__ import annotations

from typing import Any

import pytest

from mmvt.config.merge import Layer
from mmvt.config.original import MODELS
from mmvt.config.translation import translated
from mmvt.plugins import Plugins
from tests.golden.conftest import Golden

pytestmark = pytest.mark.golden


def class_of(kind: str, value: Any) -> type:
    return Plugins().get(kind, value if isinstance(value, str) else value["name"])


@pytest.mark.golden_cases("models/*")
def test_the_settings_of_a_model_name_our_parts(golden: Golden, case_name: str):
    case = golden.json(f"{case_name}/case.json")
    layer = translated(Layer(case["config"]))
    assert layer.problems == []
    if "model_cls" not in case:  # the end-to-end case is that of another case's model
        assert "model" not in case["config"]
        return
    trunk, head = MODELS[case["model_cls"]]
    assert class_of("trunk", layer.data["trunk"]) is class_of("trunk", trunk)
    assert class_of("head", layer.data["head"]) is class_of("head", head)
    assert layer.data["dataset"] == case["config"]["dataset"]
    assert "model" not in layer.data
    assert "gen_param" not in layer.data
