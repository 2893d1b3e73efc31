"""The rules of the layout, read from the imports: who knows what, and where its tests are."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: The packages with a command or a function that users start: they compose a configuration and
#: hand plain arguments on. Nobody else knows it.
DOORS = ("pipeline.api", "pipeline.build", "pipeline.command", "pipeline.run")
#: Tools beside the pipeline with commands of their own: their settings are classes of Hydra's, or
#: runs that they compose.
TOOLS = ("pipeline.benchmark", "pipeline.studio", "pipeline.training")
#: These read what Hydra has left behind in the folders of finished runs, or are called by it.
READERS_OF_RUNS = ("pipeline.compare.callback", "pipeline.compare.runs")

#: What the engine must not know: files, the configuration, and where regions come from.
NOT_IN_THE_ENGINE = (
    "hydra",
    "io",
    "omegaconf",
    "os",
    "pathlib",
    "PIL",
    "pipeline.api",
    "pipeline.build",
    "pipeline.command",
    "pipeline.config",
    "pipeline.inputs",
    "pipeline.methods",
    "pipeline.pictures.read",
    "pipeline.regions",
    "pipeline.request",
    "pipeline.results",
    "pipeline.run",
    "pipeline.styles",
    "shutil",
    "tempfile",
)

#: Names that tell nothing without a legend, each with the one that replaced it.
LEGENDS = {
    "levels": "tiled",
    "many": "batch",
    "pieces": "job",
    "readings": "layer_sums",
    "replay": "cuda_graph",
    "reuse": "cache",
    "styling": "styles",
}

#: Modules without a test file of their own, and the one that tests them.
TESTED_ELSEWHERE = {
    "pipeline": "tests/test_api.py",
    "pipeline.benchmark.first_iteration": "tests/benchmark/test_start.py",
    "pipeline.compare.__main__": "tests/compare/test_report.py",
    "pipeline.command.messages": "tests/command/test_main.py",
    "pipeline.command.task": "tests/command/test_main.py",
    "pipeline.config.compose": "tests/command/test_main.py",
    "pipeline.engine.job": "tests/engine/test_engine.py",
    "pipeline.engine.targets": "tests/engine/test_engine.py",
    "pipeline.engine.tiled": "tests/engine/test_engine.py",
    "pipeline.gallery": "tests/gallery/test_paint.py",
    "pipeline.gallery.strokes": "tests/gallery/test_paint.py",
    "pipeline.methods": "tests/methods/test_stitch.py",
    "pipeline.methods.whole": "tests/methods/test_guided.py",
    "pipeline.results.overlay": "tests/results/test_write.py",
    "pipeline.results.result": "tests/test_api.py",
    "pipeline.training.pictures": "tests/training/test_segmenter.py",
}

#: Test files of no one module, and what they test.
OF_NO_MODULE = {
    "tests/compare/test_browser.py": "the report's page in a browser",
    "tests/simulated_cuda/test_simulated_cuda.py": "everything, on a device that pretends",
    "tests/test_ended_runs.py": "whole runs that are ended, or share a folder",
    "tests/test_ended_trainings.py": "whole trainings that are ended",
    "tests/test_hostile.py": "everything, by the hundreds of inputs that are wrong or odd",
    "tests/test_layout.py": "the imports",
    "tests/test_portability.py": "the wheel, from outside",
    "tests/test_readme.py": "the READMEs",
    "tests/test_unchanged.py": "whole runs, bit by bit",
}


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted((ROOT / "pipeline").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(tree: ast.AST, deferred: bool) -> Iterator[str]:
    """Dotted names of what a module imports; names in a package are told from its modules.

    Args:
        tree: of the module.
        deferred: whether imports in functions and those for types alone count.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written out in full"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else str(node.module)
        elif deferred or not (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        ):
            yield from imports(node, deferred)


