"""Hundreds of inputs that are wrong or odd: each ends in a result or in one line, never otherwise.

They are made here and small. What is found by chance (Hypothesis) is the same in every run.
"""

import io
import os
import random
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from pipeline import build
from pipeline.command.overrides import plain_override
from pipeline.config.compose import compose_settings, known_keys
from pipeline.config.schema import Settings
from pipeline.errors import UserError
from pipeline.inputs import Inputs, read_inputs
from pipeline.pictures import read
from pipeline.pictures.in_memory import to_image
from pipeline.regions.label_map import label_map, mask_of_size
from pipeline.request import parse_regions, parse_shape, parse_styles
from tests.in_process import TINY, command

# The same examples in every run, however slow the machine.
steady = settings(derandomize=True, deadline=None, max_examples=40, database=None)


T = TypeVar("T")


def attempt(work: Callable[[], T]) -> T | str:
    """What comes of it, or the one line for the user."""
    try:
        return work()
    except UserError as error:
        line = str(error)
    assert line
    assert "\n" not in line
    return line


def noise(width: int = 40, height: int = 32) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a photograph, an empty folder, a text and nothing else."""
    made = tmp_path_factory.mktemp("hostile")
    noise(80, 64).save(made / "p.png")
    (made / "empty").mkdir()
    (made / "text.jpg").write_text("text")
    (made / "zero.png").touch()
    torch.save({"0.weight": torch.zeros(3)}, made / "other.pth")
    return made


# Names: a path is the file of that name wherever one is given.

NAMES = [
    "föö.png", "日本語.png", "😀.png", "e\u0301.png", "\u202egnp.png", "\udcff.png", "[a].png",
    "[red].png", "{a: b}.png", "#1.png", "a;b.png", "~.png", "~nosuch", "~", "a&b.png",
    "it's.png", 'say "hi".png', "'q'.png", "1e5", "null", "true", "nan", "0x10", "-x.png",
    "--help", "${oc.env:HOME}.png", "${x}.png", "${now:%Y}.png", "a,b.png", "a=b.png",
    " blank .png", "choice(a).png", "range(1,2)", "back\\slash.png", "new\nline.png", "a\tb.png",
    "%41.png", "*.png", "?.png", "a" * 250, "box(0,0,1,1", "match", "labels", "all", "astronaut",
    ".png", "..png", "<b>.png", ":smile:", "content=a.png", "a:b.png", "http:", "$HOME.png",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_is_the_file_of_that_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # Each use another picture, so that none is taken for another, nor for a sample or gallery's.
    for kind, colour in (("photos", "red"), ("masks", "white")):
        (tmp_path / kind).mkdir()
        Image.new("RGB", (40, 32), colour).save(tmp_path / kind / name, format="PNG")
    Image.new("RGB", (40, 32), "blue").save(tmp_path / name, format="PNG")
    for place in ("", "photos/"):
        words = [f"content={place}{name}", f"init={place}{name}", f"+styles.all={place}{name}"]
        words += [f"+regions.sky=masks/{name}"]
        chosen = compose_settings([plain_override(word, sweep=False) for word in words])
        inputs = read_inputs(build.request(chosen), None, tmp_path)
        blue, red = (0.0, 1.0) if place else (1.0, 0.0)
        assert inputs.init is not None
        for picture in (inputs.photograph.picture, inputs.styles["all"][0].picture, inputs.init):
            assert picture[0, :, 0, 0].tolist() == [red, 0, blue]
        assert float(inputs.masks["sky"].min()) == 1
        assert read.content_files(chosen.content, tmp_path) is None


@pytest.mark.parametrize("name", ["[/red] [a]", ":smile: #1", "~nosuch", "föö; b", "it's, 1e5"])
def test_a_run_goes_to_the_folder_of_that_name(name: str, tmp_path: Path) -> None:
    noise().save(tmp_path / "p.png")
    words = ["content=p.png", "+regions.a=box(0,0,1,0.5)", f"hydra.run.dir={name}"]
    done = command(*TINY, *words, folder=tmp_path)
    assert done.status == 0, done.err
    assert (tmp_path / name / "regions.png").exists()
    # The table breaks it where the terminal's line ends.
    assert f"{name}/masks/a.png".replace(" ", "") in "".join(done.out.split())


@settings(steady, max_examples=15)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=20))
def test_any_text_is_a_name(name: str) -> None:
    chosen = compose_settings([plain_override(f"content=no such/{name}", sweep=False)])
    assert chosen.content == f"no such/{name}"


# Words: what is wrong ends in one line that names it.

WRONG = [
    "seed=???", "seed=-1", "seed=1.5", "seed=[]", "seed=null", "seed=a",
    "seed=99999999999999999999",
    "feather=[1]", "feather={a: 1}", "feather=abc", "feather=nan", "feather=inf", "feather=-1",
    "strength=2", "strength=null", "strength=true", "strength=${strength}", "strength=",
    "cuda_graph=maybe", "cuda_graph=null", "resume=maybe", "size=null", "size=[]", "size=[64]",
    "size={}", "size=-1", "size=0x40", "size=1e3", "size=nan", "size=${size}", "size=true",
    "size=${oc.env:NOSUCH_VARIABLE}", "budget=[]", "tile=1", "tile=[]", "tile=", "snapshots=5",
    "snapshots=[a]", "snapshots=[[1]]", "snapshots={a: 1}", "snapshots=null", "snapshots=[0]",
    "snapshots=[999]", "loss.layer_weights=[1,a]", "loss.layer_weights=3", "loss.layer_weights=[]",
    "loss.layer_weights=[nan,1,1]", "loss.style=x", "loss.style_weight=[1]", "loss=null", "loss=3",
    "encoder.style_layers=relu1_1", "encoder.style_layers=[]", "encoder.levels=99",
    "encoder.name=null", "encoder=null", "encoder=true", "encoder=vgg20", "encoder.pooling=mean",
    "segmenter.sizes=64", "segmenter.sizes=[1.5]", "segmenter.sizes=[1]", "segmenter=null",
    "segmenter.refine=false", "segmenter.refine=null", "segmenter.refine.by_colour=[nosuch]",
    "segmenter.refine.radius=0", "method=null", "method=3", "method=x", "method.gram=",
    "method.gram=[masked]", "optimizer.iterations=0",
    "optimizer.iterations=${nosuch}", "optimizer.scales=[1]", "logger=x", "preset=x", "device=",
    "device=3", "device=null", "device=meta", "device=xla", "device=cpu:1", "precision=fp16",
    "memory=lots", "content=", "content=null", "content=[]", "content={}", "content=[a,b]",
    "content=3", "content=..", "content=empty", "content=text.jpg", "content=zero.png",
    "content=~nosuch/x.jpg", "content=/dev/null", "init=", "init=nosuch.jpg",
    "init=empty", "reference=ink.jpg", "styles=ink.jpg", "styles=[]", "styles=match", "styles=3",
    "styles=null", "+styles.person=null", "+styles.person=[]", "+styles.person={}",
    "+styles.person=[ink.jpg,3]", "+styles.person={image: ink.jpg, crop: 5}",
    "+styles.person={image: ink.jpg, crop: true}", "+styles.person={image: ink.jpg, crop: [1]}",
    "+styles.person={image: ink.jpg, crop: [a,b,c,d]}", "+styles.all=~nosuch/x.jpg",
    "+styles.person={image: ink.jpg, crop: {a: 1}}", "+styles.person={image: ink.jpg, scale: a}",
    "+styles.person={image: ink.jpg, crop: [nan,0,1,1]}", "+styles.person={image: ink.jpg, x: 1}",
    "+styles.person={image: ink.jpg, weight: nan}", "+styles.person={image: ink.jpg, color: 3}",
    "+styles.person={image: ink.jpg, region: [a]}", "+styles.person={image: [a]}",
    "+styles.person={nosuch: 3}", "+styles.person={0: ink.jpg}", "+styles.person={1: 3}",
    "+styles.person.²=ink.jpg", "+styles.=ink.jpg", "+styles..=ink.jpg", "+styles", "a", "=", "=3",
    "+styles.person.0=ink.jpg", "+regions.sky={}", "+regions.sky=[]",
    "+regions.sky={source: [1]}", "+regions.sky={source: p.png, grow: a}", "+regions.logo=logo",
    "+regions.sky={source: p.png, invert: maybe}", "+regions.sky={source: p.png, feather: [1]}",
    "+regions.sky=box(1)", "+regions.sky=box(a,b,c,d)", "+regions.sky=box()",
    "+regions.sky=box(nan,0,1,1)", "+regions.sky=box(inf,0,1,1)", "+regions.sky=circle(0,0,0)",
    "+regions.sky=circle(0.5,0.5,1e308)", "+regions.sky=polygon(0,0,1,1)",
    "+regions.sky=polygon(0,0,1,1,0,1e308)", "regions=nosuch.png", "regions=text.jpg",
    "regions=null", "+regions.labels={a: 1}", "encoder.weights=nosuch.pth",
    "encoder.weights=text.jpg", "encoder.weights=~nosuch/x.pth",
    "hydra.run.dir=p.png/x", "hydra.run.dir=${hydra.run.dir}", "hydra.run.dir=${nosuch}",
    "hydra.run.dir=${now:", "hydra/launcher=nosuch", "hydra/job_logging=nosuch", "hydra=3",
    "hydra.mode=x", "hydra.searchpath=3", "siez=3", "+siez=3", "~nosuch", "+optimizer=lbfgs",
    "--nosuch", "--cfg", "--cfg=nosuch", "--config-name=nosuch", "--config-dir=nosuch",
    "+_target_=os.system", "encoder._target_=os.system", "+encoder._target_=os.system",
    "+styles.person={_target_: os.system, image: ink.jpg}", "+styles._target_=os.system",
]  # fmt: skip


#: What needs more than settings and inputs to be found wrong goes through the whole command.
_WHOLE = re.compile(r"hydra|[-~=]|.*_target_|encoder|segmenter|device|content=|siez|a$|styles$")


def refused(words: tuple[str, ...], folder: Path) -> str:
    """What is said of settings or inputs that are wrong, without Hydra's own second."""

    def work() -> Inputs:
        chosen = compose_settings([plain_override(word, sweep=False) for word in words])
        return read_inputs(build.request(chosen), 64, folder)

    line = attempt(work)
    assert isinstance(line, str), line
    return line


