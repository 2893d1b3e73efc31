"""Whole runs that are ended, share a folder, or lose their disk: nothing is lost."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.config.compose import CONF
from tests.command.test_main import photos, run_with

TINY = ("size=64", "segmenter=compact", "encoder=compact", "optimizer.scales=1", "matte=off")
# Every iteration takes its time, so that signals find the run among them.
SLOW = """
import time
from pipeline.engine import engine
whole = engine.whole_evaluation

def slow(*words):
    evaluate = whole(*words)
    def later(painted):
        time.sleep(0.05)
        return evaluate(painted)
    return later

engine.whole_evaluation = slow
"""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": str(CONF.parent)}


def begin(*words: str, folder: Path, code: str = SLOW) -> subprocess.Popen[str]:
    """The command, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", f"{code}\nfrom pipeline.command.main import main\nmain()", *words],
        cwd=folder,
        env={**os.environ, **ONE_THREAD},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, said = process.communicate(timeout=600)
    return process.returncode, said


def whole(*words: str, folder: Path) -> None:
    code, said = finish(begin(*words, folder=folder, code=""))
    assert code == 0, said


def until(there: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait, as long as the process goes on."""
    while not there() and process.poll() is None:
        time.sleep(0.02)


def results(folder: Path) -> dict[str, bytes]:
    """The pictures and losses of all runs below a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        named = path.relative_to(folder).as_posix()
        if path.suffix in (".png", ".csv") and not any(p[0] == "." for p in named.split("/")):
            found[named] = path.read_bytes()
    # The report's tell seconds and commands.
    reports = ("contact_sheet.png", "results.csv")
    return {name: data for name, data in found.items() if not name.endswith(reports)}


def check_whole(folder: Path) -> None:
    """Whatever is shown is whole: every picture opens, every summary lists files that are there."""
    for path in folder.rglob("*.png"):
        if not path.name.startswith("."):
            with Image.open(path) as picture:
                picture.load()
    for path in folder.rglob("summary.json"):
        summary = json.loads(path.read_text())
        assert all((path.parent / name).exists() for name in summary["files"])
    for path in folder.rglob("failed.json"):
        json.loads(path.read_text())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_once_asked_a_run_ends_with_its_result_so_far_and_goes_on_to_the_same(
    number: int, tmp_path: Path
) -> None:
    words = [*TINY, "content=chelsea", "styles.all=ink.jpg", "optimizer.iterations=24"]
    whole(*words, "hydra.run.dir=whole/0", folder=tmp_path)
    process = begin(*words, "hydra.run.dir=out/0", "checkpoint=0", folder=tmp_path)
    out = tmp_path / "out" / "0"
    until(lambda: [*out.glob(".pipeline/descent-1.safetensors")], process)
    process.send_signal(number)
    code, said = finish(process)
    assert code == 128 + number, said
    line = said.splitlines()[-1]
    assert line == (
        "interrupted; what is done is in out/0; "
        "the same command with hydra.run.dir=out/0 resume=true goes on"
    )
    summary = json.loads((out / "summary.json").read_text())
    assert summary["stopped"].startswith("interrupted")
    assert 0 < summary["iterations"] < 24
    check_whole(tmp_path)
    assert (out / "result.png").read_bytes() != (out / "content.png").read_bytes()
    whole(*words, "hydra.run.dir=out/0", "resume=true", folder=tmp_path)
    assert results(tmp_path / "out") == results(tmp_path / "whole")
    assert not (out / ".pipeline").exists()
    assert "stopped" not in json.loads((out / "summary.json").read_text())


def test_twice_asked_it_ends_at_once_and_the_earlier_result_stays(tmp_path: Path) -> None:
    words = [*TINY, "content=chelsea", "styles.all=ink.jpg", "hydra.run.dir=out"]
    whole(*words, "optimizer.iterations=2", folder=tmp_path)
    before = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    late = "from pipeline.results import write\nwrite.save_overview = lambda *_: time.sleep(60)"
    code = f"{SLOW}\n{late}"
    process = begin(*words, "optimizer.iterations=90", "checkpoint=0", folder=tmp_path, code=code)
    until(lambda: [*tmp_path.glob("out/.pipeline/descent-1.*")], process)
    process.send_signal(signal.SIGINT)
    until(lambda: [*tmp_path.glob("out/.result.png.partial")], process)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    status, said = finish(process)
    assert status == 130, said
    for path, data in before.items():
        if path.name != "pipeline.log":
            assert path.read_bytes() == data, path
    assert not [*(tmp_path / "out").glob(".*.partial")]


def killed(words: Sequence[str], folder: Path, seconds: float) -> bool:
    """Begin a command, kill it after so long; whether it was still going on."""
    process = begin(*words, folder=folder)
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() > end, process)
    was_on = process.poll() is None
    process.kill()
    finish(process)
    return was_on


