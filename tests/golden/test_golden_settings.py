"""The settings of all recorded models, as the original's YAML has them."""

from __future__ import annotations

import pytest

from mmvt.config.merge import Layer
from mmvt.config.original import MODELS
from mmvt.config.translation import translated
from tests.golden.conftest import Golden

pytestmark = pytest.mark.golden


@pytest.mark.golden_cases("models/*")
def test_the_settings_of_a_model_name_our_parts(golden: Golden, case_name: str):
    case = golden.json(f"{case_name}/case.json")
    config = case.get("config", {})
    layer = translated(Layer(config))
    assert layer.problems == []
    assert layer.data.get("dataset") == config.get("dataset")
    if "model" not in config:  # by the model of another case
        return
    trunk, head = MODELS[config["model"]["model_cls"]]
    fields = {
        key: config["model"][key]
        for key in ("num_hidden_video_layers", "use_seg_emb")
        if key in config["model"]
    }
    trunk = {"name": trunk} if isinstance(trunk, str) else trunk
    found = layer.data["trunk"]
    assert ({"name": found} if isinstance(found, str) else found) == {**trunk, **fields}
    assert layer.data["head"] == head
    assert not {"model", "gen_param"} & layer.data.keys()