def said_in_one_line(words: tuple[str, ...], folder: Path) -> str:
    """What a command that fails says; it must be one line, and nothing be left."""
    before = sorted(folder.rglob("*"))
    done = command("hydra.run.dir=out", *words, folder=folder)
    left = {*folder.rglob("*")} - {*before}
    assert (done.status, len(done.lines)) == (2, 1), (done.status, done.err)
    assert not left
    (line,) = done.lines
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize("word", WRONG, ids=ascii)
def test_what_is_wrong_is_said_in_one_line(word: str, folder: Path) -> None:
    words = ["content=p.png", "encoder=compact", "segmenter=compact"]
    if not word.startswith(("styles", "+styles", "content")):
        words.append("+styles.all=ink.jpg")
    tell = said_in_one_line if _WHOLE.match(word.lstrip("+")) or "${" in word else refused
    line = tell((*words, word), folder)
    assert len(line) < 600
    for strange in ("Traceback", "Exception", "$VALUE", "object at 0x", "<EOF>", "not iterable"):
        assert strange not in line
    # It names the input: its key, or its value, or what Hydra calls it.
    key = word.lstrip("+~-").partition("=")[0].rpartition(".")[2].rpartition("/")[2]
    value = word.rpartition("=")[2].strip("+~-")
    assert not key or key in line or (value and value in line) or "nterpolation" in line, line


