"""The answer to a search as one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from mmvt.errors import MediaError
from mmvt.features.thumbnail import thumbnail
from mmvt.retrieval.index import Hit

logger = logging.getLogger(__name__)

_WIDTH = 640


@dataclass(frozen=True)
class _Card:
    """What the template shows of one video; positions on the time line are percentages."""

    rank: int
    name: str
    folder: str
    link: str
    score: str
    share: float
    span: str
    length: str
    left: float
    width: float
    picture: str


def render(query: str, hits: Sequence[Hit], *, count: int, model: str) -> str:
    """Return the page of a search; a video that cannot be read has no picture.

    Args:
        query: the text that was searched.
        hits: the videos found, best first.
        count: number of videos that were searched.
        model: name of the model.
    """
    best = max((hit.score for hit in hits), default=0.0)
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    cards = [_card(rank, hit, best) for rank, hit in enumerate(hits, start=1)]
    return environment.from_string(_TEMPLATE).render(
        query=query, cards=cards, count=count, model=model
    )


def clock(seconds: float) -> str:
    """Return a time as ``m:ss``, or ``h:mm:ss`` from an hour on; tenths below a minute."""
    if seconds < 60:
        return f"0:{seconds:04.1f}" if seconds < 59.95 else "1:00"
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def _card(rank: int, hit: Hit, best: float) -> _Card:
    path = Path(hit.file.path)
    length = max(hit.file.duration or 0.0, hit.end) or 1.0
    return _Card(
        rank=rank,
        name=path.name,
        folder=str(Path(hit.file.id).parent) if "/" in hit.file.id else "",
        link=f"{path.as_uri()}#t={hit.start:.1f}",
        score=f"{hit.score:.3f}",
        share=100 * max(0.0, hit.score) / best if best > 0 else 0.0,
        span=f"{clock(hit.start)} – {clock(hit.end)}",
        length=clock(length),
        left=100 * hit.start / length,
        width=100 * (hit.end - hit.start) / length,
        picture=_picture(path, (hit.start + hit.end) / 2),
    )


def _picture(path: Path, seconds: float) -> str:
    try:
        jpeg = thumbnail(path, seconds, _WIDTH)
    except MediaError as error:
        logger.warning("no picture: %s", error)
        return ""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


_TEMPLATE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ query }} – mmvt search</title>
<style>
:root {
  color-scheme: light dark;
  --ground: light-dark(#f6f5f2, #151618); --card: light-dark(#fff, #1f2124);
  --ink: light-dark(#1d1d1f, #eeeef0); --soft: light-dark(#6e6e73, #9a9aa0);
  --line: light-dark(#e4e2dd, #33363a); --accent: light-dark(#d9480f, #ff9d5c);
}
* { box-sizing: border-box; margin: 0 }
body { background: var(--ground); color: var(--ink); padding: 3rem clamp(1rem, 4vw, 4rem);
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif }
header, main, footer { max-width: 1240px; margin: 0 auto }
h1 { font-size: clamp(1.6rem, 3.4vw, 2.6rem); font-weight: 650; letter-spacing: -.02em;
  line-height: 1.15; overflow-wrap: anywhere }
h1::before { content: "“"; color: var(--accent) } h1::after { content: "”"; color: var(--accent) }
header p { color: var(--soft); margin: .5rem 0 2rem }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 1.25rem }
article { background: var(--card); border: 1px solid var(--line); border-radius: 14px;
  overflow: hidden; display: flex; flex-direction: column }
article:first-child { grid-column: span 2; grid-row: span 2 }
@media (max-width: 700px) { article:first-child { grid-column: auto; grid-row: auto } }
.picture { position: relative; display: block; aspect-ratio: 16 / 9; background: #000;
  flex: 1 0 auto }
.picture img { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain }
.none { position: absolute; inset: 0; display: grid; place-content: center; color: #8b8b90 }
.chip { position: absolute; bottom: .6rem; right: .6rem; padding: .1rem .5rem; border-radius: 6px;
  background: rgb(0 0 0 / .72); color: #fff; font-size: 13px; font-variant-numeric: tabular-nums }
.rank { left: .6rem; right: auto; top: .6rem; bottom: auto; background: var(--accent);
  color: light-dark(#fff, #1d1d1f); font-weight: 650 }
.time { height: 5px; background: var(--line); position: relative }
.time i { position: absolute; top: 0; bottom: 0; min-width: 3px; background: var(--accent) }
.text { padding: .8rem 1rem 1rem }
.text b { display: block; font-weight: 600; overflow-wrap: anywhere }
.text small { color: var(--soft); font-size: 13px; overflow-wrap: anywhere }
.score { display: flex; align-items: center; gap: .6rem; margin-top: .55rem; color: var(--soft);
  font-size: 13px; font-variant-numeric: tabular-nums }
.score span { flex: 1; height: 4px; border-radius: 2px; background: var(--line); overflow: hidden }
.score i { display: block; height: 100%; background: var(--soft) }
footer { color: var(--soft); font-size: 13px; margin-top: 2rem; overflow-wrap: anywhere }
</style>
<header>
  <h1>{{ query }}</h1>
  <p>{{ cards | length }} of {{ count }} videos, best first</p>
</header>
<main>
{%- for card in cards %}
  <article>
    <a class="picture" href="{{ card.link }}">
      {%- if card.picture %}<img alt="{{ card.name }}" src="{{ card.picture }}">
      {%- else %}<span class="none">no picture</span>{% endif -%}
      <span class="chip rank">{{ card.rank }}</span><span class="chip">{{ card.span }}</span></a>
    <div class="time" title="{{ card.span }} of {{ card.length }}"
      ><i style="left: {{ '%.2f' % card.left }}%; width: {{ '%.2f' % card.width }}%"></i></div>
    <div class="text">
      <b>{{ card.name }}</b>
      <small>{% if card.folder %}{{ card.folder }} · {% endif %}{{ card.length }}</small>
      <div class="score"><span><i style="width: {{ '%.1f' % card.share }}%"></i></span>
        {{- card.score }}</div>
    </div>
  </article>
{%- else %}
  <p>The index holds no video.</p>
{%- endfor %}
</main>
<footer>{{ model }} · the bar under a picture shows where in the video the best span lies</footer>
</html>
"""
