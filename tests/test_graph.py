"""Each stage depends on the code that it imports, and on no other."""

import ast
from pathlib import Path

import pytest
import yaml

from .conftest import REPOSITORY, STAGES

SOURCE = REPOSITORY / "src/springfield"
PIPELINE = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
NO_RESULT = {"errors", "processes", "progress"}
"""Modules that stages import and that cannot change what they write: texts, bars, endings."""


def imported(path: Path) -> set[str]:
    """The modules of the package that a module imports, wherever in it, but for type checks."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "springfield":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("springfield."):
            names.add(str(node.module).split(".")[1])
        elif isinstance(node, ast.Import):
            names |= {a.name.split(".")[1] for a in node.names if a.name.startswith("springfield.")}
    return names


def reached(module: str) -> set[str]:
    """A module and all that it imports from the package, directly or not."""
    seen: set[str] = set()
    waiting = {module}
    while waiting:
        name = waiting.pop()
        seen.add(name)
        waiting |= imported(SOURCE / f"{name}.py") - seen - NO_RESULT
    return seen


@pytest.mark.parametrize("stage", STAGES[1:])
def test_deps_are_the_modules_that_a_stage_imports(stage: str) -> None:
    listed = {Path(dep).stem for dep in PIPELINE[stage]["deps"] if dep.startswith("src/")}
    assert listed == reached(stage)


def test_modules_without_a_result_import_nothing_that_has_one() -> None:
    for module in NO_RESULT:
        assert imported(SOURCE / f"{module}.py") <= NO_RESULT


def test_no_stage_depends_on_the_machine() -> None:
    for stage, content in PIPELINE.items():
        for param in content.get("params", []):
            assert param.split(".")[0] not in ("hardware", "experiment"), stage


def test_every_data_dep_is_written_by_a_stage() -> None:
    written = set()
    for content in PIPELINE.values():
        for out in [*content.get("outs", []), *content.get("metrics", [])]:
            written.add(out if isinstance(out, str) else next(iter(out)))
    for stage in STAGES[2:]:
        for dep in PIPELINE[stage]["deps"]:
            known = any(dep == out or dep.startswith(f"{out}/") for out in written)
            assert dep.startswith("src/") or known, (stage, dep)
