"""From `conf/` to `params.yaml`, and from there to the typed params of the stages."""

import difflib
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from flatten_dict import flatten
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from springfield.images.formats import Layout
from springfield.learning.recipe import OptimizerParams, TrainParams
from springfield.machine.errors import UserError
from springfield.machine.hardware import HardwareParams
from springfield.stages.classification.augment import AugmentParams
from springfield.stages.classification.evaluate import EvaluateParams
from springfield.stages.classification.export import ExportParams
from springfield.stages.classification.prepare import PrepareParams
from springfield.stages.classification.train import ModelParams
from springfield.stages.download import SourceParams
from springfield.stages.split import SplitParams

CURRENT = re.compile(r"^(  - experiment: )(\S+)", re.MULTILINE)
"""The line of `conf/config.yaml` that names the current experiment."""


@dataclass
class TaskParams:
    """What is learnt."""

    name: str
    """A folder of `stages/`."""
    samples: str
    """The package that knows its samples: images or series."""


@dataclass
class AboutParams:
    """What the model's card says of a data set."""

    title: str
    license: str
    """As model hubs name it."""
    url: str | None


@dataclass
class DataParams:
    """A data set."""

    name: str
    about: AboutParams
    watch: str
    """A local file or folder whose changes are noticed."""
    source: SourceParams
    layout: list[Layout]


@dataclass
class Params:
    """All of `params.yaml`."""

    experiment: str
    task: TaskParams
    seed: int
    data: DataParams
    prepare: PrepareParams
    split: SplitParams
    augment: AugmentParams
    model: ModelParams
    optimizer: OptimizerParams
    train: TrainParams
    evaluate: EvaluateParams
    export: ExportParams
    hardware: HardwareParams


class _Only:
    """The part of params that a stage names; anything else is an error."""

    def __init__(self, params: Any, needs: tuple[str, ...], prefix: str = "") -> None:
        self._params, self._needs, self._prefix = params, needs, prefix

    def __getattr__(self, name: str) -> Any:
        key = f"{self._prefix}{name}"
        value = getattr(self._params, name)
        if key in self._needs:
            return value
        if any(need.startswith(f"{key}.") for need in self._needs):
            return _Only(value, self._needs, f"{key}.")
        raise AttributeError(f"a stage reads the param '{key}', which its NEEDS do not name")


def only(params: Params, needs: tuple[str, ...]) -> Params:
    """Params that have no more than these keys, such as `seed` or `data.source`."""
    return cast("Params", _Only(params, needs))


def load(path: Path) -> Params:
    """The checked params of a `params.yaml`.

    Raises:
        UserError: no such file, an unknown key (with the nearest right one) or a wrong type.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist; write it with 'springfield compose'")
    try:
        loaded = OmegaConf.load(path)
    except Exception as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    try:
        params = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Params), loaded))
    except ConfigKeyError as error:
        raise UserError(f"{path}: {_unknown_key(error)}") from error
    except OmegaConfBaseException as error:
        raise UserError(f"{path}: {error.full_key}: {str(error).splitlines()[0]}") from error
    return cast("Params", params)


def _unknown_key(error: ConfigKeyError) -> str:
    parent = error.parent_node
    known = [str(key) for key in parent] if isinstance(parent, DictConfig) else []
    near = difflib.get_close_matches(str(error.key), known, n=1, cutoff=0.5)
    prefix = str(error.full_key).removesuffix(str(error.key))
    hint = f"did you mean '{prefix}{near[0]}'?" if near else f"known: {', '.join(known)}"
    return f"unknown key '{error.full_key}'; {hint}"


def compose(root: Path, target: Path, overrides: list[str]) -> None:
    """Write what `conf/` composes, with Hydra overrides, to `target`, if it passes the checks.

    Raises:
        UserError: an override that Hydra refuses, an unknown key, a wrong type.
    """
    # DVC's own function, so that the file is the one that `dvc exp run` writes.
    from dvc.utils.hydra import compose_and_dump
    from hydra.errors import HydraException

    with tempfile.TemporaryDirectory() as folder:
        composed = Path(folder) / "params.yaml"
        conf = str(root.resolve() / "conf")
        try:
            compose_and_dump(composed, conf, None, "config", str(root), overrides)
            load(composed)
        except (HydraException, OmegaConfBaseException) as error:
            lines = [line for line in str(error).splitlines() if line.strip()]
            raise UserError(f"conf/: {' '.join(lines[:2])}") from error
        except UserError as error:
            raise UserError(str(error).replace(str(composed), "conf/")) from error
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(composed.read_bytes())


def use(root: Path, experiment: str) -> None:
    """Make an experiment the current one in `conf/config.yaml` and write its `params.yaml`.

    Raises:
        UserError: there is no such experiment, or it does not compose.
    """
    names = sorted(path.stem for path in (root / "conf/experiment").glob("*.yaml"))
    if experiment not in names:
        near = difflib.get_close_matches(experiment, names, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise UserError(f"no experiment '{experiment}'; {hint}There are: {', '.join(names)}")
    compose(root, root / "params.yaml", [f"experiment={experiment}"])
    config = root / "conf/config.yaml"
    config.write_text(CURRENT.sub(rf"\g<1>{experiment}", config.read_text(), count=1))


def difference(root: Path, params: Path) -> list[tuple[str, Any, Any]]:
    """The keys at which `params` differs from what `conf/` composes: key, there, here.

    Raises:
        UserError: `conf/` does not compose.
    """
    with tempfile.TemporaryDirectory() as folder:
        composed = Path(folder) / "params.yaml"
        compose(root, composed, [])
        ours, theirs = by_key(params), by_key(composed)
    keys = sorted({*ours, *theirs})
    values = ((key, theirs.get(key, "nothing"), ours.get(key, "nothing")) for key in keys)
    return [(key, there, here) for key, there, here in values if there != here]


def by_key(path: Path) -> dict[str, Any]:
    """The values of a YAML file by their dotted keys; lists stay whole."""
    content = yaml.safe_load(path.read_text())
    return dict(flatten(content, reducer="dot", keep_empty_types=(dict,)))
