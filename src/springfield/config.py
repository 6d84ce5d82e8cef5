"""From `conf/` to `params.yaml`, and from there to the typed params of the stages."""

import difflib
import json
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, cast, get_args, get_type_hints

import yaml
from flatten_dict import flatten
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError

from springfield.machine.errors import UserError
from springfield.stages.classification.params import ClassificationParams
from springfield.stages.detection.params import DetectionParams
from springfield.stages.forecasting.params import ForecastingParams

Params = ClassificationParams | DetectionParams | ForecastingParams
"""All of `params.yaml`: those of its task."""
TASKS: dict[str, type[Params]] = {
    "classification": ClassificationParams,
    "detection": DetectionParams,
    "forecasting": ForecastingParams,
}
CURRENT = re.compile(r"^(  - experiment: )(\S+)", re.MULTILINE)
"""The line of `conf/config.yaml` that names the current experiment."""
ARCHIVE = re.compile(r"\.(zip|tgz|tar(\.\w+)?)$", re.IGNORECASE)
NOTHING = "nothing"
"""Said of a key that is not there."""
INPUT = ("input_size", "mean", "std")
"""What timm knows of a network."""


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
        UserError: no such file, an unknown key (with the nearest right one), a wrong type, or a
            value out of its range.
    """
    return _checked(read(path), str(path))


def read(path: Path) -> dict[str, Any]:
    """The content of a YAML file whose values are all written out.

    Raises:
        UserError: it is missing, damaged, or has `${...}` or an alias in it.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist; write it with 'springfield compose'")
    try:
        text = path.read_text()
        # Nine aliases can stand for gigabytes.
        alias = next((e for e in yaml.parse(text) if isinstance(e, yaml.AliasEvent)), None)
        content = OmegaConf.to_container(OmegaConf.create("" if alias else text))
    except Exception as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    for number, line in enumerate(text.splitlines(), 1):
        # DVC hashes what is written, not what it stands for.
        if "${" in line or (alias and f"*{alias.anchor}" in line):
            raise UserError(f"{path}, line {number}: '{line.strip()}': write the value itself")
    return cast("dict[str, Any]", content)


def _fill(content: dict[str, Any]) -> None:
    """Say what is null: a network's own input, and the name of the folder that is learnt from."""
    data, model = content.get("data"), content.get("model")
    if isinstance(data, dict) and data.get("watch") and data.get("name", "") is None:
        data["name"] = re.sub(r"\W+", "_", ARCHIVE.sub("", Path(data["watch"]).name)).strip("_")
    if isinstance(model, dict) and None in (own := [model.get(key, 0) for key in INPUT]):
        from springfield.stages.classification.network import configuration

        found = configuration(str(model.get("backbone")))
        found["input_size"] = found["input_size"][-1]
        model |= {key: found[key] for key, value in zip(INPUT, own, strict=True) if value is None}


def _checked(content: dict[str, Any], where: str) -> Params:
    _fill(content)
    task = content.get("task")
    name = task.get("name", "") if isinstance(task, dict) else ""
    kind, given = TASKS.get(name, ClassificationParams), content.get("data")
    data = given if isinstance(given, dict) else {}
    layout = data.get("layout")
    if layout and name in TASKS and name != _task_of(layout):
        raise UserError(
            f"{where}: the data set '{data.get('name')}' is not for task.name={name}; choose an "
            "experiment of its task, as in conf/experiment/, or write one"
        )
    try:  # of JSON, objects may become dataclasses although nothing else is converted
        return TypeAdapter(kind).validate_json(json.dumps(content, default=str), strict=True)
    except ValidationError as error:
        problems = error.errors()
    for problem in problems:
        if problem["type"] == "unexpected_keyword_argument":
            raise UserError(f"{where}: {_unknown_key('.'.join(map(str, problem['loc'])))}")
    key, first = _key(problems[0]["loc"]), problems[0]
    match first["type"]:
        case "missing":
            listed = re.search(r"\.\d+\.", key)  # in a list, all of which is written by hand
            mend = "write it" if listed else "'springfield compose' writes all of them"
            raise UserError(f"{where}: {key} is missing; {mend}")
        case "value_error":
            raise UserError(f"{where}: {key}: {first['msg'].removeprefix('Value error, ')}")
    reasons = [p["msg"].removeprefix("Input ") for p in problems if _key(p["loc"]) == key]
    raise UserError(f"{where}: {key}={first['input']}: {', or '.join(reasons)}")


def _task_of(layout: Any) -> str:
    """The task that a data set's layout is for."""
    if isinstance(layout, list):
        return "classification"
    return "detection" if "pictures" in layout else "forecasting"


