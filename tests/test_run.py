"""Whole runs on real photographs with the bundled networks, as a user starts them."""

import csv
import io
import json
import logging
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from PIL import Image
from skimage import data

from pipeline.command.main import main
from pipeline.config.compose import CONF
from pipeline.networks import feedforward, instant
from pipeline.regions.names import SCENE_CLASSES

Pixels = npt.NDArray[np.uint8]


def pipeline(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *words],
        cwd=folder,
        # No cache: the bundled networks run, whatever the machine has downloaded before.
        env={
            **os.environ,
            "PYTHONPATH": str(CONF.parent),
            "TORCH_HOME": str(folder / "no-cache"),
            "CUDA_VISIBLE_DEVICES": "",
        },
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def command(*words: str, folder: Path) -> str:
    """The command in this process, which spares the seconds of a start; all that it says."""
    said, root = io.StringIO(), logging.getLogger()
    handlers, level = [*root.handlers], root.level
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["pipeline", *words, "device=cpu"])
        patch.setattr(torch.hub, "_hub_dir", str(folder / "no-cache"))
        # Which `main` sets for good.
        patch.setenv("HYDRA_FULL_ERROR", "1")
        patch.setenv("PYTORCH_ENABLE_MPS_FALLBACK", "1")
        try:
            with redirect_stdout(said), redirect_stderr(said):
                main()
        finally:
            for handler in {*root.handlers} - {*handlers}:
                handler.close()
            root.handlers[:], root.level = handlers, level
            HydraConfig.instance().cfg = None
    return said.getvalue()


def picture(path: Path) -> Pixels:
    return np.asarray(Image.open(path))


def assert_localized(folder: Path, *regions: str) -> None:
    """Every region has changed, and not one bit outside of them."""
    content, result = picture(folder / "content.png"), picture(folder / "result.png")
    masks = [picture(folder / "masks" / f"{region}.png") for region in regions]
    assert content.shape == result.shape
    outside = np.max(masks, axis=0) == 0
    assert np.array_equal(result[outside], content[outside])
    for mask in masks:
        assert np.abs(result.astype(int) - content)[mask == 255].mean() > 12


def test_strength_0_is_the_photograph_and_more_of_it_changes_more(tmp_path: Path) -> None:
    def change(strength: float) -> float:
        folder = tmp_path / str(strength)
        command(
            "+styles.person=scream.jpg",
            f"strength={strength}",
            "size=128",
            "optimizer.iterations=12",
            f"hydra.run.dir={folder}",
            folder=tmp_path,
        )
        content, result = (
            np.asarray(Image.open(folder / f"{name}.png"), dtype=np.float64)
            for name in ("content", "result")
        )
        return float(np.abs(result - content).mean())

    found = [change(strength) for strength in (0, 0.25, 0.5, 1)]
    assert found[0] == 0
    assert found == sorted(found)
    assert found[1] > 0.5


def test_the_first_command_repaints_the_person(tmp_path: Path) -> None:
    done = pipeline("+styles.person=scream.jpg", folder=tmp_path)
    (folder,) = (tmp_path / "outputs").glob("*-*-*/*-*-*")
    assert str(folder / "result.png") in done.stdout
    assert_localized(folder, "person")
    assert {entry.name for entry in folder.iterdir()} == {
        ".hydra",
        "content.png",
        "labels.png",
        "losses.csv",
        "losses.png",
        "masks",
        "overview.png",
        "pipeline.log",
        "regions.png",
        "result.png",
        "styles",
        "summary.json",
    }
    # The picture at full size is scikit-image's, untouched.
    assert np.array_equal(picture(folder / "content.png"), data.astronaut())
    summary = json.loads((folder / "summary.json").read_text())
    person = next(entry for entry in summary["regions"] if entry["name"] == "person")
    assert person["style"] == "scream.jpg"
    assert 0.25 < person["share"] < 0.6
    assert person["style_distance_after"] < 0.7 * person["style_distance_before"]
    assert summary["networks"]["encoder"]["source"] == "bundled"
    assert len(summary["networks"]["segmenter"]["sha256"]) == 64
    stages = {"read", "segment", "mask", "stylize", "blend", "measure", "write"}
    assert set(summary["seconds"]) == stages
    assert summary["overrides"] == ["+styles.person=scream.jpg"]
    with (folder / "losses.csv").open() as file:
        assert len(list(csv.DictReader(file))) == summary["iterations"] == 100


