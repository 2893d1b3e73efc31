"""The command: measure the engine against the textbook loop."""

import argparse
import logging
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from pipeline.benchmark import comparisons, report
from pipeline.benchmark.bench import Bench, find_vgg19
from pipeline.errors import UserError, fails_in_one_line
from pipeline.runtime import device

#: Sides of the pictures that can be measured, in pixels; four poolings need some.
_SIZES = (64, 16384)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line, without the usage."""
        raise UserError(f"{message}; see {self.prog} --help")


def main(words: list[str] | None = None) -> None:
    """The command; exits with 0 whatever the figures are, 2 where the user has to put it right."""
    try:
        with fails_in_one_line("choose another file with --output"):
            _measure(_parser().parse_args(words))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of runs, which every repeat would say again."""
    log = logging.getLogger("pipeline")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m pipeline.benchmark",
        description="Measure the engine against the textbook loop and the device's ceilings.",
        epilog=f"Comparisons: {', '.join(comparisons.COMPARISONS)}. On a CPU "
        f"{', '.join(comparisons.LONG_ON_CPU)} is made only if named.",
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these comparisons")
    parser.add_argument("--quick", action="store_true", help="small sizes, few repeats: minutes")
    parser.add_argument("--size", type=int, metavar="PIXELS", help="side of all pictures")
    parser.add_argument("--device", default="auto", help="auto, cuda, mps or cpu")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="default: outputs/benchmark-DEVICE.json"
    )
    return parser


def _measure(chosen: argparse.Namespace) -> None:
    where = device.choose(chosen.device)
    names = comparisons.choose(chosen.only, where)
    if chosen.size is not None and not _SIZES[0] <= chosen.size <= _SIZES[1]:
        raise UserError(f"--size {chosen.size} is outside {_SIZES[0]} to {_SIZES[1]}")
    output = chosen.output or Path("outputs") / f"benchmark-{where.type}.json"
    if output.is_dir():
        raise UserError(f"{output} is a folder; name a file with --output")
    # Now, not after an hour.
    output.parent.mkdir(parents=True, exist_ok=True)
    found = []
    console = Console(stderr=True, highlight=False)
    before = report.environment(where)
    with tempfile.TemporaryDirectory() as folder:
        vgg19, official = find_vgg19(Path(folder))
        bench = Bench(where, chosen.quick, chosen.size, vgg19, official)
        about = {
            "names": names,
            "quick": chosen.quick,
            "size": chosen.size,
            "weights": "torchvision's, IMAGENET1K_V1" if official else "random, seed 0",
            "environment_before": before,
        }
        done = comparisons.compare(names, bench)
        for name in names:
            with console.status(name), _quiet():
                found += next(done)
            # All that there is so far: an interrupted benchmark has its first figures.
            report.save(output, found, about, where)
    report.print_table(found, f"{before['device_name']}, {where}")
    print(output)
