"""The command line: every file under conf/ composes; bad input ends in one line and status 2."""

import csv
import importlib.util
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from pipeline.config.compose import CONF, explain, known_keys, register
from pipeline.config.schema import Settings, fingerprint
from tests.in_process import command

GROUPS = ("segmenter", "encoder", "method", "optimizer", "loss", "logger", "preset")
CHOICES = [
    f"{group}={file.stem}"
    for group in GROUPS
    for file in sorted((CONF / group).glob("*.yaml"))
    if file.stem != "base"
]
EXPERIMENTS = sorted((CONF / "experiment").glob("*.yaml"))
RUNS = {
    "blending": 2,
    "color": 4,
    "iterations": 1,
    "learning_rate": 3,
    "methods": 4,
    "networks": 4,
    "weights": 5,
}
TINY = (
    "size=96",
    "optimizer.iterations=4",
    "optimizer.scales=1",
    "segmenter=compact",
    "encoder=compact",
)


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


def run_with(code: str, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command, after some code that breaks a part of it."""
    return subprocess.run(
        [sys.executable, "-c", f"{code}\nfrom pipeline.command.main import main\nmain()", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(CONF.parent)},
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
    # A variant of stitch, told apart by method.gram.
    expected = "stitch" if name == "stitch_global" else name
    assert (chosen if group == "preset" else chosen.name) == expected


@pytest.mark.parametrize("file", EXPERIMENTS, ids=lambda file: file.stem)
def test_every_run_of_every_experiment_composes_into_checked_settings(file: Path) -> None:
    register()
    name = f"+experiment={file.stem}"
    with initialize_config_dir(str(CONF), version_base="1.3"):
        chosen = compose("config", [name], return_hydra_config=True).hydra
        sweeps = [
            [f"{key}={value}" for value in str(values).split(",")]
            for key, values in (chosen.sweeper.params or {}).items()
        ]
        runs = [
            OmegaConf.to_object(compose("config", [name, *words]))
            for words in itertools.product(*sweeps)
        ]
    assert str(chosen.mode) == "RunMode.MULTIRUN"
    assert all(isinstance(settings, Settings) and settings.styles for settings in runs)
    marks = {fingerprint(settings) for settings in runs if isinstance(settings, Settings)}
    # No two runs are the same.
    assert len(marks) == len(runs) == RUNS[file.stem]
    # It opens with the command, and works without a download unless it says so.
    lines = file.read_text().splitlines()
    assert lines[:2] == ["# @package _global_", f"# python -m pipeline -m {name}"]
    offline = all(
        settings.encoder.name in ("auto", "compact")
        for settings in runs
        if isinstance(settings, Settings)
    )
    assert offline != lines[2].startswith("# Downloads")


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


def test_the_configuration_shows_plain_words(tmp_path: Path) -> None:
    done = run("--cfg", "job", "method=global", "color=match", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    shown = yaml.safe_load(done.stdout)
    assert shown["method"]["name"] == "global"
    assert shown["method"]["gram"] == "global"
    assert shown["color"] == "match"


def test_help_names_every_choice_and_every_key(tmp_path: Path) -> None:
    done = run("--help", folder=tmp_path)
    assert done.returncode == 0
    for choice in CHOICES:
        assert re.search(rf"\b{choice.split('=')[1]}\b", done.stdout), choice
    for file in EXPERIMENTS:
        assert re.search(rf"\b{file.stem}\b", done.stdout), file
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
        (
            ["size=fulll"],
            r"size=fulll is neither auto nor full nor a whole number from 32",
        ),
        (["size=12.5"], r"size=12.5 is neither auto nor full nor a whole number from 32"),
        (["size=true"], r"size=true is neither auto nor full nor a whole number from 32"),
        (["color=stlye"], r"color=stlye is not one of style, luminance, .*; did you mean style\?$"),
        (
            ["method.name=x"],
            r"x is not one of stitch, composite, guided, instant, feedforward, global$",
        ),
        (["optimizer.scales=full"], r"scales=full is neither auto nor a whole number from 1 to 8"),
        (["budget=99"], r"budget=99 is outside 4096 to 1e\+07$"),
        (["budget=much"], r"budget=much is neither auto nor a whole number from 4096 to 1e\+07$"),
        (["size=5", "feather=-2"], r"size=5 is outside 32 to 16384; feather=-2"),
        (["device=cuda:99"], r"device=cuda:99 is not available"),
        (["+styles.persn=ink.jpg"], r"no region 'persn'; did you mean person\?"),
        (["+styles.person=snk.jpg"], r"style 'snk.jpg' not found in .*did you mean ink.jpg\?"),
        (["styles.person=snk.jpg"], r"style 'snk.jpg' not found"),
        (["content=nowhere.jpg"], r"content 'nowhere.jpg' not found"),
        (["content=empty"], r"content=empty: no picture there"),
        (["content=*.gif"], r"content=\*.gif: no picture there"),
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

    (tmp_path / "empty").mkdir()
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
"""
    words = ("-m", "content=chelsea", "size=97,96", "hydra.sweep.dir=s")
    done = run_with(code, *words, folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "KeyError: 'a defect'"
    assert json.loads((tmp_path / "s/0/failed.json").read_text())["message"].startswith("KeyError")
    assert (tmp_path / "s/1/summary.json").exists()
    assert (tmp_path / "s/report.html").exists()


# In the second iteration, before the first, and when most files have been written.
SHORT_OF_MEMORY = {
    "evaluation": """
import torch
from pipeline.engine import engine

whole, seen = engine.whole_evaluation, []

def failing(*words):
    evaluate = whole(*words)

    def short(painted):
        seen.append(painted)
        if len(seen) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return evaluate(painted)

    return short

engine.whole_evaluation = failing
""",
    "segmenter": """
from pipeline.regions import segment

def short(*_):
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

segment._probabilities = short
""",
    "files": """
from pipeline.results import write

def short(*_):
    raise MemoryError

write.save_overview = short
""",
}


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("evaluation", r"error: not enough memory for \d+x\d+ pixels; use tile=auto"),
        ("segmenter", "error: not enough memory at size=96; lower size or "),
        ("files", "error: not enough memory at size=96; lower size or "),
    ],
)
def test_running_out_of_memory_ends_in_one_line_and_leaves_nothing(
    where: str, message: str, tmp_path: Path
) -> None:
    words = [*TINY, "content=chelsea", "styles.cat=ink.jpg", "tile=off", "snapshots=[1]"]
    done = run_with(SHORT_OF_MEMORY[where], *words, "hydra.run.dir=out", folder=tmp_path)
    assert done.returncode == 2, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("networks:")]
    assert re.match(message, line)
    assert not done.stdout
    assert not list(tmp_path.iterdir())


