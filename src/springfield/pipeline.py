"""Which module is which stage, and how stages run: the one place that calls them."""

import importlib
import tempfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from springfield.config import Params, only
from springfield.machine.hardware import Machine
from springfield.machine.paths import Paths
from springfield.sources.mirror import fetched

STAGES = ("download", "prepare", "split", "augment", "train", "evaluate", "export")


def stage(name: str, task: str) -> ModuleType:
    """The module of a stage: the same for every task, or the task's own."""
    package = f"{__package__}.stages"
    own = find_spec(f"{package}.{name}") is None
    return importlib.import_module(f"{package}.{task}.{name}" if own else f"{package}.{name}")


def check(params: Params) -> None:
    """See that the network can be made and takes its input, before any work.

    Raises:
        UserError: why not.
    """
    stage("train", params.task.name).check(params)


def run(params: Params, paths: Paths, machine: Machine, *names: str) -> None:
    """Run stages one after the other, without DVC and MLflow; default: all.

    Raises:
        UserError: what the stages raise.
    """
    for name in names or STAGES:
        module = stage(name, params.task.name)
        with tempfile.TemporaryDirectory() as folder:
            given = replace(machine, work=machine.work or Path(folder))
            if name == "train" and (weights := params.model.weights):
                kept = machine.cache / "weights"
                with fetched(weights, kept, machine.mirror, machine.root) as path:
                    given = replace(given, weights=path)
            module.run(only(params, module.NEEDS), paths, given)