def test_options_may_stand_anywhere(folder: Path) -> None:
    for words in (("size=64", "--cfg", "job", "seed=3"), ("--cfg", "job", "size=64", "seed=3")):
        done = command(*words, folder=folder)
        assert done.status == 0, done.err
        assert "size: 64" in done.out
        assert "seed: 3" in done.out


PRESETS = {
    "bad": "a: [1, 2\nb: }{",
    "tab": "a:\n\t- b",
    "twice": "# @package _global_\nsize: 64\nsize: 32",
    "zero": "\0\1",
    "list": "- a\n- b",
    "alias": "a: &x [*x]",
    "unknown": "# @package _global_\nsiez: 3",
    "loop": "# @package _global_\nsize: ${budget}\nbudget: ${size}",
    "resolver": "# @package _global_\nsize: ${nosuch:1}",
    "type": "# @package _global_\nfeather: [1]",
    "latin": "a: \udcff\udcfe",
    "python": "a: !!python/object/apply:os.system [exit]",
    "target": "# @package _global_\n_target_: os.abort",
    "callback": "# @package _global_\nhydra:\n  callbacks:\n    x:\n      _target_: os.abort",
    "launcher": "# @package _global_\nhydra:\n  launcher:\n    _target_: os.abort",
    "sweeper": "# @package _global_\nhydra:\n  sweeper:\n    _target_: os.abort",
    "handler": "# @package _global_\nhydra:\n  job_logging:\n    handlers:\n      x:\n"
    "        class: os.abort",
    "factory": "# @package _global_\nhydra:\n  hydra_logging:\n    formatters:\n      x:\n"
    "        (): os.abort",
    "stream": "# @package _global_\nhydra:\n  job_logging:\n    handlers:\n      console:\n"
    "        stream: ext://os.abort",
}