def test_a_finished_run_survives_a_failing_one_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "result.png").write_bytes(b"precious")
    done = run("hydra.run.dir=out", "content=nowhere.jpg", folder=tmp_path)
    assert done.returncode == 2
    assert (tmp_path / "out" / "result.png").read_bytes() == b"precious"


def test_what_somebody_else_has_made_stays(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "pipeline.log").write_text("mine")
    for folder in ("empty", "log"):
        done = run("content=nowhere.jpg", f"hydra.run.dir={folder}", folder=tmp_path)
        assert done.returncode == 2
        assert (tmp_path / folder).is_dir()
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["pipeline.log"]
    done = run(*TINY, "content=chelsea", "hydra.run.dir=log", folder=tmp_path)
    assert done.returncode == 2
    assert "pipeline.log is there already" in done.stderr
    assert (tmp_path / "log" / "pipeline.log").read_text() == "mine"


def test_a_failing_run_leaves_the_record_of_an_earlier_one(tmp_path: Path) -> None:
    words = [*TINY, "content=chelsea", "styles.cat=ink.jpg", "hydra.run.dir=out"]
    assert run(*words, folder=tmp_path).returncode == 0
    records = [*(tmp_path / "out" / ".hydra").iterdir()]
    assert {path.name for path in records} == {"config.yaml", "hydra.yaml", "overrides.yaml"}
    before = {path: path.read_bytes() for path in records}
    assert run(*words, "styles.cat=nowhere.jpg", folder=tmp_path).returncode == 2
    assert {path: path.read_bytes() for path in records} == before
    assert run(*words, "seed=1", folder=tmp_path).returncode == 0
    assert "seed=1" in (tmp_path / "out" / ".hydra" / "overrides.yaml").read_text()


