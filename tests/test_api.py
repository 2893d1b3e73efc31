"""Python: the command line's work as a function, on real photographs with the bundled networks."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

import pipeline
from pipeline import Result, UserError, stylize

QUICK: dict[str, Any] = {
    "size": 128,
    "segmenter": "compact",
    # At this size the helmet is found, too, though not as what it is.
    "segmenter.min_share": 0.1,
    "encoder": "compact",
    "device": "cpu",
    "optimizer": {"iterations": 6, "scales": 1},
}


@pytest.fixture(scope="module")
def result() -> Result:
    styles = {"person": "scream.jpg"}
    return stylize("astronaut", styles, method="guided", snapshots=[3], **QUICK)


def test_the_package_exports_little() -> None:
    assert pipeline.__all__ == ["Result", "UserError", "__version__", "stylize"]


def test_the_result_has_all_that_the_command_writes(result: Result) -> None:
    assert result.picture.size == (128, 128)
    assert set(result.regions) == {"background", "person"}
    assert result.masks["person"].shape == (128, 128)
    assert result.masks["person"].dtype == np.float32
    assert len(result.losses) == 6
    assert set(result.snapshots) == {3}
    assert result.summary["method"] == "guided"
    outside = result.masks["person"] == 0
    picture = np.asarray(result.picture)
    content = np.asarray(Image.fromarray(data.astronaut()).resize((128, 128), 1))
    assert np.array_equal(picture[outside], content[outside])
    assert np.abs(picture.astype(int) - content)[result.masks["person"] > 0.5].mean() > 5


def test_it_shows_in_a_notebook(result: Result) -> None:
    with Image.open(io.BytesIO(result._repr_png_())) as shown:
        assert shown.size == (128, 128)


@pytest.mark.parametrize("kind", ["path", "pil", "array", "float", "chw", "bchw"])
def test_pictures_of_every_kind_are_the_same(kind: str, result: Result, tmp_path: Path) -> None:
    array = data.astronaut()
    Image.fromarray(array).save(tmp_path / "a.png")
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1).float() / 255
    content = {
        "path": tmp_path / "a.png",
        "pil": Image.fromarray(array),
        "array": array,
        "float": array / 255.0,
        "chw": tensor,
        "bchw": tensor[None],
    }[kind]
    mask = np.zeros((50, 50), dtype=bool)
    mask[10:40, 10:40] = True
    options: dict[str, Any] = {**QUICK, "optimizer": {"iterations": 1, "scales": 1}}
    found = stylize(content, {"spot": array[::4, ::4]}, regions={"spot": mask}, **options)
    assert found.segmentation is None
    assert torch.equal(found.content, result.content)
    assert found.regions == {"spot": pytest.approx(0.36, abs=0.02)}


def test_regions_of_style_pictures_may_be_in_memory() -> None:
    art = np.zeros((60, 80, 3), dtype=np.uint8)
    art[:, 40:] = (250, 120, 10)
    labels = np.zeros((60, 80, 3), dtype=np.uint8)
    labels[:, 40:] = (0, 0, 255)
    options: dict[str, Any] = {**QUICK, "optimizer": {"iterations": 1, "scales": 1}}
    masked = stylize(
        "astronaut",
        {"all": {"image": art, "mask": Image.fromarray(labels[..., 2] > 0)}},
        **{**options, "method": "global"},
    )
    # Only the right side of it is used.
    assert masked.styles["all"][0].shape[3] < 80 - 20
    matched = stylize(
        "astronaut",
        "match",
        regions=labels,
        reference=art,
        reference_regions=labels,
        **options,
    )
    assert matched.segmentation is None
    assert set(matched.styles) == {"black", "blue"}


def test_a_thing_at_a_point() -> None:
    picture = np.full((60, 90, 3), (20, 60, 150), dtype=np.uint8)
    picture[15:45, 30:60] = (240, 40, 20)
    found = stylize(picture, regions={"thing": "point(0.5, 0.5)"}, segmenter="compact")
    assert found.regions["thing"] == pytest.approx(1 / 6, abs=0.03)


def test_without_styles_it_finds_the_regions() -> None:
    found = stylize("chelsea", **QUICK)
    assert found.painted is None
    assert max(found.regions, key=found.regions.__getitem__) == "cat"


@pytest.mark.parametrize(
    ("content", "styles", "options", "message"),
    [
        ("astronaut", {"persn": "scream"}, {}, "did you mean person"),
        ("astronaut", {"person": "screm"}, {}, "scream.jpg"),
        ("astronaut", {"person": "scream"}, {"method": "stich"}, "choices: composite"),
        ("astronaut", {"person": "scream"}, {"sise": 100}, "did you mean size"),
        ("astronaut", {"person": "scream"}, {"size": 3}, "outside 32"),
        ("astronaut", {"person": 3}, {}, "is not the path"),
        ("astronaut", "match", {}, "add reference"),
        ("astronaut", {}, {"reference_regions": "labels.png"}, "add styles=match and"),
        ("astronaut", {}, {"regions": {"thing": "point(999,3)"}}, "999,3 lies outside"),
        (np.zeros((4, 4, 7)), {}, {}, "shape"),
        (np.full((40, 40, 3), 7.0), {}, {}, "uint8"),
        (3, {}, {}, "type int"),
        ("", {}, {}, "content is empty"),
        ("a" * 5000, {}, {}, "not found"),
        ("~nosuch/a.png", {}, {}, "not found"),
        (Path("~nosuch/a.png"), {}, {}, "not found"),
        ("astronaut", np.zeros((24, 30, 3)), {}, "give the region, too"),
        ("astronaut", {"person": {"image": "ink", "crop": 5}}, {}, "should be .left, top"),
        ("astronaut", {"person.²": "ink"}, {}, "no region 'person.²'"),
        ("astronaut", {}, {"method": 3}, "method=3 does not exist; choices"),
        ("astronaut", {}, {"hydra": {"run": {"dir": "x"}}}, "no setting 'hydra'"),
        ("astronaut", {}, {"a b": 3}, "no setting 'a b'"),
        ("astronaut", {}, {"encoder": {"_target_": "os.abort"}}, "no setting 'encoder._target_'"),
        ("astronaut", {}, {"snapshots": {1}}, "should be a list of whole numbers"),
    ],
)
def test_mistakes_are_one_line(content: Any, styles: Any, options: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        stylize(content, styles, **{**QUICK, **options})
    assert "\n" not in str(error.value)


def test_numbers_of_other_libraries_are_numbers() -> None:
    style = {
        "image": np.zeros((40, 40, 3)),
        "strength": np.float32(0.5),
        "crop": np.array([0, 0, 0.5, 1]),
        "scale": torch.tensor(2.0),
    }
    options: dict[str, Any] = {**QUICK, "size": np.int64(64), "snapshots": np.array([1])}
    options["optimizer"] = {"iterations": 1, "scales": 1}
    found = stylize("astronaut", {"crop": style}, regions={"crop": "box(0, 0, 1, 0.5)"}, **options)
    assert found.picture.size == (64, 64)
    assert set(found.snapshots) == {1}


def test_threads_take_turns_and_have_the_results_of_one() -> None:
    def paint(number: int) -> torch.Tensor | None:
        options: dict[str, Any] = {**QUICK, "size": 64, "init": "noise", "seed": number % 2}
        options["optimizer"] = {"iterations": 2, "scales": 1}
        box = {"a": "box(0, 0, 1, 0.5)"}
        return stylize("astronaut", {"a": "ink"}, regions=box, **options).painted

    one_by_one = [paint(number) for number in range(2)]
    with ThreadPoolExecutor(4) as pool:
        for number, found in enumerate(pool.map(paint, range(4))):
            assert found is not None
            expected = one_by_one[number % 2]
            assert expected is not None
            assert torch.equal(found, expected)
    assert one_by_one[0] is not None
    assert one_by_one[1] is not None
    assert not torch.equal(one_by_one[0], one_by_one[1])


def test_the_photographs_own_size() -> None:
    picture = Image.new("RGB", (540, 70), (90, 120, 200))
    assert stylize(picture, size=512, segmenter="compact").picture.size == (512, 66)
    assert stylize(picture, segmenter="compact").picture.size == (540, 70)
    assert stylize(picture, size="full", segmenter="compact").picture.size == (540, 70)
    with pytest.raises(UserError, match="size=huge is neither auto nor full"):
        stylize(picture, size="huge")


def test_style_pictures_are_bounded_by_the_long_side_of_a_full_sized_photograph() -> None:
    picture = Image.new("RGB", (540, 70), (90, 120, 200))
    style = Image.new("RGB", (900, 300))
    for size, longest in (("full", 540), (256, 256)):
        result = stylize(
            picture, {"all": style}, size=size, method="global", optimizer={"iterations": 1}
        )
        assert result.styles["all"][0].shape[3] == round(0.7 * longest)
