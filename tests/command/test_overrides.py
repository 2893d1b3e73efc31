"""Overrides: a path on the command line means the file of that name."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from pipeline.command.overrides import literal, options_first, path_text, plain_override
from pipeline.config.compose import CONF, register
from pipeline.errors import UserError

NAMES = [
    "föö.jpg",
    "日本語.jpg",
    "😀.jpg",
    "[a].jpg",
    "{a: b}.jpg",
    "#1.jpg",
    "a;b.jpg",
    "a & b.jpg",
    "a~.jpg",
    "it's.jpg",
    'say "hi".jpg',
    "'quoted",
    "1e5",
    "true",
    "a,b (1).jpg",
    "a=b.jpg",
    "${oc.env:HOME}.jpg",
    r"back\slash.jpg",
    r"back\${now:x}.jpg",
    r"end\'.jpg",
    "choice(a.jpg",
    " blank .jpg",
    "~nosuch.jpg",
    "[bold].jpg",
]
KEYS = {
    "content": "content",
    "reference": "reference",
    "reference_regions": "reference_regions",
    "+styles.person.mask": "styles.person.mask",
    "init": "init",
    "encoder.weights": "encoder.weights",
    "segmenter.weights": "segmenter.weights",
    "method.weights": "method.weights",
    "segmenter.model": "segmenter.model",
    "prompts.text_model": "prompts.text_model",
    "prompts.click_model": "prompts.click_model",
    "+styles.person": "styles.person",
    "+styles.person.image": "styles.person.image",
    "styles.cat.1": "styles.cat.1",
    "+regions.sky": "regions.sky.source",
    "regions.sky.source": "regions.sky.source",
    "regions": "regions",
}


def composed(*words: str, sweep: bool = False) -> dict[str, object]:
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        found = compose("config", [plain_override(word, sweep) for word in words])
    container = OmegaConf.to_container(found, resolve=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def at(tree: object, key: str) -> object:
    for part in key.split("."):
        assert isinstance(tree, dict)
        tree = tree[part]
    return tree


@pytest.mark.parametrize("name", NAMES)
def test_a_path_is_the_file_of_that_name_wherever_one_is_taken(name: str) -> None:
    for key, place in KEYS.items():
        assert at(composed(f"{key}={name}"), place) == name, key


@pytest.mark.parametrize("name", ["[a]", "{a: b}", "'a'", "choice(a,b)", "a,b"])
def test_a_file_that_is_there_goes_before_what_the_grammar_would_say(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).touch()
    for sweep in (False, True):
        assert at(composed(f"content={name}", sweep=sweep), "content") == name


def test_lists_and_dictionaries_take_such_names_too() -> None:
    words = "+styles.person=[{image: föö.jpg, weight: 0.7}, {image: 'a, b.jpg', scale: 2}]"
    assert at(composed(words), "styles.person") == [
        {"image": "föö.jpg", "weight": 0.7},
        {"image": "a, b.jpg", "scale": 2},
    ]
    box = "+styles.cat={image: ${x}.jpg, crop: [0, 0, 0.5, 1]}"
    assert at(composed(box), "styles.cat") == {"image": "${x}.jpg", "crop": [0, 0, 0.5, 1]}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("content=a.jpg,föö.jpg", "content=a.jpg,'föö.jpg'"),
        ("content=no (1).jpg,b.jpg", "content='no (1).jpg',b.jpg"),
        (
            "+regions.x=box(0,0,1,1),circle(1,2,3)",
            "+regions.x.source='box(0,0,1,1)','circle(1,2,3)'",
        ),
        ("content=choice(a.jpg,b.jpg)", "content=choice(a.jpg,b.jpg)"),
        ("size=96,128", "size=96,128"),
        ("+styles.person.scale=1,2", "+styles.person.scale=1,2"),
    ],
)
def test_commas_separate_the_values_of_a_sweep(word: str, expected: str) -> None:
    assert plain_override(word, sweep=True) == expected


def test_options_are_put_before_the_overrides() -> None:
    words = ["size=64", "--config-dir", "a=b", "-m", "--cfg=job", "seed=1"]
    expected = ["--config-dir", "a=b", "-m", "--cfg=job", "size=64", "seed=1"]
    assert options_first(words) == expected
    for wrong, message in {"--nosuch": "--nosuch", "--cfg": "expected one", "=3": "=3"}.items():
        with pytest.raises(UserError, match=message):
            options_first([wrong])


def test_other_settings_are_left_as_they_are() -> None:
    for word in ("size=64", "-m", "--help", "snapshots=[1,2]", "+regions.person.grow=6"):
        assert plain_override(word, sweep=False) == word
    assert plain_override("hydra.run.dir=o/${now:%H}", False) == "hydra.run.dir='o/${now:%H}'"
    assert plain_override("experiment=color", False) == "+experiment=color"


@pytest.mark.parametrize("name", NAMES)
def test_texts_and_their_records_are_the_same_texts(name: str) -> None:
    # What a record of overrides holds is read again as the file it was.
    assert at(composed(f"content={literal(name)}"), "content") == name
    assert OmegaConf.create({"a": path_text(name)}).a == name
