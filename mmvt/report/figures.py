"""Figures as SVG for a page: their colours are the page's, in light and in dark."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Float64
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from mmvt.report.curves import Curve

# colours that matplotlib writes down, and what the page's style makes of them
_INK, _SOFT, _LINE = "#010101", "#020202", "#030303"
_ACCENT, _SECOND, _THIRD = "#040404", "#050505", "#060606"
_VARIABLES = {
    _INK: "var(--ink)",
    _SOFT: "var(--soft)",
    _LINE: "var(--line)",
    _ACCENT: "var(--accent)",
    _SECOND: "var(--second)",
    _THIRD: "var(--third)",
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _SOFT,
    "axes.edgecolor": _LINE,
    "axes.titlecolor": _INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.labelcolor": _INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}
RECALL = ("R@1", "R@5", "R@10")
DIRECTION_LABELS = {"text_to_video": "text → video", "video_to_text": "video → text"}


def curves_figure(curves: Mapping[str, Curve]) -> Markup:
    """Return loss and learning rate over the updates of a training.

    Args:
        curves: by ``part/tag``; losses are ``*/loss``, the learning rate is ``train_inner/lr``.
    """
    with rc_context(_STYLE):
        figure = Figure(figsize=(10, 3.1), layout="constrained")
        losses, rates = figure.subplots(1, 2, width_ratios=[2, 1])
        for name, label, colour, width, marker in (
            ("train_inner/loss", "training, a few updates", _THIRD, 1.2, ""),
            ("train/loss", "training, an epoch", _SECOND, 1.8, "."),
            ("valid/loss", "validation", _ACCENT, 1.8, "."),
        ):
            if name in curves:
                curve = curves[name]
                losses.plot(
                    curve.steps,
                    curve.values,
                    color=colour,
                    linewidth=width,
                    marker=marker,
                    markersize=4,
                    label=label,
                )
        _titled(losses, "loss", "update")
        if losses.get_legend_handles_labels()[0]:
            losses.legend()
        rate = curves.get("train_inner/lr", curves.get("train/lr"))
        if rate is not None:
            rates.plot(rate.steps, rate.values, color=_SECOND, linewidth=1.8)
            rates.ticklabel_format(axis="y", style="sci", scilimits=(0, 0), useMathText=False)
        _titled(rates, "learning rate", "update")
        return _svg(figure, "curves")


def recall_figure(
    evaluations: Sequence[tuple[str, Mapping[str, Any]]], chance: Mapping[str, Any]
) -> Markup:
    """Return bars of R@K in both directions, beside chance.

    Args:
        evaluations: (label, figures by direction and name), the most important first.
        chance: figures by direction and name.
    """
    bars = [*evaluations, ("chance", chance)]
    colours = [_ACCENT, *[_SECOND] * (len(evaluations) - 1), _THIRD]
    with rc_context(_STYLE):
        figure = Figure(figsize=(10, 3.1), layout="constrained")
        for axes, (direction, title) in zip(
            figure.subplots(1, 2, sharey=True), DIRECTION_LABELS.items(), strict=True
        ):
            places = np.arange(len(RECALL))
            width = 0.8 / len(bars)
            for number, ((label, figures), colour) in enumerate(zip(bars, colours, strict=True)):
                heights = [100 * figures[direction][name] for name in RECALL]
                left = places - 0.4 + (number + 0.5) * width
                drawn = axes.bar(left, heights, 0.9 * width, color=colour, label=label)
                axes.bar_label(drawn, fmt="%.1f", padding=2, fontsize=8, color=_INK)
            axes.set_xticks(places, RECALL)
            axes.set_ylim(0, 108)
            axes.yaxis.set_major_formatter(PercentFormatter(decimals=0))
            axes.grid(visible=False, axis="x")
            _titled(axes, title, "")
        axes.legend(loc="upper left")
        return _svg(figure, "recall")


def heat_map(scores: Float[np.ndarray, "texts videos"]) -> Markup:
    """Return a picture of scores, the right pairs on its diagonal."""
    low, high = np.percentile(scores, [1, 99.5])
    with rc_context({**_STYLE, "axes.grid": False}):
        figure = Figure(figsize=(5, 4.2), layout="constrained")
        axes = figure.subplots()
        picture = axes.imshow(
            scores, cmap="magma", vmin=low, vmax=high, interpolation="nearest", aspect="equal"
        )
        bar = figure.colorbar(picture, ax=axes, shrink=0.8)
        bar.outline.set_visible(False)
        for spine in axes.spines.values():
            spine.set_visible(False)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(5, integer=True))
        _titled(axes, "score of every caption with every video", "video")
        axes.set_ylabel("caption")
        return _svg(figure, "heat")


def rank_histogram(
    ranks: Mapping[str, Float64[np.ndarray, "_"]], candidates: Mapping[str, int]
) -> Markup:
    """Return how many queries find their first right candidate how far up, beside chance.

    Args:
        ranks: of the queries of each direction, from 1.
        candidates: number of candidates of each direction.
    """
    edges = _bins(max(candidates.values()))
    labels = [f"{a}" if b == a + 1 else f"{a}–{b - 1}" for a, b in itertools.pairwise(edges)]
    places = np.arange(len(labels))
    with rc_context(_STYLE):
        figure = Figure(figsize=(5, 4.2), layout="constrained")
        axes = figure.subplots()
        for number, (direction, colour) in enumerate(
            zip(DIRECTION_LABELS, (_ACCENT, _SECOND), strict=True)
        ):
            counts, _ = np.histogram(ranks[direction], edges)
            axes.bar(
                places + 0.4 * number - 0.2,
                100 * counts / len(ranks[direction]),
                0.36,
                color=colour,
                label=DIRECTION_LABELS[direction],
            )
        pool = candidates["text_to_video"]
        share = np.diff(np.minimum(edges, pool + 1)) / pool
        axes.plot(places, 100 * share, color=_SOFT, linestyle=":", marker=".", label="chance")
        axes.set_xticks(places, labels, rotation=40, ha="right", rotation_mode="anchor")
        axes.yaxis.set_major_formatter(PercentFormatter(decimals=0))
        axes.grid(visible=False, axis="x")
        _titled(axes, "queries by rank of the right one", "rank")
        axes.legend()
        return _svg(figure, "ranks")


def _bins(largest: int) -> list[int]:
    """Return the edges of the bins of ranks 1, 2, 3–5, 6–10, 11–20, 21–50 and so on."""
    ends = (digit * 10**power for power in itertools.count() for digit in (1, 2, 5))
    inner = itertools.takewhile(lambda end: end < largest, ends)
    return [1, *(end + 1 for end in inner), largest + 1]


def _titled(axes: Axes, title: str, below: str) -> None:
    axes.set_title(title)
    axes.set_xlabel(below)


def _svg(figure: Figure, name: str) -> Markup:
    """Return a figure as an SVG element; ``name`` keeps its ids apart from other figures'."""
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r' width="[\d.]+pt" height="[\d.]+pt"', "", text, count=1)
    text = re.sub(r"'?DejaVu Sans'?", "var(--sans)", text)
    for written, variable in _VARIABLES.items():
        text = text.replace(written, variable)
    return Markup(text)
