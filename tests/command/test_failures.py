"""Failures are reported, or told by the files that they leave, whichever process has left them."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from pipeline.command import failures
from pipeline.command.failures import Collect
from pipeline.command.messages import one_line
from pipeline.results.failures import Failure, read, record


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    for failure in (Failure("no such picture"), Failure("KeyError: 'a'", "Traceback ...\n")):
        record(tmp_path / "0", failure)
        assert read(tmp_path / "0" / "failed.json") == failure


def test_only_this_sweeps_failures_are_collected_in_order(tmp_path: Path) -> None:
    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}})
    for name in ("1", "2"):
        record(tmp_path / name, Failure("an earlier sweep's"))
    with failures.collecting() as outcome:
        collect = Collect()
        collect.on_multirun_start(config)
        record(tmp_path / "2", Failure("again"))
        record(tmp_path / "10" / "cat", Failure("new"))
        record(tmp_path / "9", Failure("new, too"))
        collect.on_multirun_end(config)
    assert [(name, failure.message) for name, failure in outcome.failed.items()] == [
        ("run 2", "again"),
        ("run 9", "new, too"),
        ("run 10/cat", "new"),
    ]
    assert outcome.sweep == str(tmp_path)


def test_a_sweeps_folder_is_locked_and_somebody_elses_record_stays(tmp_path: Path) -> None:
    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}})
    with failures.collecting():
        first = Collect()
        first.on_multirun_start(config)
        with pytest.raises(SystemExit):
            Collect().on_multirun_start(config)
        first.on_multirun_end(config)
        (tmp_path / "multirun.yaml").write_text("mine: 1")
        # What is refused opens the folder again, also while something still holds it.
        refused = Collect()
        with pytest.raises(SystemExit):
            refused.on_multirun_start(config)
        (tmp_path / "multirun.yaml").write_text("hydra:\n  run: 1\n")
        first.on_multirun_start(config)
        first.on_multirun_end(config)


def test_each_collects_what_is_reported_inside_alone() -> None:
    failures.report({"before": Failure("nobody collects this")})
    with failures.collecting() as outer:
        with failures.collecting() as inner:
            failures.report({"cat": Failure("no style")})
        failures.report({"dog": Failure("no content")})
    failures.report({"after": Failure("nobody collects this")})
    assert inner.failed == {"cat": Failure("no style")}
    assert outer.failed == {"dog": Failure("no content")}
    assert outer.sweep is None


def test_each_message_is_said_once() -> None:
    failed = {f"run {n}": Failure("no style") for n in range(5)} | {"run 5": Failure("no content")}
    assert one_line(failed) == "run 0, run 1, run 2 and 2 more: no style | run 5: no content"
    assert one_line({"": Failure("no style")}) == "no style"
