"""The comparison as one picture: a grid of results with captions, content first."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from pipeline.compare.columns import Comparison
from pipeline.errors import UserError
from pipeline.pictures.read import open_picture

_CELL = 320  # width of a picture, in pixels
_TALLEST = 4 * _CELL
_GAP = 20
_TEXT = 15
_LINE = 20
_MOST_LINES = 8
_PAPER, _INK, _FAINT, _ALARM = (255, 255, 255), (24, 24, 27), (229, 229, 224), (176, 32, 32)


@dataclass(frozen=True)
class _Tile:
    picture: Image.Image
    lines: Sequence[str]


def save_sheet(comparison: Comparison, path: Path) -> None:
    """Write the contact sheet as a PNG: each different content once, then the runs in order."""
    tiles = _content_tiles(comparison)
    for number, run in enumerate(comparison.runs):
        caption = [f"run {run.name}", *comparison.caption(number)]
        if run.status == "failed":
            height = tiles[0].picture.height if tiles else _CELL * 3 // 4
            tiles.append(_Tile(_blank("failed", height), _wrap([*caption, run.message])))
        else:
            name = "result.png" if run.status == "finished" else "regions.png"
            tiles.append(_Tile(_fitted(run.folder / name), _wrap(caption)))
    _grid(tiles).save(path)


def _content_tiles(comparison: Comparison) -> list[_Tile]:
    contents: dict[bytes, Path] = {}
    for run in comparison.runs:
        file = run.folder / "content.png"
        if run.status != "failed" and file.is_file():
            contents.setdefault(file.read_bytes(), file)
    return [_Tile(_fitted(file), ["content"]) for file in contents.values()]


def _grid(tiles: Sequence[_Tile]) -> Image.Image:
    across = math.ceil(math.sqrt(len(tiles)))
    rows = [tiles[start : start + across] for start in range(0, len(tiles), across)]
    heights = [
        max(tile.picture.height + _GAP // 2 + _LINE * len(tile.lines) for tile in row)
        for row in rows
    ]
    width = _GAP + across * (_CELL + _GAP)
    sheet = Image.new("RGB", (width, _GAP + sum(height + _GAP for height in heights)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_TEXT)
    top = _GAP
    for row, height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            left = _GAP + column * (_CELL + _GAP)
            sheet.paste(tile.picture, (left, top))
            below = top + tile.picture.height + _GAP // 2
            for number, line in enumerate(tile.lines):
                ink = _INK if number == 0 else (82, 82, 91)
                draw.text((left, below + number * _LINE), line, font=font, fill=ink)
        top += height + _GAP
    return sheet


def _wrap(lines: Sequence[str]) -> list[str]:
    """Break lines to the width of a cell, at any character; past `_MOST_LINES` an ellipsis."""
    font = ImageFont.load_default(_TEXT)
    broken: list[str] = []
    for line in lines:
        rest = " ".join(line.split())
        while rest and len(broken) <= _MOST_LINES:
            # Text is slow to measure, and no line holds more letters than this.
            fits = min(len(rest), 6 * _CELL // _LINE)
            while fits > 1 and font.getlength(rest[:fits]) > _CELL:
                fits -= 1
            space = rest.rfind(" ", 0, fits) + 1 if fits < len(rest) else 0
            broken.append(rest[: space or fits].rstrip())
            rest = rest[space or fits :]
    return broken if len(broken) <= _MOST_LINES else [*broken[: _MOST_LINES - 1], "…"]


def _fitted(path: Path) -> Image.Image:
    try:
        picture = open_picture(path)
    except UserError:
        return _blank("no picture", _CELL * 3 // 4)
    height = min(_TALLEST, max(1, round(picture.height * _CELL / picture.width)))
    return picture.resize((_CELL, height), Image.Resampling.LANCZOS)


def _blank(word: str, height: int) -> Image.Image:
    picture = Image.new("RGB", (_CELL, height), _FAINT)
    font = ImageFont.load_default(2 * _TEXT)
    middle = (picture.width // 2, picture.height // 2)
    ImageDraw.Draw(picture).text(middle, word, font=font, fill=_ALARM, anchor="mm")
    return picture