@pytest.mark.slow
def test_the_sweep_of_the_readme(tmp_path: Path) -> None:
    pipeline("-m", "method=stitch,composite", "+styles.person=scream.jpg", folder=tmp_path)
    (folder,) = (tmp_path / "outputs" / "multirun").glob("*-*-*/*-*-*")
    for number in "01":
        assert_localized(folder / number, "person")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    command(
        "-m",
        "method=stitch,composite",
        "+styles.person=scream.jpg",
        "+styles.rest=night.jpg",
        "preset=draft",
        "size=192",
        "optimizer.iterations=50",
        folder=folder,
    )
    (found,) = (folder / "outputs" / "multirun").glob("*-*-*/*-*-*")
    assert not (folder / "multirun").exists()
    return found


@pytest.mark.parametrize("number", [0, 1])
def test_a_sweep_compares_the_methods(sweep: Path, number: int) -> None:
    folder = sweep / str(number)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["method"] == ["stitch", "composite"][number]
    assert_localized(folder, "person", "rest")
    styles = {entry["name"]: entry.get("style") for entry in summary["regions"]}
    assert styles["person"] == "scream.jpg"
    assert styles["rest"] == "night.jpg"


def test_the_methods_differ(sweep: Path) -> None:
    stitch, composite = (picture(sweep / n / "result.png").astype(int) for n in "01")
    assert np.abs(stitch - composite).mean() > 3


@pytest.mark.parametrize(
    ("content", "region"),
    [("astronaut", "person"), ("chelsea", "cat"), ("stereo_motorcycle", "motorbike")],
)
def test_without_styles_it_shows_the_regions(content: str, region: str, tmp_path: Path) -> None:
    said = command(f"content={content}", "hydra.run.dir=out", folder=tmp_path)
    out = tmp_path / "out"
    with Image.open(out / "labels.png") as labels:
        assert labels.mode == "P"
    assert picture(out / "labels.png").shape == picture(out / "regions.png").shape[:2]
    summary = json.loads((out / "summary.json").read_text())
    found = [entry["name"] for entry in summary["regions"]]
    assert next(name for name in found if name not in ("background", *SCENE_CLASSES)) == region
    assert {f"{entry['name']}.png" for entry in summary["regions"]} == {
        file.name for file in (out / "masks").iterdir()
    }
    assert f"+styles.{region}=scream.jpg" in said
    assert not (out / "result.png").exists()


def test_any_picture_and_three_regions(tmp_path: Path) -> None:
    Image.fromarray(data.chelsea()).convert("L").save(tmp_path / "my cat.png")
    command(
        "content='my cat.png'",
        "+styles.cat=wave",
        "+styles.background=scream.jpg",
        "size=200",
        # Flat regions need more iterations with neighbours.
        "loss.style=gram",
        "optimizer.iterations=20",
        "hydra.run.dir=out",
        folder=tmp_path,
    )
    assert picture(tmp_path / "out" / "result.png").shape[1] == 200
    assert_localized(tmp_path / "out", "cat", "background")


def test_regions_of_every_source_in_one_run(tmp_path: Path) -> None:
    # A label map in VOC's palette, a mask, a shape and an object, over one another.
    command("content=astronaut", "size=160", "hydra.run.dir=found", folder=tmp_path)
    sky = np.zeros((40, 40), np.uint8)
    sky[:12] = 255
    Image.fromarray(sky).save(tmp_path / "sky mask.png")
    command(
        "size=160",
        "+regions.labels=found/labels.png",
        "+regions.sky=sky mask.png",
        "+regions.logo=box(0.7,0.7,0.95,0.95)",
        "+regions.logo.feather=6",
        "+regions.person.grow=2",
        "+styles.person=scream",
        "+styles.sky=night.jpg",
        "+styles.logo={image: wave.jpg, scale: 0.5, crop: [0, 0, 0.5, 1]}",
        "method=guided",
        # Flat regions need more iterations with neighbours.
        "loss.style=gram",
        "optimizer.iterations=12",
        "hydra.run.dir=out",
        folder=tmp_path,
    )
    out = tmp_path / "out"
    assert_localized(out, "person", "sky", "logo")
    masks = {name: picture(out / "masks" / f"{name}.png") for name in ("person", "sky", "logo")}
    assert masks["sky"][:40].min() > 200
    assert masks["logo"][120:145, 120:145].min() == 255
    # What is named later lies on top, and no segmenter was needed.
    assert masks["person"][120:145, 120:145].max() == 0
    summary = json.loads((out / "summary.json").read_text())
    assert set(summary["networks"]) == {"encoder"}
    assert {entry.stem for entry in (out / "styles").iterdir()} == {"person", "sky", "logo"}


