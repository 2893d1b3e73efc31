"""The command line: every file under conf/ composes; bad input ends in one line and status 2."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from pipeline.configuration import CONF, known_keys
from pipeline.settings import Settings, register

GROUPS = ("segmenter", "encoder", "method", "optimizer", "loss", "preset")
CHOICES = [
    f"{group}={file.stem}"
    for group in GROUPS
    for file in sorted((CONF / group).glob("*.yaml"))
    if file.stem != "base"
]


def run(*words: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(CONF.parent), **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_composes_into_checked_settings(choice: str) -> None:
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        settings = OmegaConf.to_object(compose("config", [choice]))
    assert isinstance(settings, Settings)
    group, name = choice.split("=")
    chosen = getattr(settings, group)
    assert (chosen if group == "preset" else chosen.name) == name


@pytest.mark.parametrize("file", sorted((CONF / "training").glob("*.yaml")), ids=lambda f: f.stem)
def test_every_training_configuration_composes(file: Path) -> None:
    module = pytest.importorskip(f"pipeline.training.{file.stem}")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        configuration = compose(f"training/{file.stem}")
    assert set(configuration) == set(module.Settings.__dataclass_fields__)


def test_yaml_and_schema_have_the_same_defaults() -> None:
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        assert OmegaConf.to_object(compose("config")) == Settings()


def test_help_names_every_choice_and_every_key(tmp_path: Path) -> None:
    done = run("--help", folder=tmp_path)
    assert done.returncode == 0
    for choice in CHOICES:
        assert re.search(rf"\b{choice.split('=')[1]}\b", done.stdout), choice
    for key in known_keys():
        if key not in GROUPS:
            assert key.rpartition(".")[2] in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["siez=3"], r"no setting 'siez'; did you mean size\?"),
        (["+siez=3"], r"no setting 'siez'; did you mean size\?"),
        (["+optimizer.iteration=3"], r"did you mean optimizer.iterations\?"),
        (["encodr=vgg19"], r"no setting 'encodr'; did you mean encoder\?"),
        (["method=stich"], r"method=stich does not exist; did you mean stitch\?"),
        (["size=abc"], r"size=abc: .*abc"),
        (["size=5", "feather=-2"], r"size=5 is outside 32 to 16384; feather=-2"),
        (["device=cuda:99"], r"device=cuda:99 is not available"),
        (["+styles.persn=ink.jpg"], r"no region 'persn'; did you mean person\?"),
        (["+styles.person=snk.jpg"], r"style 'snk.jpg' not found in .*did you mean ink.jpg\?"),
        (["styles.person=snk.jpg"], r"style 'snk.jpg' not found"),
        (["content=nowhere.jpg"], r"content 'nowhere.jpg' not found"),
        (["content=."], r"is a folder"),
        (["content=zero.png"], r"zero.png is empty \(0 bytes\)"),
        (["+styles.person=text.jpg"], r"text.jpg is not a picture"),
        (["+styles.person=ink.jpg", "content=grey.png"], r"no person in this photograph; it shows"),
        (["hydra.run.dir=zero.png/below"], r"zero.png/below"),
        (["device=cpu:x"], r"device=cpu:x is not available"),
        (["content=no (1), a=b.png"], r"content 'no \(1\), a=b.png' not found"),
        (["content=it's.png"], r"not found"),
        (["+styles.person="], r"styles.person= is not the path or name"),
        (["encoder.weights=x.pth", "+styles.person=ink.jpg"], r"x.pth not found"),
        (["segmenter=compact", "segmenter.weights=text.jpg"], r"text.jpg is refused"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_ends_in_one_line_and_status_2(
    words: list[str], message: str, tmp_path: Path
) -> None:
    from PIL import Image

    (tmp_path / "zero.png").touch()
    (tmp_path / "text.jpg").write_text("text")
    Image.new("RGB", (96, 64), (128, 128, 128)).save(tmp_path / "grey.png")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    done = run("hydra.run.dir=out", *words, folder=tmp_path)
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("networks:")]
    assert len(lines) == 1, done.stderr
    assert re.search(message, lines[0]), lines[0]
    assert lines[0].startswith("error: ")
    assert "Traceback" not in done.stdout + done.stderr
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_the_folder_a_failing_run_is_told_to_use_stays(tmp_path: Path) -> None:
    done = run("hydra.run.dir=.", "content=nowhere.jpg", folder=tmp_path)
    assert done.returncode == 2
    assert tmp_path.is_dir()
    assert not list(tmp_path.iterdir())


def test_one_failing_run_of_a_sweep_is_named_and_leaves_the_others(tmp_path: Path) -> None:
    done = run("-m", "content=nowhere.jpg,chelsea", "size=128", folder=tmp_path)
    assert done.returncode == 2
    assert "error: run 0: content 'nowhere.jpg' not found" in done.stderr
    assert len(list(tmp_path.glob("outputs/multirun/*/*/1/labels.png"))) == 1


def test_a_defect_in_one_run_of_a_sweep_stops_no_other(tmp_path: Path) -> None:
    code = """
import pipeline.run

whole = pipeline.run.run

def broken(settings, *rest):
    if settings.size == 97:
        raise KeyError("a defect")
    return whole(settings, *rest)

pipeline.run.run = broken

from pipeline.command import main

main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code, "-m", "content=chelsea", "size=97,96", "hydra.sweep.dir=s"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(CONF.parent)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "KeyError: 'a defect'"
    assert json.loads((tmp_path / "s/0/failed.json").read_text())["message"].startswith("KeyError")
    assert (tmp_path / "s/1/summary.json").exists()
    assert (tmp_path / "s/report.html").exists()


def test_a_finished_run_survives_a_failing_one_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "result.png").write_bytes(b"precious")
    done = run("hydra.run.dir=out", "content=nowhere.jpg", folder=tmp_path)
    assert done.returncode == 2
    assert (tmp_path / "out" / "result.png").read_bytes() == b"precious"
