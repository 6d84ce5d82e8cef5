"""dvc.yaml says of each stage, for every task, what its code imports, reads and writes."""

import ast
import copy
import functools
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

from springfield import pipeline
from springfield.config import load, only
from springfield.machine.paths import Paths

from .conftest import REPOSITORY

SOURCE = REPOSITORY / "src/springfield"
PIPELINE: dict[str, Any] = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
TASKS = {path.parent.name: path for path in sorted(SOURCE.glob("stages/*/__init__.py"))}
MODELS = {path.stem: path for path in sorted((REPOSITORY / "conf/model").glob("*.yaml"))}
JOURNAL = {"train": "reports/run.json", "evaluate": "reports/run.json"}
"""Read and written by the command around a stage: the id of its MLflow run."""
WATCHED = {"download": "data/unwatched"}
"""A local source, which `data.watch` names."""
LEVELS = (
    {"files"},
    {"machine"},
    {"sampling", "pages"},
    {"images", "series", "sources", "scoring", "artifacts"},
    {"learning", "tracking", "serving"},
    {"stages"},
    {"config", "pipeline"},
    {"cli"},
    {"__main__"},
)
"""Each imports from those before it, and from its own room."""
APART = {"tracking", "serving"}
"""Only the command imports these."""


@functools.cache
def imported(path: Path) -> frozenset[Path]:
    """The files of the package that a module imports or renders, but for type checks."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found: set[Path] = set()
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "springfield":
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [a.name for a in node.names if a.name.split(".")[0] == "springfield"]
        elif isinstance(node, ast.Constant) and str(node.value).endswith(".jinja"):
            found.add(path.with_name(str(node.value)))
        for name in names:
            parts = name.split(".")[1:]
            module = SOURCE.joinpath(*parts).with_suffix(".py")
            found.add(module if module.is_file() else module.parent.with_suffix(".py"))
    return frozenset(file for file in found if file.is_file())


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def reached(path: Path, code: str) -> set[Path]:
    """A module and all that its result depends on; of backbones looked up by name, only `code`."""
    seen: set[Path] = set()
    waiting = {path}
    while waiting:
        seen.add(file := waiting.pop())
        if file.suffix == ".py":
            waiting |= {
                other
                for other in imported(file) - seen
                if room(other) != "machine"
                and (other.stem != "small_networks" or other == REPOSITORY / code)
            }
    return seen


def within(file: Path, listed: set[Path]) -> Path:
    """The listed folder that a file is in, or else the file itself."""
    return next((folder for folder in file.parents if folder in listed), file)


def stage_file(name: str, task: str) -> Path:
    shared = SOURCE / f"stages/{name}.py"
    return shared if shared.is_file() else SOURCE / f"stages/{task}/{name}.py"


def used_paths(module: Path) -> set[str]:
    """The files that a stage takes from its `paths`."""
    whole = Paths()
    return {
        str(getattr(whole, node.attr))
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "paths"
    }


def resolved(items: list[Any], values: dict[str, str]) -> set[str]:
    names = [item if isinstance(item, str) else next(iter(item)) for item in items]
    return {re.sub(r"\$\{([\w.]+)\}", lambda m: values.get(m[1], m[0]), name) for name in names}


def model_code(model: str) -> str:
    content = yaml.safe_load(MODELS[model].read_text())
    if "code" in content:
        return str(content["code"])
    return model_code(next(iter(content["defaults"])))


def models_of(task: str) -> list[str]:
    """Those whose code is in the task's folder."""
    return [model for model in MODELS if f"/stages/{task}/" in model_code(model)]


def samples_of(task: str) -> str:
    content = yaml.safe_load((REPOSITORY / f"conf/task/{task}.yaml").read_text())
    assert content["task"]["name"] == task
    return str(content["task"]["samples"])