@pytest.mark.parametrize("name", PRESETS)
def test_a_foreign_configuration_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    preset = tmp_path / "own" / "preset" / f"{name}.yaml"
    preset.parent.mkdir(parents=True)
    preset.write_bytes(PRESETS[name].encode("utf-8", "surrogateescape"))
    line = said_in_one_line(
        ("content=astronaut", "--config-dir", "own", f"preset={name}"), tmp_path
    )
    if "os.abort" in PRESETS[name]:
        assert "os.abort" in line or "_target_" in line


@steady
@given(st.sampled_from([key for key in known_keys() if key != "content"]), st.text(max_size=12))
def test_any_value_of_any_setting_is_taken_or_refused(key: str, value: str) -> None:
    word = f"{key}={value}"
    found = attempt(lambda: compose_settings([plain_override(word, sweep=False)]))
    assert isinstance(found, Settings | str)


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
trees = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)
keys = st.sampled_from(["image", "weight", "scale", "crop", "region", "color", "strength", "1"])
more_keys = st.sampled_from(["source", "invert", "grow", "feather", "labels"]) | keys


@steady
@given(st.dictionaries(st.text(max_size=6), st.dictionaries(more_keys, trees) | trees))
def test_any_styles_and_regions_are_taken_or_refused(tree: dict[str, Any]) -> None:
    assert isinstance(attempt(lambda: parse_styles(tree)), dict | str)
    assert isinstance(attempt(lambda: parse_regions(tree)), tuple | str)


@steady
@given(st.sampled_from(["box", "circle", "polygon"]), st.lists(st.floats(), max_size=8))
def test_any_shape_is_drawn_or_refused(kind: str, numbers: list[float]) -> None:
    from pipeline.regions.custom import shape_mask

    shape = attempt(lambda: parse_shape(f"{kind}({','.join(map(str, numbers))})"))
    if isinstance(shape, str):
        return
    assert shape is not None
    mask = shape_mask(shape, 24, 30, (300, 240))
    assert mask.shape == (1, 1, 24, 30)
    assert 0 <= float(mask.min()) <= float(mask.max()) <= 1


# Pictures: whatever a file or a value holds.