def test_one_pass_paints_regions_of_every_kind(tmp_path: Path) -> None:
    command(
        "size=200",
        "+regions.spot=circle(0.8,0.2,0.12)",
        "+styles.person=[{image: scream.jpg, weight: 0.7}, {image: wave.jpg, scale: 2}]",
        "+styles.background={image: ink.jpg, color: luminance, crop: [0, 0, 0.5, 1]}",
        "+styles.spot={image: night.jpg, strength: 0.9}",
        "method=instant",
        "hydra.run.dir=out",
        folder=tmp_path,
    )
    out = tmp_path / "out"
    assert_localized(out, "person", "background", "spot")
    # No optimisation, no losses; but distances, and which network has painted.
    assert not [*out.glob("losses.*")]
    summary = json.loads((out / "summary.json").read_text())
    assert summary["iterations"] == 0
    assert summary["networks"]["painter"]["name"] == "instant"
    painted = {e["name"]: e for e in summary["regions"] if "style" in e}
    assert set(painted) == {"person", "spot", "background"}
    for entry in painted.values():
        assert entry["style_distance_after"] < entry["style_distance_before"]


def test_a_painter_of_ones_own_paints(tmp_path: Path) -> None:
    (tmp_path / "my painter.safetensors").write_bytes(instant.BUNDLED_FILE.read_bytes())
    words = ("size=160", "method=instant", "+styles.person=scream")
    command(*words, "hydra.run.dir=usual", folder=tmp_path)
    own = "method.weights=my painter.safetensors"
    command(*words, own, "hydra.run.dir=out", folder=tmp_path)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["networks"]["painter"]["source"] == "file"
    assert [name for name in summary["inputs"] if "my painter" in name]
    usual, found = (picture(tmp_path / name / "result.png") for name in ("usual", "out"))
    assert np.array_equal(usual, found)


def test_networks_of_single_styles_paint(tmp_path: Path) -> None:
    words = ("size=160", "method=feedforward", "+styles.person=scream")
    (tmp_path / "own.safetensors").write_bytes(
        (feedforward.BUNDLED / "scream.safetensors").read_bytes()
    )
    command(*words, "+styles.rest=own.safetensors", "hydra.run.dir=out", folder=tmp_path)
    out = tmp_path / "out"
    assert_localized(out, "person", "rest")
    summary = json.loads((out / "summary.json").read_text())
    kinds = {part: network["source"] for part, network in summary["networks"].items()}
    assert kinds["painter of scream"] == "bundled"
    assert kinds["painter of own.safetensors"] == "file"
    # The file shows its style.
    assert picture(out / "styles" / "rest.png").std() > 20
    styled = [entry for entry in summary["regions"] if "style" in entry]
    for entry in styled:
        assert entry["style_distance_after"] < entry["style_distance_before"]
    with pytest.raises(SystemExit):
        command(*words, "+styles.rest=ink.jpg", "hydra.run.dir=none", folder=tmp_path)
    assert not (tmp_path / "none" / "result.png").exists()


def test_an_optimisation_that_starts_at_the_instant_picture_is_ahead(tmp_path: Path) -> None:
    first = {}
    for init in ("content", "instant"):
        command(
            "size=160",
            # What it has learned to bring down.
            "loss.style=gram",
            "+styles.person=night.jpg",
            f"init={init}",
            "optimizer.iterations=2",
            "optimizer.scales=1",
            f"hydra.run.dir={init}",
            folder=tmp_path,
        )
        assert_localized(tmp_path / init, "person")
        rows = (tmp_path / init / "losses.csv").read_text().splitlines()
        first[init] = float(rows[1].split(",")[3])
    assert first["instant"] < 0.8 * first["content"]


