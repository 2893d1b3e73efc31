"""The READMEs: commands are valid, links lead somewhere, the tables of settings are complete."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser

from pipeline import gallery
from pipeline.command.overrides import is_sweep, plain_override
from pipeline.config.compose import CONF, compose_settings, known_keys
from pipeline.config.schema import OPEN_SEGMENTERS
from pipeline.errors import UserError
from pipeline.pictures.read import SAMPLES
from pipeline.regions.custom import own_names
from pipeline.regions.names import check_names
from pipeline.request import parse_regions, parse_styles

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    page for pattern in ("*.md", "conf/**/*.md", "pipeline/**/*.md") for page in ROOT.glob(pattern)
)
README = ROOT / "README.md"
SETTINGS_PAGE = ROOT / "conf" / "README.md"
# Placeholders of the READMEs for the reader's own files and folders.
_PLACEHOLDER = re.compile(r"[A-Z]{2,}(/\S*)?|large\.jpg")


def blocks(text: str) -> Iterator[str]:
    """The lines of the code blocks, without remarks; a line that ends in a backslash goes on."""
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if line.startswith("    "):
            yield re.sub(r"\s+#.*", "", line).strip()


def commands(page: Path) -> list[str]:
    """Everything that a page has people type that runs a module of the package."""
    text = page.read_text(encoding="utf-8")
    inline = re.findall(r"`([^`\n]*)`", text)
    found = []
    for line in [*blocks(text), *inline]:
        for part in re.split(r"\s*(?:&&|;)\s*", line):
            if re.match(r"(\w+=\S+ )*(python|torchrun .*) ?-m pipeline\b", part):
                found.append(part)
    return found


def modules() -> list[tuple[str, str, list[str]]]:
    """(page, module, arguments) of every command in every page."""
    found = []
    for page in PAGES:
        for command in commands(page):
            words = shlex.split(command)
            at = next(place for place, word in enumerate(words) if word.startswith("pipeline"))
            found.append((page.relative_to(ROOT).as_posix(), words[at], words[at + 1 :]))
    return found


RUNS = [(page, words) for page, module, words in modules() if module == "pipeline"]


def runs_of(words: list[str]) -> list[list[str]]:
    """The overrides of each run that a command starts, in Hydra's grammar."""
    sweep = is_sweep(words)
    overrides = [
        plain_override(word, sweep)
        for word in words
        if "=" in word and not word.lstrip("+").startswith(("hydra.", "hydra/"))
    ]
    parsed = OverridesParser.create().parse_overrides(overrides)
    batches = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    return [[*run] for batch in batches for run in batch]


def test_the_pages_have_commands() -> None:
    """So that the tests below do not pass for want of something to test."""
    counts = {page: sum(page == other for other, _ in RUNS) for page, _ in RUNS}
    assert counts["README.md"] >= 7
    assert counts["conf/README.md"] >= 20
    assert counts["pipeline/engine/README.md"] == 3
    assert [len(runs_of(["-m", "method=stitch,composite", "+styles.rest=wave.jpg,ink.jpg"]))] == [4]


@pytest.mark.parametrize(("page", "words"), RUNS, ids=[f"{p}: {' '.join(w)}" for p, w in RUNS])
def test_every_command_has_valid_settings(page: str, words: list[str]) -> None:
    flags = {word for word in words if "=" not in word} - {"job"}
    assert flags <= {"-m", "--help", "--cfg"}
    for overrides in runs_of(words):
        for override in overrides:
            key = re.sub(r"^\+*", "", override).split("=")[0]
            own = key.startswith(("styles.", "regions."))
            assert own or key in known_keys(), override
        settings = compose_settings(overrides)
        labels, regions = parse_regions(settings.regions)
        styles = {} if settings.styles == "match" else parse_styles(settings.styles)
        # The names of an open segmenter's classes are its model's.
        if labels is None and settings.segmenter.name not in OPEN_SEGMENTERS:
            check_names([*styles, *regions], own_names(None, regions))
        pictures = [style.image for chosen in styles.values() for style in chosen]
        pictures += [settings.reference] if settings.reference else []
        stems = {Path(name).stem for name in gallery.names()}
        # And the networks that the commands before have trained.
        networks = {f"{stem}.safetensors" for stem in stems}
        here = {*gallery.names(), *stems, *networks, *SAMPLES}
        for name in [settings.content, *pictures]:
            assert name in here or _PLACEHOLDER.fullmatch(name), name


def test_a_wrong_command_is_noticed() -> None:
    with pytest.raises(UserError, match="did you mean method"):
        compose_settings(runs_of(["metod=stitch"])[0])
    with pytest.raises(UserError, match="did you mean person"):
        test_every_command_has_valid_settings("", ["+styles.persn=scream.jpg"])


def test_every_module_that_is_called_is_there() -> None:
    called = {module for _, module, _ in modules()}
    assert called >= {
        "pipeline",
        "pipeline.compare",
        "pipeline.benchmark",
        "pipeline.gallery.paint",
    }
    assert [name for name in sorted(called) if importlib.util.find_spec(name) is None] == []