def imported(module: str, deferred: bool = True) -> set[str]:
    return {*imports(ast.parse(MODULES[module].read_text(encoding="utf-8")), deferred)}


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def circle(edges: dict[str, set[str]]) -> list[str]:
    """One way along the edges that ends where it began; empty where there is none."""
    done: set[str] = set()

    def follow(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        for other in sorted(edges.get(name, ())):
            if found := follow(other, [*way, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(edges) if (found := follow(name, []))), [])


@pytest.mark.parametrize(
    ("source", "deferred", "expected"),
    [
        ("import os.path", False, {"os.path"}),
        ("from pipeline.pictures import read", False, {"pipeline.pictures.read"}),
        ("from pipeline.errors import UserError", False, {"pipeline.errors"}),
        ("try:\n    import os\nexcept ImportError:\n    import io", False, {"os", "io"}),
        ("class A:\n    import os", False, {"os"}),
        ("def f():\n    import os", False, set()),
        ("def f():\n    import os", True, {"os"}),
        ("if TYPE_CHECKING:\n    import os", False, set()),
        ("if typing.TYPE_CHECKING:\n    import os", True, {"os"}),
    ],
)
def test_imports_are_read(source: str, deferred: bool, expected: set[str]) -> None:
    assert {*imports(ast.parse(source), deferred)} == expected


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"d", "b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": set()}) == []


def test_the_engine_knows_neither_files_nor_regions_nor_the_configuration() -> None:
    engine = [name for name in MODULES if within(name, ("pipeline.engine",))]
    assert len(engine) > 5
    wrong = {
        name: known
        for name in engine
        if (known := {other for other in imported(name) if within(other, NOT_IN_THE_ENGINE)})
    }
    assert wrong == {}


def test_only_doors_and_tools_know_the_configuration() -> None:
    configuration = ("pipeline.config", "hydra", "omegaconf")
    known = {name for name in MODULES if any(within(o, configuration) for o in imported(name))}
    inside = (*DOORS, *TOOLS, *READERS_OF_RUNS, "pipeline.config")
    assert {name for name in known if not within(name, inside)} == set()
    # Those that read what Hydra wrote do not know our settings.
    assert not any(within(o, ("pipeline.config",)) for n in READERS_OF_RUNS for o in imported(n))


def test_what_a_run_calls_never_imports_it_back() -> None:
    doors = ("pipeline.api", "pipeline.command", "pipeline.run")
    callers = {name for name in MODULES if any(within(o, doors) for o in imported(name))}
    outside = {name for name in callers if not within(name, (*doors, *TOOLS))}
    assert outside == {"pipeline", "pipeline.__main__"}


def test_modules_import_one_another_in_no_circle() -> None:
    edges = {}
    for name in MODULES:
        edges[name] = {other for other in imported(name, deferred=False) if other in MODULES}
        # A module runs the packages that it is in, but for those that it shares with the importer.
        for other in [*edges[name]]:
            package = other.rpartition(".")[0]
            if package in MODULES and not within(name, (package,)):
                edges[name].add(package)
    assert circle(edges) == []


def mirrored(path: Path) -> Path:
    """Where a module's test file is."""
    folder = ROOT / "tests" / path.parent.relative_to(ROOT / "pipeline")
    return folder / f"test_{path.stem.strip('_')}.py"


def has_behaviour(path: Path) -> bool:
    """Whether a module defines a function, or a class with methods."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(tree))


def test_every_module_with_behaviour_has_its_test_file() -> None:
    missing = {
        name
        for name, path in MODULES.items()
        if has_behaviour(path) and not mirrored(path).is_file()
    }
    assert missing == set(TESTED_ELSEWHERE)
    elsewhere = {ROOT / file for file in TESTED_ELSEWHERE.values()}
    assert {file for file in elsewhere if not file.is_file()} == set()


def test_every_test_file_has_its_module() -> None:
    of_modules = {mirrored(path) for path in MODULES.values()}
    files = {*(ROOT / "tests").rglob("test_*.py")}
    found = {file.relative_to(ROOT).as_posix() for file in files - of_modules}
    assert found == set(OF_NO_MODULE)


def test_no_file_name_needs_a_legend() -> None:
    stems = {path.stem.removeprefix("test_") for path in (ROOT / "tests").rglob("*.py")}
    stems |= {path.stem for path in MODULES.values()}
    assert stems & set(LEGENDS) == set()
    assert {*LEGENDS.values()} <= stems