def test_a_mask_of_ones_own_stays_as_it_is_and_a_class_gets_a_matte(tmp_path: Path) -> None:
    soft = np.zeros((160, 160), np.uint8)
    soft[:, 100:140] = np.linspace(0, 255, 40).astype(np.uint8)
    Image.fromarray(soft).save(tmp_path / "soft.png")
    words = ("size=160", "+regions.own=soft.png", "+styles.person=scream", "+styles.own=night")
    for matte in ("auto", "off"):
        command(
            *words,
            f"matte={matte}",
            "optimizer.iterations=12",
            f"hydra.run.dir={matte}",
            folder=tmp_path,
        )
        assert_localized(tmp_path / matte, "person", "own")
        assert np.array_equal(picture(tmp_path / matte / "masks" / "own.png"), soft)
    people = [picture(tmp_path / matte / "masks" / "person.png") for matte in ("auto", "off")]
    assert not np.array_equal(*people)
    # The outline alone.
    assert np.abs(people[0].astype(int) - people[1]).mean() < 12


def test_styles_of_every_form_in_one_run(tmp_path: Path) -> None:
    command(
        "content=astronaut",
        "size=160",
        "segmenter.min_share=0.1",  # not the helmet
        "+styles.person=[{image: scream.jpg, weight: 0.7}, {image: wave.jpg, weight: 0.3}]",
        "+styles.background={image: astronaut.png, region: person, color: histogram}",
        "method=guided",
        "snapshots=[5]",
        "init=content+noise",
        "unstyled=free",
        "optimizer.iterations=10",
        "hydra.run.dir=out",
        folder=picture_folder(tmp_path),
    )
    out = tmp_path / "out"
    names = {entry.name for entry in (out / "styles").iterdir()}
    assert names == {"person.png", "person-2.png", "background.png"}
    assert (out / "snapshots" / "5.png").exists()
    summary = json.loads((out / "summary.json").read_text())
    styles = {entry["name"]: entry["style"] for entry in summary["regions"]}
    assert styles == {"person": ["scream.jpg", "wave.jpg"], "background": "astronaut.png"}


@pytest.mark.parametrize("method", ["stitch", "guided", "composite"])
def test_a_small_region_of_a_large_photograph(method: str, tmp_path: Path) -> None:
    photograph = Image.fromarray(data.chelsea()).resize((1100, 733), Image.Resampling.BICUBIC)
    photograph.save(tmp_path / "large.png")
    mask = np.zeros((733, 1100), np.uint8)
    mask[300:390, 500:570] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    command(
        "content=large.png",
        "+regions.spot=mask.png",
        "+regions.more=circle(0.2,0.5,0.1)",
        "+styles.spot=wave",
        "+styles.more=[mosaic, ink]",
        f"method={method}",
        "init=large.png",
        "snapshots=[3]",
        # Flat regions need more iterations with neighbours.
        "loss.style=gram",
        "optimizer.iterations=40",
        "hydra.run.dir=out",
        folder=tmp_path,
    )
    out = tmp_path / "out"
    # At the photograph's own size its pixels are the file's.
    assert np.array_equal(picture(out / "content.png"), np.asarray(photograph))
    assert np.array_equal(picture(out / "masks" / "spot.png"), mask)
    assert_localized(out, "spot", "more")
    result, snapshot = picture(out / "result.png"), picture(out / "snapshots" / "3.png")
    outside = np.maximum(mask, picture(out / "masks" / "more.png")) == 0
    assert np.array_equal(snapshot[outside], result[outside])
    assert not np.array_equal(snapshot[mask == 255], result[mask == 255])
    summary = json.loads((out / "summary.json").read_text())
    assert summary["size"] == [1100, 733]
    assert summary["iterations"] == 80
    # 90 x 70 pixels painted at twice the size: 160 x 160 in all.
    share = 1.0 if method == "stitch" else 0.7
    with Image.open(out / "styles" / "spot.png") as style:
        assert max(style.size) == round(share * 90 * 160 / (90 * 70) ** 0.5)
    if method == "stitch":
        for name in ("style_canvas", "style_canvas-2"):
            canvas = picture(out / f"{name}.png")
            assert np.array_equal(canvas[outside], result[outside])
            assert np.abs(canvas[mask == 255].astype(int) - result[mask == 255]).mean() > 5


