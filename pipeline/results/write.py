"""Write: the files of a result."""

import csv
import itertools
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from pipeline.engine.progress import LossRow
from pipeline.pictures.read import tensor_to_array
from pipeline.pictures.strips import strips
from pipeline.regions.label_map import voc_palette
from pipeline.regions.names import ALL, REST
from pipeline.results.file_names import region_file_names
from pipeline.results.folder import Files
from pipeline.results.overlay import _small_image, draw_overlay
from pipeline.results.result import Result

# Files written at once; each needs memory for a picture of its own.
_WRITERS = 4


def save_result(result: Result, files: Files) -> None:
    """Write all pictures of a result, and its losses.

    Args:
        result: of a run.
        files: where they go; they are not shown yet.
    """
    masks = {
        name: mask
        for name, mask in (result.shown | result.region_masks).items()
        if (mask >= 0.5).any()
    }
    names = region_file_names([*masks, *result.styles])
    for entry in result.summary.get("regions", ()):
        if (file := names.get(entry["name"], entry["name"])) != entry["name"]:
            entry["file"] = file
    # What covers everything is drawn first, or nothing else would be seen.
    order = sorted(masks, key=lambda name: name not in (ALL, REST))
    pictures = {"content": result.content, **result.extra}
    for region, styles in result.styles.items():
        for number, style in enumerate(styles, start=1):
            name = names[region] if number == 1 else f"{names[region]}-{number}"
            pictures[f"styles/{name}"] = style
    pictures |= {f"snapshots/{number}": shown for number, shown in result.snapshots.items()}
    with ThreadPoolExecutor(_WRITERS) as pool:
        jobs = []
        if result.painted is not None:
            pictures["result"] = result.painted
        # A method without an optimisation has none.
        if result.losses:
            table, plot = files.add("losses.csv"), files.add("losses.png")
            jobs.append(pool.submit(save_losses, result.losses, table, plot))
        for name, picture in pictures.items():
            jobs.append(pool.submit(save_picture, picture, files.add(f"{name}.png")))
        for name, mask in masks.items():
            jobs.append(pool.submit(save_mask, mask, files.add(f"masks/{names[name]}.png")))
        if result.segmentation is not None:
            labels = result.segmentation.labels_of(result.content)
            jobs.append(pool.submit(save_labels, labels, files.add("labels.png")))
        overlay = draw_overlay(result.content, {name: masks[name] for name in order})
        jobs.append(pool.submit(_save, overlay, files.add("regions.png")))
        if result.painted is not None:
            panels = [_small_image(result.content), overlay, _small_image(result.painted)]
            jobs.append(pool.submit(save_overview, panels, files.add("overview.png")))
        for job in jobs:
            job.result()


def save_texts(texts: Mapping[str, str], files: Files) -> None:
    """Write texts, by the names of their files."""
    for name, text in texts.items():
        files.add(name).write_text(text, encoding="utf-8")


def save_picture(picture: Tensor, path: Path) -> None:
    """Write (1, 3, H, W) in [0, 1] as an 8-bit sRGB PNG."""
    _save(Image.fromarray(tensor_to_array(picture)), path, _in_srgb())


def save_mask(mask: Tensor, path: Path) -> None:
    """Write (1, 1, H, W) in [0, 1] as an 8-bit grey PNG."""
    levels = np.empty(tuple(mask.shape[2:]), dtype=np.uint8)
    for rows in strips(*levels.shape):
        levels[rows] = (mask[0, 0, rows].clamp(0, 1) * 255).round().byte().cpu().numpy()
    _save(Image.fromarray(levels), path)


def save_labels(labels: Tensor, path: Path) -> None:
    """Write (H, W) class numbers as a palette PNG in PASCAL VOC's colours."""
    picture = Image.fromarray(labels.byte().cpu().numpy())
    picture.putpalette(voc_palette().tobytes())
    _save(picture, path)


def save_overview(panels: Sequence[Image.Image], path: Path) -> None:
    """Write RGB pictures of one size side by side, such as content, regions and result."""
    both = np.concatenate([np.asarray(panel) for panel in panels], axis=1)
    _save(Image.fromarray(both), path)


def save_losses(curve: Sequence[LossRow], table: Path, plot: Path) -> None:
    """Write a loss curve as a CSV table and as a PNG plot."""
    columns = [column.name for column in fields(LossRow)]
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(asdict(row) for row in curve)
    _plot(curve, plot)


def _plot(curve: Sequence[LossRow], path: Path) -> None:
    # Matplotlib takes a second to import; runs that only segment do without. The figure class
    # needs no display and leaves matplotlib's global state alone.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    steps = range(len(curve))
    for term in ("total", "content", "style", "tv"):
        values = [max(getattr(row, term), 0.0) for row in curve]
        if any(values):
            axes.plot(steps, values, label=term, linewidth=2 if term == "total" else 1)
    for step, (before, row) in enumerate(itertools.pairwise(curve), start=1):
        if (before.stage, before.scale) != (row.stage, row.scale):
            axes.axvline(step, color="0.8", linewidth=1, zorder=0)
    axes.set(xlabel="iteration", ylabel="weighted loss", yscale="log")
    if curve:
        axes.legend(frameon=False, loc="upper right")  # the best place takes seconds to find
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120, format="png")


def _save(picture: Image.Image, path: Path, chunks: PngInfo | None = None) -> None:
    # A third of the time of Pillow's own level, for files a tenth larger.
    picture.save(path, format="PNG", compress_level=1, pnginfo=chunks)


def _in_srgb() -> PngInfo:
    """What says that colours are sRGB's, to be rendered perceptually (PNG, section 11.3.2.5)."""
    chunks = PngInfo()
    chunks.add(b"sRGB", b"\0")
    return chunks