def test_the_readme_is_short() -> None:
    assert len(README.read_bytes()) < 10_000


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"https?://", target):
            continue
        path, _, heading = target.partition("#")
        file = page if not path else page.parent / path
        assert file.exists(), f"{page.relative_to(ROOT)}: {target}"
        if heading:
            assert heading in headings(file), f"{page.relative_to(ROOT)}: {target}"


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, made as GitHub makes them."""
    lines = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in lines}


def documented() -> dict[str, str]:
    """Key to default, as the tables of settings have them."""
    text = SETTINGS_PAGE.read_text(encoding="utf-8")
    tables = text[text.index("## Every setting") : text.index("## Presets")]
    rows = re.findall(r"^\| `([\w.]+)` \| ([^|]*) \|", tables, re.MULTILINE)
    assert len(rows) == len(dict(rows)), "a key stands there twice"
    return {key: default.strip().strip("`") for key, default in rows}


def values(settings: object, prefix: str = "") -> dict[str, object]:
    """Dotted key to value."""
    found: dict[str, object] = {}
    for entry in fields(settings):  # type: ignore[arg-type]
        value, key = getattr(settings, entry.name), f"{prefix}{entry.name}"
        if is_dataclass(value):
            found |= values(value, f"{key}.")
        else:
            found[key] = value
    return found


def written(value: object) -> str:
    """A value as it is written on the command line."""
    if isinstance(value, list):
        return f"[{','.join(written(entry) for entry in value)}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def test_every_setting_is_described_with_its_default() -> None:
    defaults = {key: written(value) for key, value in values(compose_settings([])).items()}
    groups = set(known_keys()) - set(defaults)
    assert groups == {"encoder", "experiment", "logger", "loss", "method", "optimizer", "segmenter"}
    defaults |= {group: defaults.get(f"{group}.name", "none") for group in groups}
    assert documented() == defaults


def test_every_choice_is_described() -> None:
    text = SETTINGS_PAGE.read_text(encoding="utf-8")
    tables = {
        group: re.findall(r"`([^`]+)`", row)
        for group, row in re.findall(r"^\| `(\w+)` \|(.*)$", text, re.MULTILINE)
    }
    tables["preset"] = re.findall(r"^\| `(\w+)` \|", section(text, "Presets"), re.MULTILINE)
    tables["experiment"] = re.findall(r"^\| `(\w+)` \|", section(text, "Experiments"), re.MULTILINE)
    for group in ("encoder", "segmenter", "method", "loss", "optimizer", "preset", "experiment"):
        choices = {path.stem for path in (CONF / group).glob("*.yaml")} - {"base"}
        assert choices <= {*tables[group]}, group


def section(text: str, heading: str) -> str:
    """What stands under a heading, until the next one."""
    return re.split(rf"^#+ {heading}\n", text, flags=re.MULTILINE)[1].split("\n#")[0]


def ranges() -> dict[str, tuple[float, float]]:
    """Key to the lowest and highest number, as the tables of settings have them."""
    text = SETTINGS_PAGE.read_text(encoding="utf-8")
    found = {}
    for key, words in re.findall(r"^\| `([\w.]+)` \| [^|]* \| ([^|]*) \|", text, re.MULTILINE):
        bounds = re.search(r"([\d.e-]+) to ([\d.e]+)", words)
        if bounds is not None and "^" not in words and key in known_keys():
            found[key] = (float(bounds[1]), float(bounds[2]))
    return found


def test_the_ranges_of_the_settings_are_those_of_the_schema() -> None:
    bounds = ranges()
    assert len(bounds) > 20
    for end in (0, 1):
        compose_settings([override(key, pair[end]) for key, pair in bounds.items()])
    for beyond in (
        {k: v[0] - 1 for k, v in bounds.items()},
        {k: v[1] + 1 for k, v in bounds.items()},
    ):
        with pytest.raises(UserError) as caught:
            compose_settings([override(key, number) for key, number in beyond.items()])
        refused = {problem.split("=")[0] for problem in str(caught.value).split("; ")}
        assert set(bounds) <= refused


def override(key: str, number: float) -> str:
    """A setting with that value, or with a list of it."""
    text = f"{number:.0f}" if number.is_integer() else str(number)
    if key == "loss.layer_weights":
        return f"{key}=[{text},1]"  # all zeros are refused
    return f"{key}=[{text}]" if key == "segmenter.sizes" else f"{key}={text}"


def shown_commands() -> list[list[str]]:
    """The commands of the main README's code blocks."""
    text = README.read_text(encoding="utf-8")
    lines = [line.split("&& ")[-1] for line in blocks(text) if "-m pipeline" in line]
    return [shlex.split(line)[3:] for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("words", shown_commands(), ids=" ".join)
def test_the_commands_of_the_readme_run(words: list[str], tmp_path: Path) -> None:
    kind = "hydra.sweep.dir" if is_sweep(words) else "hydra.run.dir"
    small = ["size=128", "device=cpu", "encoder=compact", "segmenter=compact"]
    given = [word for word in words if word != "preset=draft"]
    # A preset's method would take the place of the default.
    small += ["preset=draft"] if given != [*words] else ["optimizer.iterations=20"]
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *given, *small, f"{kind}={tmp_path}"],
        cwd=tmp_path,
        env=_environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    name = "summary.json" if not any("styles" in word for word in words) else "result.png"
    assert len([*tmp_path.rglob(name)]) == len(runs_of(words))


def _environment() -> dict[str, str]:
    path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH")) if part)
    return {**os.environ, "PYTHONPATH": path}