def test_the_whole_frame_is_painted_within_the_budget(tmp_path: Path) -> None:
    Image.fromarray(data.chelsea()).resize((1500, 1000)).save(tmp_path / "large.png")
    for budget, longest in (("180000", 519), ("99999", 512)):
        command(
            "content=large.png",
            "+styles.all=ink",
            "method=global",
            f"budget={budget}",
            "optimizer.iterations=1",
            "hydra.run.dir=out",
            folder=tmp_path,
        )
        summary = json.loads((tmp_path / "out" / "summary.json").read_text())
        assert summary["size"] == [longest, round(longest / 1.5)]


def picture_folder(folder: Path) -> Path:
    Image.fromarray(data.astronaut()).save(folder / "astronaut.png")
    return folder


def test_luminance_keeps_the_colours(tmp_path: Path) -> None:
    command(
        "+styles.person=scream.jpg",
        "color=luminance",
        "size=160",
        "method=composite",
        "optimizer.iterations=20",
        "hydra.run.dir=out",
        folder=tmp_path,
    )
    content, result = (picture(tmp_path / "out" / f"{n}.png") for n in ("content", "result"))
    assert_localized(tmp_path / "out", "person")
    mask = picture(tmp_path / "out" / "masks" / "person.png") == 255
    chroma = [(p[..., 0].astype(int) - p[..., 2])[mask] for p in (content, result)]
    lightness = [p.mean(2)[mask] for p in (content, result)]
    # But for what leaves the range and is clipped, only lightness changes.
    assert np.median(np.abs(chroma[0] - chroma[1])) <= 1
    assert np.abs(lightness[0] - lightness[1]).mean() > 8


def test_matching_styles_class_by_class(tmp_path: Path) -> None:
    said = command(
        "styles=match",
        "reference=astronaut.png",
        "content=chelsea",
        "size=160",
        "method=composite",
        # Flat regions need more iterations with neighbours.
        "loss.style=gram",
        "optimizer.iterations=60",
        "hydra.run.dir=out",
        folder=picture_folder(tmp_path),
    )
    log = (tmp_path / "out" / "pipeline.log").read_text() + said
    assert "cat in the style of the whole reference" in log
    assert "background in the style of the background" in log
    assert_localized(tmp_path / "out", "cat", "background")


def test_the_second_of_two_sequential_styles_dominates(tmp_path: Path) -> None:
    distances = {}
    for blend in ("weighted", "sequential"):
        command(
            "+styles.person=[scream.jpg, mosaic.jpg]",
            f"blend={blend}",
            "method=composite",
            "size=128",
            "optimizer.iterations=40",
            "snapshots=[20]",
            f"hydra.run.dir={blend}",
            folder=tmp_path,
        )
        folder = tmp_path / blend
        distances[blend] = [
            style_distance(folder, folder / "styles" / name)
            for name in ("person.png", "person-2.png")
        ]
    for blend, numbers in (("weighted", ["20"]), ("sequential", ["20", "60"])):
        found = (tmp_path / blend / "snapshots").iterdir()
        assert sorted(path.stem for path in found) == numbers
    # At once both are pursued alike; one after the other, the second is by far the nearer.
    at_once, in_turn = distances["weighted"], distances["sequential"]
    assert in_turn[1] < at_once[1]
    assert in_turn[0] > at_once[0]
    assert in_turn[1] < 0.8 * in_turn[0]


def style_distance(folder: Path, style: Path) -> float:
    """Of the person in a result, under the bundled encoder."""
    from pipeline.engine.engine import Descent, Engine
    from pipeline.engine.objective import Guide, Objective, Style
    from pipeline.networks import encoders
    from pipeline.pictures.read import array_to_tensor

    encoder = encoders.load("compact", None, torch.device("cpu"))
    layers = dict.fromkeys(encoder.style_layers, 1 / 3)
    goal = Objective("balanced", 1.0, 1.0, 0.0, layers, encoder.content_layers)
    engine = Engine(encoder.module, goal, Descent("lbfgs", 1, 1, 1.0))
    mask = torch.from_numpy(picture(folder / "masks" / "person.png") / 255.0).float()[None, None]
    guide = Guide("person", [Style(array_to_tensor(picture(style)))], mask)
    return engine.style_distance(array_to_tensor(picture(folder / "result.png")), guide)