def damaged(kind: str) -> Iterator[tuple[str, bytes]]:
    """A picture file that is cut off, or has wrong bytes."""
    buffer = io.BytesIO()
    noise(60, 50).save(buffer, kind)
    whole, chance = buffer.getvalue(), random.Random(0)
    for part in (1, 12, 40, len(whole) // 3, len(whole) - 20):
        yield f"cut at {part}", whole[:part]
    for number in range(7):
        wrong = bytearray(whole)
        for _ in range(1 + 8 * number):
            wrong[chance.randrange(len(wrong) if number % 2 else 200)] = chance.randrange(256)
        yield f"wrong {number}", bytes(wrong)


KINDS = ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "PPM", "TGA", "ICO", "AVIF"]
DAMAGED = [(kind, name, data) for kind in KINDS for name, data in damaged(kind)]


@pytest.mark.parametrize(("kind", "name", "data"), DAMAGED, ids=[f"{k} {n}" for k, n, _ in DAMAGED])
def test_a_damaged_picture_is_read_or_refused(
    kind: str, name: str, data: bytes, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{kind.lower()}"
    path.write_bytes(data)
    for open_file in (
        lambda: read.content_picture(path.name, 32, tmp_path),
        lambda: mask_of_size(read.open_labels(path.name, tmp_path), 20, 30),
        lambda: label_map(read.open_labels(path.name, tmp_path)),
    ):
        found = attempt(open_file)
        if isinstance(found, str):
            assert path.name in found
            assert ";" in found  # what to do


@steady
@given(
    arrays.arrays(
        st.sampled_from(["u1", "i1", "u2", "i2", "i4", "i8", "f2", "f4", "f8", "?", "c8", ">f4"]),
        arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5),
    ),
    st.booleans(),
)
def test_any_array_or_tensor_is_taken_or_refused(array: np.ndarray, as_tensor: bool) -> None:
    value: Any = array
    if as_tensor and array.dtype.isnative and array.dtype != np.uint16:
        value = torch.from_numpy(array)
    for kind in ("picture", "mask", "label map"):
        found = attempt(partial(to_image, value, kind))
        if not isinstance(found, str):
            assert found.mode in ("L", "RGB", "RGBA", "I;16")
            assert 0 not in found.size


@steady
@given(
    st.integers(16, 90),
    st.integers(16, 90),
    arrays.arrays(
        st.sampled_from([np.uint8, np.bool_]),
        arrays.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=70),
    ),
)
def test_a_mask_of_any_size_fits_a_photograph_of_any_size(
    width: int, height: int, mask: np.ndarray
) -> None:
    found = mask_of_size(to_image(mask, "mask"), height, width)
    assert found.shape == (1, 1, height, width)
    assert 0 <= float(found.min()) <= float(found.max()) <= 1


# Many: folders and regions.


def test_names_that_no_terminal_shows_stop_no_folder(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    names = [
        "a.png",
        "pipeline.log.png",
        os.fsdecode(b"b\xff.png"),
        "[red].png",
        "summary.json.png",
    ]
    for name in names:
        noise().save(photos / name)
    done = command(*TINY, "content=photos", "hydra.run.dir=out", folder=tmp_path)
    assert done.status == 0, done.err
    assert "Traceback" not in done.err
    assert len([*(tmp_path / "out").rglob("regions.png")]) == len(names)
    table = (tmp_path / "out" / "results.csv").read_text(encoding="utf-8")
    assert "b\\udcff,regions" in table
    assert (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_more_regions_than_the_palette_has_colours(tmp_path: Path) -> None:
    noise().save(tmp_path / "p.png")
    words = [f"+regions.r{n}=box(0,0,1,{(n + 1) / 300})" for n in range(260)]
    done = command(*TINY, "content=p.png", *words, "hydra.run.dir=out", folder=tmp_path)
    assert done.status == 0, done.err
    # Those of less than a pixel are not shown.
    assert len([*(tmp_path / "out" / "masks").iterdir()]) > 235