def test_a_run_in_a_folder_of_ones_own_touches_none_of_its_files(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "masks").mkdir()
    picture = Image.new("RGB", (96, 64), (128, 128, 128))
    for name in ("content.png", "masks/sky.png", "masks/other.png", "style_canvas2.png"):
        picture.save(tmp_path / name)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    words = ["content=content.png", "+regions.sky=masks/sky.png", "+styles.sky=ink.jpg"]
    done = run(*TINY, *words, "hydra.run.dir=.", folder=tmp_path)
    assert done.returncode == 2
    assert "error: content=content.png is a file that this run would write itself" in done.stderr
    # Nor those that are not among its inputs.
    words = ["content=photo.png", "+regions.sky=box(0,0,1,0.5)", "+styles.sky=ink.jpg"]
    picture.save(tmp_path / "photo.png")
    done = run(*TINY, *words, "hydra.run.dir=.", folder=tmp_path)
    assert done.returncode == 2
    assert re.search(r"error: .*/content.png is there already", done.stderr)
    assert {path: path.read_bytes() for path in before} == before
    assert set(tmp_path.rglob("*.png")) == {*before, tmp_path / "photo.png"}


def test_a_second_run_in_a_folder_replaces_the_first(tmp_path: Path) -> None:
    words = [*TINY, "content=chelsea", "hydra.run.dir=out"]
    assert run(*words, "+styles.cat=ink.jpg", "snapshots=[1]", folder=tmp_path).returncode == 0
    (tmp_path / "out" / "notes.txt").write_text("precious")
    done = run(*words, "+styles.background=ink.jpg", "method=guided", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "out"
    assert [path.name for path in (out / "styles").iterdir()] == ["background.png"]
    assert not (out / "snapshots").exists()
    assert not (out / "style_canvas.png").exists()
    assert (out / "notes.txt").exists()


def test_everyday_names_on_the_command_line(tmp_path: Path) -> None:
    from PIL import Image

    picture = Image.new("RGB", (96, 64), (128, 128, 128))
    for name in ("[a] föö.png", "${oc.env:HOME} #1.png", "maß 'x'.png"):
        picture.save(tmp_path / name)
    words = ["content=[a] föö.png", "+styles.sky=${oc.env:HOME} #1.png", "+regions.sky=maß 'x'.png"]
    done = run(*TINY, *words, "hydra.run.dir=aus, gäbe", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "aus, gäbe"
    summary = json.loads((out / "summary.json").read_text())
    assert summary["regions"][0]["style"] == "${oc.env:HOME} #1.png"
    # The record of the command makes the same again, as a run of a sweep, too.
    overrides = [str(word) for word in OmegaConf.load(out / ".hydra" / "overrides.yaml")]
    done = run("-m", *overrides, "seed=0,1", "hydra.sweep.dir=s", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    again = json.loads((tmp_path / "s" / "1" / "summary.json").read_text())
    assert again["regions"][0]["style"] == "${oc.env:HOME} #1.png"
    # Of many pictures each is found by its own name.
    done = run("content=*.png", *TINY, "+styles.all=ink.jpg", "hydra.run.dir=m", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len([*statuses(tmp_path / "m" / "results.csv")]) == 3


def photos(folder: Path) -> Path:
    """Two small photographs and a broken one."""
    from PIL import Image
    from skimage import data

    (folder / "photos").mkdir()
    Image.fromarray(data.astronaut()).resize((128, 128)).save(folder / "photos" / "ann.jpg")
    Image.fromarray(data.chelsea()).resize((150, 100)).save(folder / "photos" / "cat (1).png")
    (folder / "photos" / "broken.jpg").write_text("text")
    return folder


def statuses(table: Path) -> dict[str, str]:
    with table.open(newline="") as file:
        return {row["run"]: row["status"] for row in csv.DictReader(file)}


def test_many_pictures_have_one_result_each_and_a_report(tmp_path: Path) -> None:
    words = (*TINY, "+styles.background=wave.jpg", "hydra.run.dir=out")
    done = run("content=photos", *words, folder=photos(tmp_path))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: broken: ")
    out = tmp_path / "out"
    expected = {"ann": "finished", "broken": "failed", "cat (1)": "finished"}
    assert statuses(out / "results.csv") == expected
    assert (out / "report.html").exists()
    assert (out / "contact_sheet.png").exists()
    for name in ("ann", "cat (1)"):
        assert (out / name / "result.png").exists()
    # A picture's record makes it again by itself, to the bit.
    words_of_one = OmegaConf.load(out / "cat (1)" / ".hydra" / "overrides.yaml")
    again = run(*[str(word) for word in words_of_one], "hydra.run.dir=again", folder=tmp_path)
    assert again.returncode == 0, again.stderr
    results = [folder / "result.png" for folder in (out / "cat (1)", tmp_path / "again")]
    assert results[0].read_bytes() == results[1].read_bytes()
    # Mended, it goes on with what failed.
    (tmp_path / "photos" / "ann.jpg").replace(tmp_path / "photos" / "broken.jpg")
    done = run("content=photos/*", *words, "resume=true", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("is finished already") == 1
    assert statuses(out / "results.csv") == dict.fromkeys(expected, "finished")


def test_photographs_named_as_the_runs_own_files_have_folders_of_other_names(
    tmp_path: Path,
) -> None:
    from PIL import Image

    (tmp_path / "photos").mkdir()
    for name in ("summary.json.png", "pipeline.log.png", "failed.json.png", "a.png"):
        Image.new("RGB", (40, 32)).save(tmp_path / "photos" / name)
    done = command(*TINY, "content=photos", "hydra.run.dir=out", folder=tmp_path)
    assert done.status == 0, done.err
    expected = {"a", "summary.json-2", "pipeline.log-2", "failed.json-2"}
    assert {*statuses(tmp_path / "out" / "results.csv")} == expected


def test_a_sweep_over_many_pictures_reports_each_run_and_all(tmp_path: Path) -> None:
    words = ("-m", "content=photos", "+styles.background=wave.jpg,ink.jpg", "hydra.sweep.dir=s")
    done = run(*words, *TINY, folder=photos(tmp_path))
    assert done.returncode == 2
    assert "error: run 0/broken, run 1/broken: " in done.stderr
    names = ["ann", "broken", "cat (1)"]
    assert [*statuses(tmp_path / "s" / "results.csv")] == [f"{n}/{m}" for n in "01" for m in names]
    assert [*statuses(tmp_path / "s" / "1" / "results.csv")] == names


def test_an_interrupted_sweep_goes_on_where_it_stopped(tmp_path: Path) -> None:
    words = ("-m", *TINY, "hydra.sweep.dir=s", "loss.style_weight=10,20,30,40")
    style = "+styles.person=scream.jpg"
    assert run(*words, style, folder=tmp_path).returncode == 0
    folders = [tmp_path / "s" / name for name in "0123"]
    before = [(folder / "summary.json").stat().st_mtime_ns for folder in folders]
    # One was stopped at its very end, one has failed; one was painted with other settings.
    (folders[1] / "summary.json").rename(folders[1] / ".summary.json.partial")
    (folders[2] / "failed.json").write_text('{"message": "not enough memory"}')
    other = json.loads((folders[3] / "summary.json").read_text())
    (folders[3] / "summary.json").write_text(json.dumps({**other, "configuration": "0" * 64}))
    done = run(*words, style, "resume=true", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("is finished already") == 1
    assert f"{folders[0]} is finished already" in done.stderr
    after = [(folder / "summary.json").stat().st_mtime_ns for folder in folders]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, False, False]
    assert [*statuses(tmp_path / "s" / "results.csv").values()] == ["finished"] * 4
    # Without resume nothing is left out; with another setting nothing is taken for finished.
    done = run(*words, "+styles.person=ink.jpg", "resume=true", folder=tmp_path)
    assert "is finished already" not in done.stderr


def test_an_experiment_runs_without_m_and_takes_other_settings(tmp_path: Path) -> None:
    done = run(
        "experiment=blending",
        *TINY,
        "styles.person=[ink.jpg,wave.jpg]",
        "hydra.sweep.dir=s",
        folder=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    for number, blend in enumerate(["weighted", "sequential"]):
        record = OmegaConf.load(tmp_path / "s" / str(number) / ".hydra" / "config.yaml")
        assert record.blend == blend
        assert record.styles.person == ["ink.jpg", "wave.jpg"]


def test_tensorboard_is_told_of_a_run(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed (.[tensorboard])")
    words = ("logger=tensorboard", "+styles.person=ink.jpg", "snapshots=[2]", "hydra.run.dir=out")
    done = run(*words, "method=stitch", *TINY, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "out"))
    events.Reload()
    with (tmp_path / "out" / "losses.csv").open(newline="") as file:
        losses = [float(row["total"]) for row in csv.DictReader(file)]
    assert [event.value for event in events.Scalars("loss/total/person")] == pytest.approx(losses)
    assert [event.step for event in events.Images("result")] == [2, 4]
    assert {"content", "style_canvas"} < set(events.Tags()["images"])


@pytest.mark.parametrize(
    ("launcher", "plugin", "options"),
    [
        ("joblib", "hydra_joblib_launcher", ["hydra.launcher.n_jobs=2"]),
        ("submitit_local", "hydra_submitit_launcher", []),
        pytest.param(
            "ray",
            "hydra_ray_launcher",
            ["+hydra.launcher.ray.init.num_cpus=2"],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_runs_side_by_side_are_those_of_a_sequential_sweep(
    launcher: str, plugin: str, options: list[str], tmp_path: Path
) -> None:
    # Without any plugin there is no package hydra_plugins either.
    if not (
        importlib.util.find_spec("hydra_plugins")
        and importlib.util.find_spec(f"hydra_plugins.{plugin}")
    ):
        pytest.skip(f"the plugin {plugin} is not installed")
    words = ("-m", *TINY, "content=astronaut,nowhere.jpg", "+styles.person=ink.jpg,wave.jpg")
    # Sums of several threads are not the same to the bit.
    one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    parallel = [f"hydra/launcher={launcher}", *options, "hydra.sweep.dir=parallel"]
    for where in (["hydra.sweep.dir=sequential"], parallel):
        done = run(*words, *where, folder=tmp_path, **one_thread)
        assert done.returncode == 2
        # Failures in other processes are known, and the report is of all runs.
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, done.stderr
        assert errors[0].startswith("error: run 2, run 3: content 'nowhere.jpg' not found")
    for name in "01":
        results = [tmp_path / way / name / "result.png" for way in ("sequential", "parallel")]
        assert results[0].read_bytes() == results[1].read_bytes()
    expected = {"0": "finished", "1": "finished", "2": "failed", "3": "failed"}
    assert statuses(tmp_path / "parallel" / "results.csv") == expected
    assert (tmp_path / "parallel" / "report.html").exists()


def test_a_launcher_that_is_not_installed_says_how_to_install_it() -> None:
    error = ConfigCompositionException(
        "Could not find 'hydra/launcher/joblib'\n\nAvailable options in 'hydra/launcher':\n\tbasic"
    )
    assert explain(error) == ("hydra/launcher=joblib is not installed: pip install -e '.[joblib]'")


def test_the_photographs_own_size_in_a_sweep_and_for_many_pictures(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "photos").mkdir()
    for name, size in {"a": (600, 150), "b": (40, 50)}.items():
        Image.new("RGB", size, (128, 128, 128)).save(tmp_path / "photos" / f"{name}.png")
    words = ["content=photos", "segmenter=compact", "hydra.sweep.dir=out"]
    done = run("-m", "size=full,64", *words, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    sizes = {"0/a": (600, 150), "0/b": (40, 50), "1/a": (64, 16), "1/b": (40, 50)}
    for name, size in sizes.items():
        with Image.open(tmp_path / "out" / name / "content.png") as picture:
            assert picture.size == size
    rows = (tmp_path / "out" / "results.csv").read_text().splitlines()
    assert "size" in rows[0].split(",")
    assert sum("full" in row.split(",") for row in rows[1:]) == 2