KINDS = {
    "run": ["content=chelsea", "styles.all=ink.jpg"],
    "sweep": ["-m", "content=chelsea", "styles.all=ink.jpg,wave.jpg"],
    "folder": ["content=photos", "styles.all=ink.jpg"],
}


def kill_and_go_on(kind: str, kills: int, folder: Path) -> None:
    photos(folder)
    (folder / "photos" / "broken.jpg").unlink()
    words = [*KINDS[kind], *TINY, "optimizer.iterations=12", "checkpoint=0"]
    key = "hydra.sweep.dir" if kind == "sweep" else "hydra.run.dir"
    begun = time.monotonic()
    status, said = finish(begin(*words, f"{key}=whole/0", folder=folder))
    assert status == 0, said
    longest = time.monotonic() - begun
    generator = random.Random(kind)
    done = 0
    while done < kills:
        # Several times until it has finished, then anew.
        process_words = [*words, f"{key}=out/0", "resume=true"]
        if not killed(process_words, folder, generator.uniform(0.3, 1.0) * longest):
            assert results(folder / "out") == results(folder / "whole")
            shutil.rmtree(folder / "out")
            continue
        done += 1
        if (folder / "out").exists():
            check_whole(folder / "out")
    status, said = finish(begin(*words, f"{key}=out/0", "resume=true", folder=folder))
    assert status == 0, said
    assert results(folder / "out") == results(folder / "whole")
    # Nothing of those that were killed is left.
    strange = [p for p in (folder / "out").rglob(".*") if p.name != ".hydra"]
    assert not strange


