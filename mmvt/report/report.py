"""The report of a run: one HTML page that needs nothing beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined

from mmvt.config.merge import value_at
from mmvt.config.yaml_file import parse_yaml
from mmvt.errors import DataError
from mmvt.evaluators.retrieval_case import RetrievalCase
from mmvt.files import atomic_write_text
from mmvt.report.captions import pick_written
from mmvt.report.curves import CONFIG
from mmvt.report.figures import curves_figure, heat_map, rank_histogram, recall_figure
from mmvt.report.run import DIRECTIONS, Evaluation, Run, read_run
from mmvt.report.samples import no_pictures, pick_samples, pictures_from, sampled_scores

REPORT = "report.html"
_TEMPLATE = "template.html.j2"
_SAMPLES = 6
_SAMPLES_WRITTEN = 12
_CAPTION_FIGURES = ("BLEU-1", "BLEU-4", "ROUGE-L", "CIDEr-D", "METEOR")

Context = dict[str, Any]


def write_report(run: Path, out: Path | None = None, videos: Path | None = None) -> Path:
    """Write the report of a run and return its path.

    Args:
        run: folder of the run, or of results.
        out: the page; by default ``report.html`` in the run.
        videos: folder of the video files, for pictures; by default ``videos`` beside the caption
            file of the configuration, if it is there.

    Raises:
        DataError: there is nothing to report, a file is damaged, or ``videos`` does not exist.
    """
    if videos is not None and not videos.is_dir():
        raise DataError(f"{videos}: there is no such folder of videos")
    page = render(read_run(run), videos)
    path = out or run / REPORT
    atomic_write_text(path, page)
    return path


def render(run: Run, videos: Path | None = None) -> str:
    """Return the page.

    Args:
        run: what the run folder holds.
        videos: folder of the video files, as for :func:`write_report`.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"percent": _percent, "number": _number, "when": _when}
    template = Path(__file__).with_name(_TEMPLATE).read_text(encoding="utf-8")
    context: Context = {
        "name": run.folder.resolve().name,
        "folder": str(run.folder),
        "made": datetime.now(UTC),
        "version": _version(),
        "config": run.config,
        "training": run.training,
        "curves": curves_figure(run.training.curves) if run.training else None,
        "other_results": {name: _json(results) for name, results in run.other_results.items()},
        "notes": [],
        **_evaluation(run, videos),
        **_written(run, videos),
    }
    context["notes"] += _absent(run)
    return environment.from_string(template).render(context)


def _evaluation(run: Run, videos: Path | None) -> Context:
    """Return what the page shows of the evaluation, and notes on what it cannot show."""
    empty: Context = {
        "evaluation": None,
        "protocol": "",
        "recall": None,
        "heat": None,
        "shown": 0,
        "histogram": None,
        "samples": [],
        "pictures": False,
        "notes": [],
    }
    if not run.evaluations:
        return empty
    main, *others = run.evaluations
    compared = [
        (main.label or "this model", main.results),
        *((other.label or other.name, other.results) for other in others),
    ]
    chance = {name: main.results[name]["chance"] for name in DIRECTIONS}
    context = empty | {
        "evaluation": main,
        "compared": compared,
        "protocol": _json(main.protocol),
        "recall": recall_figure(compared, chance),
    }
    if main.predictions is None:
        return context | {
            "notes": ["There is no predictions.npz beside the results: no ranks, no samples."]
        }
    return context | _predictions(main, _videos_folder(run, main, videos))


def _written(run: Run, videos: Path | None) -> Context:
    """Return what the page shows of captions that were written."""
    if run.captions is None:
        return {"written": [], "figures": {}}
    folder = _videos_folder(run, run.captions, videos)
    pictures = pictures_from(folder) if folder else no_pictures
    figures = {name: run.captions.results.get(name) for name in _CAPTION_FIGURES}
    return {
        "written": pick_written(run.captions.predictions or {}, pictures, _SAMPLES_WRITTEN),
        "figures": {name: value for name, value in figures.items() if value is not None},
    }


def _predictions(main: Evaluation, videos: Path | None) -> Context:
    equal = main.protocol.get("equal_captions", "own")
    case = RetrievalCase.of(main.predictions or {}, allow_missing=True)
    directions = dict(
        zip(DIRECTIONS, (case.text_to_video(equal), case.video_to_text(equal)), strict=True)
    )
    ranks = {
        name: np.concatenate([one.ranks().expected(), np.full(one.misses, float(one.candidates))])
        for name, one in directions.items()
    }
    to_video = directions["text_to_video"]
    pictures = pictures_from(videos) if videos else no_pictures
    samples = pick_samples(case, to_video, pictures, _SAMPLES)
    found = any(candidate.pictures for sample in samples for candidate in sample.candidates)
    notes = []
    if videos is None:
        notes.append(
            "The samples have no pictures: the folder of videos is unknown (--videos DIR)."
        )
    elif not found:
        notes.append(f"The samples have no pictures: {videos} holds none of their videos.")
    scores = sampled_scores(case, to_video)
    return {
        "heat": heat_map(scores),
        "shown": len(scores),
        "histogram": rank_histogram(ranks, {n: d.candidates for n, d in directions.items()}),
        "samples": samples,
        "pictures": found,
        "notes": notes,
    }


def _videos_folder(run: Run, of: Evaluation, videos: Path | None) -> Path | None:
    """Return the folder of the videos: the one given, else the one beside the caption file."""
    if videos is not None:
        return videos
    data: Mapping[str, Any] = of.protocol.get("config", {})
    if not data and run.config:
        data = parse_yaml(run.config, run.folder / CONFIG).data
    annotations = value_at(data, ("dataset", "annotations"))
    if not isinstance(annotations, str):
        return None
    folder = Path(annotations).parent / "videos"
    return folder if folder.is_dir() else None


def _absent(run: Run) -> list[str]:
    notes = []
    if run.training is None:
        notes.append("There are no events of a training in this run: no curves.")
    if not run.evaluations and run.captions is None:
        notes.append("There are no results of retrieval in this run; mmvt predict makes them.")
    if not run.config:
        notes.append("There is no config.yaml in this run.")
    return notes


def _json(data: Any) -> str:
    return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:.1f}"


def _when(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _version() -> str:
    try:
        return version("mmvt")
    except PackageNotFoundError:  # a checkout on the path that was never installed
        return ""
