"""What a file of `conf/search/` says, and the experiment that its best trial becomes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import yaml
from flatten_dict import unflatten
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from pydantic import ConfigDict, Field, PositiveInt, TypeAdapter, ValidationError, with_config

from springfield.cli.workspace import WORKSPACE
from springfield.config import NOTHING, difference, read
from springfield.files import atomic
from springfield.machine.errors import UserError
from springfield.stages.params import Name

if TYPE_CHECKING:
    import optuna

SEARCHED = ("prepare", "augment", "model", "optimizer", "train")
"""What trials may differ in: not in the frames of val, by which they are compared."""


@with_config(ConfigDict(extra="forbid"))
@dataclass
class Plan:
    """A search."""

    experiment: Name
    """What each trial starts from."""
    overrides: list[str]
    """Of every trial, as `springfield compose` takes them."""
    trials: PositiveInt
    space: Annotated[dict[str, str], Field(min_length=1)]
    """Of each key a sweep in Hydra's words: `choice(a, b)`, `range(1, 5)`, `interval(0, 1)`,
    `tag(log, interval(1e-4, 1e-2))`, `int(interval(1, 9))`."""

    def __post_init__(self) -> None:
        for key, text in self.space.items():
            _parsed(key, text)

    @property
    def start(self) -> list[str]:
        """The overrides that all trials have."""
        return [f"experiment={self.experiment}", *self.overrides]

    def corner(self) -> list[str]:
        """The overrides of one of the trials that there may be."""
        values: list[Any] = []
        for key, text in self.space.items():
            parsed = _parsed(key, text)
            sweep: Any = parsed.value()
            values.append(
                next(parsed.sweep_string_iterator()) if parsed.is_discrete_sweep() else sweep.start
            )
        return overrides(dict(zip(self.space, values, strict=True)))

    def suggest(self, trial: "optuna.Trial") -> dict[str, Any]:
        """What Optuna suggests for a trial."""
        return {key: _suggested(trial, key, _parsed(key, text)) for key, text in self.space.items()}


def overrides(params: Mapping[str, Any]) -> list[str]:
    """The params of a trial as Hydra takes them."""
    return [f"{key}={value}" for key, value in params.items()]


def read_plan(file: Path) -> Plan:
    """Read a file of `conf/search/`.

    Raises:
        UserError: there is none, or what is wrong in it.
    """
    if not file.is_file():
        raise UserError(f"{file} does not exist; searches are files in conf/search/")
    try:
        return TypeAdapter(Plan).validate_json(json.dumps(read(file)), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        reason = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
        raise UserError(f"{file}: {f'{key}: ' if key else ''}{reason}") from error


def _parsed(key: str, text: str) -> Override:
    if key.lstrip("+").split(".")[0] not in SEARCHED:
        raise ValueError(
            f"space: {key} cannot be searched: all trials have the same seed and frames of val; "
            f"what is in {', '.join(SEARCHED)} can"
        )
    try:
        found = OverridesParser.create().parse_override(f"{key}={text}")
    except HydraException as error:
        raise ValueError(f"space: {key}: {' '.join(str(error).split())}") from error
    if not found.is_sweep_override():
        raise ValueError(f"space: {key}: {text} is one value; give choice(...) or interval(...)")
    return found


def _suggested(trial: "optuna.Trial", key: str, override: Override) -> Any:
    if override.is_choice_sweep():
        return trial.suggest_categorical(key, list(override.sweep_string_iterator()))
    sweep: Any = override.value()
    if override.is_range_sweep():
        values = list(sweep.range())
        low, high, more = values[0], values[-1], {"step": sweep.step}
    else:
        low, high, more = sweep.start, sweep.end, {"log": "log" in sweep.tags}
    suggest = trial.suggest_int if isinstance(low, int) else trial.suggest_float
    return suggest(key, low, high, **more)


def write_experiment(
    target: Path, plan: Plan, best: Mapping[str, Any], params: Path, head: str
) -> None:
    """Write an experiment that states what its trial has other than the one it started from.

    Args:
        target: file of `conf/experiment/`.
        plan: of the search.
        best: what the trial was suggested.
        params: the whole `params.yaml` of the trial.
        head: what it reaches.
    """
    groups = [
        choice
        for choice in (*plan.overrides, *overrides(best))
        if (WORKSPACE / "conf" / choice.replace("=", "/", 1)).with_suffix(".yaml").is_file()
    ]
    values = difference(WORKSPACE, params, [f"experiment={plan.experiment}", *groups])
    defaults: list[Any] = [plan.experiment]
    for choice in groups:
        group, _, name = choice.partition("=")
        defaults.append({f"override /{group}": name})
    content = {
        "defaults": defaults,
        "experiment": target.stem,
        **unflatten(
            {key: here for key, (_, here) in values.items() if here != NOTHING}, splitter="dot"
        ),
    }
    comment = "".join(f"# {line}\n" for line in head.splitlines())
    with atomic(target) as partial:
        partial.write_text(
            f"# @package _global_\n{comment}{yaml.safe_dump(content, sort_keys=False)}"
        )