@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_any_moment_it_goes_on_to_the_same(kind: str, tmp_path: Path) -> None:
    kill_and_go_on(kind, 2, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_50_moments_it_goes_on_to_the_same(kind: str, tmp_path: Path) -> None:
    kill_and_go_on(kind, 50, tmp_path)


def test_an_input_that_has_changed_since_is_noticed(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for name in ("photo.png", "style.png"):
        noise = generator.integers(0, 256, (64, 96, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / name)
    words = [*TINY, "content=photo.png", "styles.all=style.png", "optimizer.iterations=2"]
    words += ["hydra.run.dir=out", "resume=true"]
    whole(*words, folder=tmp_path)
    before = (tmp_path / "out" / "result.png").read_bytes()
    assert "is finished already" in finish(begin(*words, folder=tmp_path))[1]
    Image.new("RGB", (96, 64), (200, 20, 20)).save(tmp_path / "style.png")
    status, said = finish(begin(*words, folder=tmp_path))
    assert status == 0, said
    assert "styles.all=style.png changed since" in said
    assert (tmp_path / "out" / "result.png").read_bytes() != before


def side_by_side(count: int, folder: Path) -> list[tuple[int, str]]:
    words = [*TINY, "content=chelsea", "styles.all=ink.jpg", "optimizer.iterations=40"]
    several = [begin(*words, "hydra.run.dir=out/0", folder=folder) for _ in range(count)]
    return [finish(process) for process in several]


def check_side_by_side(count: int, folder: Path) -> None:
    ended = side_by_side(count, folder)
    statuses = [status for status, _ in ended]
    assert statuses.count(0) >= 1
    for status, said in ended:
        assert status in (0, 2), said
        if status == 2:
            assert "error: another run is writing to " in said.splitlines()[-1]
    check_whole(folder / "out")
    assert not [*(folder / "out" / "0").glob(".pipeline*")]
    assert not [*(folder / "out" / "0").glob(".*.partial")]
    assert "result.png" in {path.name for path in (folder / "out" / "0").iterdir()}


def test_of_runs_in_one_folder_one_writes_and_the_others_are_told(tmp_path: Path) -> None:
    check_side_by_side(3, tmp_path)


@pytest.mark.slow
def test_of_eight_runs_in_one_folder_one_writes_and_the_others_are_told(tmp_path: Path) -> None:
    check_side_by_side(8, tmp_path)


@pytest.mark.parametrize("bytes_left", [100, 3000, 9000])
def test_a_disk_that_is_full_at_any_write_ends_in_one_line(bytes_left: int, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    assert resource.RLIMIT_FSIZE is not None
    words = [*TINY, "content=chelsea", "styles.all=ink.jpg", "optimizer.iterations=2"]
    whole(*words, "hydra.run.dir=out", folder=tmp_path)
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    # Files of more bytes cannot be written, once the run has begun.
    code = f"""
import resource
from pipeline.results import write
save = write.save_result
def full(*words):
    resource.setrlimit(resource.RLIMIT_FSIZE, ({bytes_left}, resource.RLIM_INFINITY))
    save(*words)
write.save_result = full
"""
    done = run_with(code, *words, "seed=1", "hydra.run.dir=out", folder=tmp_path)
    assert done.returncode == 2, done.stderr
    (line,) = [text for text in done.stderr.splitlines() if not text.startswith("networks:")]
    assert line.startswith("error: ")
    assert "File too large" in line
    assert str(tmp_path / "out") in line
    after = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    log = tmp_path / "out" / "pipeline.log"
    assert {**after, log: b""} == {**before, log: b""}


@pytest.mark.parametrize("when", ["painting", "writing"])
def test_a_folder_that_is_deleted_meanwhile(when: str, tmp_path: Path) -> None:
    code = f"""
import shutil
from pipeline.results import write
save, overview = write.save_result, write.save_overview
def early(*words):
    shutil.rmtree("out")
    save(*words)
def late(*words):
    shutil.rmtree("out")
    overview(*words)
if {when == "painting"}:
    write.save_result = early
else:
    write.save_overview = late
"""
    words = [*TINY, "content=chelsea", "styles.all=ink.jpg", "optimizer.iterations=2"]
    done = run_with(code, *words, "hydra.run.dir=out", folder=tmp_path)
    if when == "painting":
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "out" / "result.png").exists()
        check_whole(tmp_path)
        return
    assert done.returncode == 2, done.stderr
    lines = [text for text in done.stderr.splitlines() if not text.startswith("networks:")]
    assert [text[:7] for text in lines] == ["error: "], done.stderr
    assert not [*tmp_path.rglob("*.png*")]


def test_what_is_not_finite_is_named_and_status_2(tmp_path: Path) -> None:
    code = """
from pipeline.engine import engine
whole = engine.whole_evaluation
def broken(*words):
    evaluate, seen = whole(*words), []
    def later(painted):
        seen.append(1)
        terms, gradient = evaluate(painted)
        return terms * (float("nan") if len(seen) > 3 else 1), gradient
    return later
engine.whole_evaluation = broken
"""
    words = [*TINY, "content=chelsea", "styles.all=ink.jpg", "optimizer.iterations=9"]
    done = run_with(code, *words, "hydra.run.dir=out", folder=tmp_path)
    assert done.returncode == 2, done.stderr
    line = done.stderr.splitlines()[-1]
    assert line.startswith("error: the loss became nan at iteration 5 at 1/1 size (guided)")
    assert line.endswith("the last good picture is in " + str(tmp_path / "out"))
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["stopped"].startswith("the loss became nan")
    pictures = [tmp_path / "out" / name for name in ("result.png", "content.png")]
    assert pictures[0].read_bytes() != pictures[1].read_bytes()


MANY = """
import sys, tempfile, json
from pathlib import Path
import psutil, torch
from pipeline.config.compose import compose_settings
from pipeline.run import run
process = psutil.Process()
seen = []
for number in range(int(sys.argv[1])):
    words = ["size=64", "content=chelsea", "+styles.all=ink.jpg", "optimizer.iterations=2",
             "segmenter=compact", "encoder=compact", f"seed={number}", "init=noise"]
    with tempfile.TemporaryDirectory() as folder:
        run(compose_settings(words), Path(folder), Path.cwd(), words)
    seen.append([process.memory_info().rss, process.num_fds(), process.num_threads()])
print(json.dumps(seen))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files as Linux does")
def test_200_runs_in_one_process_take_no_more_than_ten(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MANY, "200"],
        cwd=tmp_path,
        env={**os.environ, **ONE_THREAD},
        capture_output=True,
        text=True,
        check=True,
    )
    seen = json.loads(done.stdout.splitlines()[-1])
    memory = [entry[0] for entry in seen]
    print(f"MiB after 10, 50, 100, 200 runs: {[memory[n - 1] >> 20 for n in (10, 50, 100, 200)]}")
    assert max(memory[10:]) < 1.05 * memory[9]
    assert seen[-1][1:] == seen[9][1:]