def _key(place: tuple[str | int, ...]) -> str:
    """The dotted key of a place that pydantic names, without which part of a union it tried."""
    key, known = ".".join(map(str, place)), set(_known())
    while key and re.sub(r"\.\d+", "", key) not in known:
        key = key.rpartition(".")[0]
    return key


def _known() -> list[str]:
    """The dotted keys that there are, of any task."""
    return list(dict.fromkeys(key for kind in TASKS.values() for key in _keys(kind)))


def _keys(kind: Any, prefix: str = "") -> Iterator[str]:
    """The dotted keys of a dataclass, and of those in its lists."""
    for name, hint in get_type_hints(kind).items():
        yield f"{prefix}{name}"
        for part in (hint, *get_args(hint)):
            if is_dataclass(part):
                yield from _keys(part, f"{prefix}{name}.")


def _unknown_key(key: str) -> str:
    """What to say of it: the nearest right one, first of all one that ends in the same word."""
    known = _known()
    plain, last = re.sub(r"\.\d+", "", key), key.split(".")[-1]
    if plain in known:
        return f"the key '{key}' is of another task"
    same = [right for right in known if right.split(".")[-1] == last]
    return f"unknown key '{key}'; {_near(plain, same or known)}"


def _near(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.3)
    return f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(known)}"


def compose(
    root: Path,
    target: Path,
    overrides: Sequence[str] = (),
    check: Callable[[Params], None] = lambda params: None,
) -> None:
    """Write what `conf/` composes, with Hydra overrides, to `target`, if it passes the checks.

    Args:
        root: the repository.
        target: the `params.yaml` to write.
        overrides: as Hydra takes them.
        check: a further check.

    Raises:
        UserError: an override that Hydra refuses, or what `load` refuses.
    """
    # DVC's own function, so that the file is the one that `dvc exp run` writes.
    from dvc.utils.hydra import compose_and_dump
    from hydra.errors import HydraException

    with tempfile.TemporaryDirectory() as folder:
        composed = Path(folder) / "params.yaml"
        conf = str(root.resolve() / "conf")
        try:
            compose_and_dump(composed, conf, None, "config", str(root), list(overrides))
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError(f"conf/: {_refusal(error)}") from error
        check(_checked(read(composed), "conf/"))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(composed.read_bytes())


def _refusal(error: Exception) -> str:
    """Hydra's message in one line, with what it does not say: what would be right."""
    from hydra.errors import MissingConfigException, OverrideParseException

    text = " ".join(str(error).split())
    if isinstance(error, OverrideParseException):
        key, _, value = error.override.partition("=")
        return f"{text}; quote the value: \"{key}='{value}'\""
    if isinstance(error, MissingConfigException) and error.options:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        options = sorted(error.options)
        return f"no {group} '{name}'; {_near(name, options)} There are: {', '.join(options)}"
    if found := re.match(r"Could not override '([^']+)'", text):
        return _unknown_key(found[1])
    return text


def use(root: Path, experiment: str, check: Callable[[Params], None]) -> None:
    """Make an experiment the current one in `conf/config.yaml` and write its `params.yaml`.

    Raises:
        UserError: there is no such experiment, or it does not compose.
    """
    names = sorted(path.stem for path in (root / "conf/experiment").glob("*.yaml"))
    if experiment not in names:
        hint = f"{_near(experiment, names)} There are: {', '.join(names)}"
        raise UserError(f"no experiment '{experiment}'; {hint}")
    compose(root, root / "params.yaml", [f"experiment={experiment}"], check)
    config = root / "conf/config.yaml"
    config.write_text(CURRENT.sub(rf"\g<1>{experiment}", config.read_text(), count=1))


def difference(
    root: Path, params: Path, overrides: Sequence[str] = ()
) -> dict[str, tuple[Any, Any]]:
    """The keys at which `params` differs from what `conf/` composes: there, and here.

    Raises:
        UserError: `conf/` does not compose.
    """
    with tempfile.TemporaryDirectory() as folder:
        composed = Path(folder) / "params.yaml"
        compose(root, composed, overrides)
        ours, theirs = by_key(params), by_key(composed)
    keys = sorted({*ours, *theirs})
    values = {key: (theirs.get(key, NOTHING), ours.get(key, NOTHING)) for key in keys}
    return {key: (there, here) for key, (there, here) in values.items() if there != here}


def by_key(path: Path) -> dict[str, Any]:
    """The values of a YAML file by their dotted keys; lists stay whole."""
    return flat(read(path))


def flat(content: Any) -> dict[str, Any]:
    """The values of nested mappings by their dotted keys; lists stay whole."""
    return dict(flatten(content, reducer="dot", keep_empty_types=(dict,)))