def rounding() -> tuple[bool, bool]:
    """Whether CUDA's products and convolutions round their factors to TF32."""
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    if not hasattr(convolutions, "conv"):  # before torch 2.9
        return products.allow_tf32, convolutions.allow_tf32
    return products.fp32_precision == "tf32", convolutions.conv.fp32_precision == "tf32"


def test_every_run_of_a_process_has_the_precision_it_asks_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pipeline import build
    from pipeline.config.compose import compose_settings
    from pipeline.run import stylize

    before = rounding()
    segmenting, painting = [], []
    segment = build.segment_picture

    def spy(*words: Any, **options: Any) -> Any:
        segmenting.append(rounding())
        return segment(*words, **options)

    monkeypatch.setattr(build, "segment_picture", spy)
    tiny = ["size=64", "optimizer.iterations=1", "segmenter=compact", "encoder=compact"]
    asked = ["tf32", "float32", "tf32", "auto", "tf32", "bfloat16", "float32"]
    for name in asked:
        settings = compose_settings(
            [*tiny, "device=cpu", f"precision={name}", "+styles.person=ink.jpg"]
        )
        stylize(settings, Path.cwd(), watch=lambda row: painting.append(rounding()))
        assert rounding() == before
    # The precision is the encoder's; the segmenter's is torch's own.
    assert segmenting == [before] * len(asked)
    assert painting == [(name == "tf32",) * 2 for name in asked]


def test_a_region_too_small_for_every_layer_has_no_distance(tmp_path: Path) -> None:
    said = command(
        "+regions.dot=box(0.5,0.5,0.52,0.52)",
        "+styles.dot=scream.jpg",
        "size=100",
        "unstyled=free",  # as it is, not enlarged
        "method=guided",
        "method.propagation=inside",
        "optimizer.iterations=2",
        "hydra.run.dir=out",
        folder=tmp_path,
    )
    assert "dot is too small for all layers" in said
    entries = json.loads(
        (tmp_path / "out" / "summary.json").read_text(),
        parse_constant=lambda name: pytest.fail(f"{name} is no JSON"),
    )["regions"]
    (dot,) = [entry for entry in entries if entry["name"] == "dot"]
    assert dot["style_distance_before"] is None


def test_distances_are_measured_or_not(tmp_path: Path) -> None:
    words = ("+styles.person=scream.jpg", "size=64", "method=instant")
    command(*words, "hydra.run.dir=with", folder=tmp_path)
    command(*words, "distances=false", "hydra.run.dir=without", folder=tmp_path)
    found = [json.loads((tmp_path / n / "summary.json").read_text()) for n in ("with", "without")]
    people = [next(e for e in s["regions"] if e["name"] == "person") for s in found]
    assert [("style_distance_after" in person) for person in people] == [True, False]
    assert [("measure" in summary["seconds"]) for summary in found] == [True, False]
    pictures = [(tmp_path / name / "result.png").read_bytes() for name in ("with", "without")]
    assert pictures[0] == pictures[1]


def test_a_run_can_be_watched_and_leaves_no_trace_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.results.preview import PICTURE, PROGRESS, Preview

    seen: list[tuple[Any, Any]] = []
    show = Preview.show

    def looked_at(preview: Preview, *shown: Any) -> None:
        show(preview, *shown)
        folder = tmp_path / "watched"
        said = json.loads((folder / PROGRESS).read_text())
        seen.append((picture(folder / PICTURE), said))

    monkeypatch.setattr(Preview, "show", looked_at)
    words = ("+styles.person=ink.jpg", "size=96", "optimizer.iterations=6", "encoder=compact")
    command(*words, "hydra.run.dir=unwatched", folder=tmp_path)
    assert not seen
    command(*words, "hydra.run.dir=watched", "preview=1e-9", folder=tmp_path)
    assert [said["iterations"] for _, said in seen] == [1, 2, 3, 4, 5, 6]
    assert [said["done"] for _, said in seen] == sorted(said["done"] for _, said in seen)
    assert seen[-1][1]["done"] == 1
    results = [picture(tmp_path / name / "result.png") for name in ("watched", "unwatched")]
    assert np.array_equal(*results)
    assert seen[0][0].shape == results[0].shape
    assert not np.array_equal(seen[0][0], seen[-1][0])
    assert not (tmp_path / "watched" / ".pipeline").exists()