def problems(stages: dict[str, Any], task: str) -> Iterator[str]:
    """How `dvc.yaml` differs from the code of a task's stages."""
    for name in pipeline.STAGES:
        content, module = stages[name], stage_file(name, task)
        needs = pipeline.stage(name, task).NEEDS
        if set(content.get("params", [])) != set(needs):
            yield f"{name}: params are not {needs}"
        for model in models_of(task):
            values = {
                "task.name": task, "task.samples": samples_of(task),
                "model.code": model_code(model), "data.watch": WATCHED["download"],
            }  # fmt: skip
            deps = resolved(content["deps"], values)
            listed = {REPOSITORY / dep for dep in deps if dep.startswith("src/")}
            code = reached(module, values["model.code"])
            for folder in {file.parent for file in code} & listed:  # watched as a whole
                code |= {f for path in folder.glob("*.py") for f in reached(path, "")}
            if listed != (expected := {within(file, listed) for file in code}):
                names = sorted(path.name for path in listed ^ expected)
                yield f"{name}, model {model}: code deps differ in {names}"
        outs = resolved([*content.get("outs", []), *content.get("metrics", [])], values)
        data = {dep for dep in deps if not dep.startswith("src/")} | outs
        expected_data = used_paths(module) | {
            extra[name] for extra in (JOURNAL, WATCHED) if name in extra
        }
        if data != expected_data:
            yield f"{name}: data deps and outs differ in {sorted(data ^ expected_data)}"


def mutations() -> Iterator[tuple[str, dict[str, Any]]]:
    """`dvc.yaml` with one param, dep or out of a stage taken out."""
    for name in pipeline.STAGES:
        for key in ("params", "deps", "outs", "metrics"):
            for position, item in enumerate(PIPELINE[name].get(key, [])):
                mutated = copy.deepcopy(PIPELINE)
                del mutated[name][key][position]
                yield f"{name}: {key} without {item}", mutated


@pytest.mark.parametrize("task", TASKS)
def test_every_stage_lists_what_it_imports_reads_and_writes(task: str) -> None:
    assert list(problems(PIPELINE, task)) == []


def test_nothing_that_a_stage_lists_can_be_taken_out() -> None:
    """Of a task whose networks are all in network.py, `${model.code}` is the same as that."""
    unnoticed = [
        what
        for what, mutated in mutations()
        if not any(chain.from_iterable(problems(mutated, task) for task in TASKS))
    ]
    assert unnoticed == []


def test_a_stage_cannot_read_a_param_that_it_does_not_need() -> None:
    params = only(load(REPOSITORY / "params.yaml"), ("seed", "data.source"))
    assert params.seed
    assert params.data.source
    with pytest.raises(AttributeError, match=r"reads the param 'optimizer'"):
        _ = params.optimizer
    with pytest.raises(AttributeError, match=r"reads the param 'data\.layout'"):
        _ = params.data.layout


@pytest.mark.parametrize("task", TASKS)
def test_each_stage_is_found_for_each_task(task: str) -> None:
    for name in pipeline.STAGES:
        module = pipeline.stage(name, task)
        assert callable(module.run)
        assert Path(str(module.__file__)) == stage_file(name, task)


def test_rooms_import_only_what_stands_before_them() -> None:
    level = {name: number for number, names in enumerate(LEVELS) for name in names}
    for path in sorted(SOURCE.rglob("*.py")):
        own = room(path)
        if own == "__init__":
            continue
        for other in imported(path):
            there = room(other)
            assert own == there or level[there] < level[own] or own in LEVELS[6], (path, other)
            assert there not in APART or own in {there, "cli"}, (path, other)


def test_what_cannot_change_a_result_imports_nothing_that_can() -> None:
    for path in (SOURCE / "machine").glob("*.py"):
        assert {room(other) for other in imported(path)} <= {"machine", "files"}, path


@pytest.mark.parametrize("task", TASKS)
def test_a_task_imports_no_other_task(task: str) -> None:
    others = {name for name in TASKS if name != task}
    for path in (SOURCE / f"stages/{task}").glob("*.py"):
        reached_tasks = {other.parent.name for other in imported(path) if room(other) == "stages"}
        assert not reached_tasks & others, path


def test_no_stage_depends_on_the_machine() -> None:
    for stage, content in PIPELINE.items():
        for param in content.get("params", []):
            assert param.split(".")[0] not in ("hardware", "experiment"), stage
        assert not [dep for dep in content["deps"] if "/machine/" in dep], stage


def test_a_network_that_timm_does_not_have_names_its_code() -> None:
    import timm

    for model in models_of("classification"):
        backbone = yaml.safe_load(MODELS[model].read_text()).get("backbone")
        if backbone and not timm.is_model(backbone):
            assert model_code(model).endswith("small_networks.py"), model


def test_every_data_dep_is_written_by_a_stage_before() -> None:
    written: set[str] = set()
    for name in pipeline.STAGES:
        content = PIPELINE[name]
        for dep in content["deps"] if name != "download" else []:
            assert "src/" in dep or dep in written or dep.startswith("${model"), (name, dep)
        written |= resolved([*content.get("outs", []), *content.get("metrics", [])], {})
