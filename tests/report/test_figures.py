from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from mmvt.report.curves import Curve
from mmvt.report.figures import curves_figure, heat_map, rank_histogram, recall_figure

FIGURES = {"R@1": 0.25, "R@5": 0.5, "R@10": 1.0}
BOTH = {"text_to_video": FIGURES, "video_to_text": FIGURES}


def texts(svg: str) -> list[str]:
    """Return the texts of a figure, which must be well-formed XML."""
    return [
        "".join(element.itertext()).strip()
        for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    ]


def curve(*points: tuple[float, float]) -> Curve:
    return Curve(*np.array(points, float).reshape(-1, 2).T)


def test_curves_name_what_they_show():
    shown = texts(
        curves_figure(
            {
                "train_inner/loss": curve((1, 3), (2, 2)),
                "valid/loss": curve((2, 2.5)),
                "train_inner/lr": curve((1, 1e-4), (2, 2e-4)),
            }
        )
    )
    assert {"loss", "learning rate", "validation", "training, a few updates"} <= set(shown)
    assert "training, an epoch" not in shown


@pytest.mark.parametrize("curves", [{}, {"valid/loss": curve()}, {"other/tag": curve((1, 1))}])
def test_curves_that_are_absent_or_empty_leave_an_empty_figure(curves: dict[str, Curve]):
    assert "loss" in texts(curves_figure(curves))


def test_bars_carry_their_percentages_and_labels():
    shown = texts(recall_figure([("this model", BOTH), ("eval_$x$ <b>", BOTH)], BOTH))
    assert shown.count("25.0") == shown.count("100.0") == 6
    assert {"this model", "eval_$x$ <b>", "chance", "R@1", "text → video"} <= set(shown)


@pytest.mark.parametrize("size", [1, 2, 150])
def test_heat_maps_of_any_size(size: int):
    scores = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
    assert "data:image/png;base64," in heat_map(scores)


def test_heat_map_of_constant_scores():
    assert "data:image/png;base64," in heat_map(np.zeros((3, 3), np.float32))


@pytest.mark.parametrize(
    ("pool", "last"), [(1, "1"), (2, "2"), (4, "3–4"), (10, "6–10"), (1000, "501–1000")]
)
def test_bins_of_ranks_cover_the_pool(pool: int, last: str):
    ranks = np.arange(1.0, pool + 1)
    shown = texts(
        rank_histogram(
            {"text_to_video": ranks, "video_to_text": ranks},
            {"text_to_video": pool, "video_to_text": pool},
        )
    )
    assert last in shown
    assert "1" in shown


def test_figures_take_their_colours_from_the_page_and_ask_for_nothing():
    svg = recall_figure([("this model", BOTH)], BOTH)
    assert svg.startswith("<svg")
    assert "var(--accent)" in svg
    assert "var(--sans)" in svg
    for outside in ("<?xml", "DOCTYPE", "<metadata", "DejaVu", "#0101", 'href="http'):
        assert outside not in svg


def test_the_same_figure_is_the_same_text_and_ids_differ_between_figures():
    one, two = (recall_figure([("this model", BOTH)], BOTH) for _ in range(2))
    assert one == two
    ids = [
        {
            e.attrib["id"]
            for e in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}clipPath")
        }
        for svg in (one, curves_figure({"valid/loss": curve((1, 1))}))
    ]
    assert ids[0]
    assert not ids[0] & ids[1]
