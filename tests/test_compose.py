"""From `conf/` to `params.yaml`: what is refused, and how it is said."""

import copy
import re
from collections.abc import Iterator
from dataclasses import is_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
import torch
import yaml

from springfield import pipeline
from springfield.cli.stages import journal
from springfield.config import TASKS, by_key, compose, load
from springfield.machine.errors import UserError

from .conftest import REPOSITORY, Project

EXPERIMENTS = sorted(path.stem for path in (REPOSITORY / "conf/experiment").glob("*.yaml"))


def write(path: Path, of: Path = REPOSITORY / "params.yaml", /, **changes: object) -> Path:
    """Params, the repository's, with some dotted keys (`__` for the dot) changed."""
    params = yaml.safe_load(of.read_text())
    for key, value in changes.items():
        *parents, last = (int(part) if part.isdigit() else part for part in key.split("__"))
        part = params
        for parent in parents:
            part = part[parent]
        part[last] = value
    path.write_text(yaml.safe_dump(params))
    return path


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_to_checked_params(experiment: str, tmp_path: Path) -> None:
    target = tmp_path / "params.yaml"
    compose(REPOSITORY, target, [f"experiment={experiment}"])
    assert load(target).experiment == experiment


@pytest.mark.parametrize(
    ("watched", "name"),
    [("../pets", "pets"), ("../my.pets.tar.gz", "my_pets"), ("'a/My Pets (1).ZIP'", "My_Pets_1")],
)
def test_own_pictures_start_from_pretrained_weights_and_give_their_name(
    watched: str, name: str, tmp_path: Path
) -> None:
    target = tmp_path / "params.yaml"
    compose(REPOSITORY, target, ["experiment=folder", f"data.watch={watched}"], pipeline.check)
    params = load(target)
    assert params.data.name == name
    assert params.model.weights
    assert (params.model.backbone, params.model.input_size) == ("resnet18", 224)
    compose(REPOSITORY, target, ["experiment=folder", "data.name=cats"])
    assert load(target).data.name == "cats"


@pytest.mark.parametrize(
    ("experiment", "watch", "called"),
    [
        ("folder", "../my_birds", "my_birds"),
        ("boxes", "../my_birds", "my_birds"),
        ("series", "../rain.csv", "rain_csv"),
        ("sample", None, "sample"),
    ],
)
def test_own_data_have_an_experiment_of_mlflow_each(
    experiment: str, watch: str | None, called: str, tmp_path: Path
) -> None:
    chosen = [f"experiment={experiment}", *([f"data.watch={watch}"] if watch else [])]
    compose(REPOSITORY, tmp_path / "params.yaml", chosen)
    assert journal(load(tmp_path / "params.yaml")) == called


def test_a_data_set_of_another_task_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the data set 'milk' is not for task\.name=class"):
        compose(REPOSITORY, tmp_path / "params.yaml", ["data=milk"])


def test_a_series_has_no_pictures_to_exclude(tmp_path: Path) -> None:
    listed = f"data.exclude=[{{sha256: '{'0' * 64}', reason: none}}]"
    with pytest.raises(UserError, match=r"data\.exclude: a series has no pictures; set it to \[\]"):
        compose(REPOSITORY, tmp_path / "params.yaml", ["experiment=milk", listed])


OF_SERIES = {
    "milk", "temperature", "series", "time", "windows", "jitter", "lstm", "lstm_lab", "forecast"
}  # fmt: skip
"""Choices that go with a forecast."""
OF_BOXES = {"boxes", "boxes_strong", "detect", "raccoon"}
"""Choices that go with a detection, beside those named so."""


def experiment_of(choice: str) -> list[str]:
    """The experiment that a choice goes with."""
    if choice in OF_SERIES:
        return ["experiment=milk"]
    boxes = choice in OF_BOXES or choice.endswith("_boxes") or choice.startswith("fcos")
    return ["experiment=sample_boxes"] if boxes else []


@pytest.mark.parametrize("group", ["data", "split", "augment", "model", "train", "hardware"])
def test_every_choice_of_a_group_composes(group: str, tmp_path: Path) -> None:
    for choice in (REPOSITORY / "conf" / group).glob("*.yaml"):
        chosen = [*experiment_of(choice.stem), f"{group}={choice.stem}"]
        compose(REPOSITORY, tmp_path / "params.yaml", chosen)


def test_committed_params_are_what_conf_composes(tmp_path: Path) -> None:
    compose(REPOSITORY, tmp_path / "params.yaml", [])
    assert (tmp_path / "params.yaml").read_text() == (REPOSITORY / "params.yaml").read_text()


def test_no_path_of_a_machine_gets_into_params() -> None:
    watched = yaml.safe_load((REPOSITORY / "params.yaml").read_text())["data"]["watch"]
    assert not Path(watched).is_absolute()
    assert str(REPOSITORY) not in (REPOSITORY / "params.yaml").read_text()


def test_an_unknown_key_is_named_with_the_nearest_right_one(tmp_path: Path) -> None:
    path = write(tmp_path / "params.yaml", optimizer__lrr=1)
    with pytest.raises(
        UserError, match=r"unknown key 'optimizer.lrr'; did you mean 'optimizer.lr'"
    ):
        load(path)


def test_a_key_of_another_task_is_told(tmp_path: Path) -> None:
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    params["model"]["horizon"] = 12
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(UserError, match=r"the key 'model\.horizon' is of another task"):
        load(tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("train__epochs", "many", "train.epochs"),
        ("train__epochs", 2.5, "train.epochs"),
        ("split__strategy", "gruoped", "split.strategy"),
        ("model__mean", 0.5, "model.mean"),
        (
            "data__source",
            {"files": [{"path": "x.zip", "sha": "0"}]},
            "'data.source.files.0.sha'; did you mean 'data.source.files.sha256'?",
        ),
        (
            "data__exclude",
            [{"sha256": "0" * 64, "reason": "two"}, {"sha256": "1" * 64}],
            "data.exclude.1.reason is missing; write it",
        ),
    ],
)
def test_a_wrong_value_is_named(key: str, value: object, named: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        load(write(tmp_path / "params.yaml", **{key: value}))
    assert named in str(error.value)
    assert "\n" not in str(error.value)


ARCHIVE = {"path": "a/b.zip", "sha256": "0" * 64, "url": None}
EXCLUDED = {"sha256": "0" * 64, "reason": "shows another one"}
RIGHT: dict[str, Any] = {
    "data.source.files": [ARCHIVE], "model.weights": ARCHIVE, "data.exclude": [EXCLUDED]
}  # fmt: skip
"""What has keys that the sample leaves out."""
WRONG: dict[str, list[Any]] = {
    "experiment": ["a/b", ""],
    "task.name": ["clasification"],
    "task.samples": ["pictures"],
    "task.curves": [[], "val_accuracy", [1]],
    "seed": [-1, 2**32, 1.5, True],
    "data.name": ["my/pets", "", "../pets"],
    "data.about.title": [""],
    "data.about.license": ["My own", None],
    "data.about.url": ["file:///etc", ""],
    "data.watch": ["", None],
    "data.source.sample": [0, -0.1, 1.5],
    "data.source.sample_boxes": [0, -0.1, 1.5],
    "data.source.raccoon": [0, -0.1, 1.5],
    "data.source.files.0.path": ["../a.zip", "/a.zip", "", 5],
    "data.source.files.0.sha256": ["0" * 63, "latest"],
    "data.source.files.0.url": ["ftp://a/b", 5],
    "data.source.files.0.bytes": ["many", 1.5],
    "data.source.kaggle": ["owner/name", "owner/name/versions/latest"],
    "data.source.folder": [5],
    "data.exclude.0.sha256": ["0" * 63, "0" * 65, "A" * 64, "latest", 5],
    "data.exclude.0.reason": ["", " ", None],
    "data.layout": [[], None],
    "data.layout.0.pattern": ["(", "no class", 5],
    "data.layout.0.split": ["tset"],
    "data.layout.0.format": ["jpeg"],
    "data.layout.0.classes": [["cat"], "cat"],
    "data.layout.0.picture": ["{id}.png", 5],
    "data.layout.0.column": ["kind", 5],
    "prepare.shorter_side": [0, 7, 64.5],
    "prepare.max_refused": [-0.1, 1.1, float("nan")],
    "split.strategy": ["gruoped"],
    "split.val": [0, 1, -0.1, 0.9],
    "split.test": [0, 1, float("nan")],
    "split.distance": [-1, 64],
    "split.max_per_class": [0, 2],
    "split.classes": [["cat"], ["cat", "cat"], "cat", [3, 5]],
    "augment.offline.floor": [-1],
    "augment.offline.transforms": [[{"p": 0.5}], ["HorizontalFlip"], {}],
    "augment.online": [[{"name": 5}], [{"name": "RandomCrop", "size": 5}]],
    "model.backbone": ["", 5],
    "model.code": ["", "network"],
    "model.input_size": [0, 7, 10_000],
    "model.mean": [[0.5, 0.5], [0.5, 0.5, 128.0], 0.5],
    "model.std": [[0, 0, 0], [0.5], [0.5, 0.5, float("inf")]],
    "model.drop_rate": [-0.1, 1],
    "model.options": [["a"], "a"],
    "model.weights.path": ["../../a.safetensors"],
    "model.weights.sha256": [""],
    "model.weights.url": ["a.safetensors"],
    "model.weights.bytes": ["many", 1.5],
    "optimizer.name": ["", "adam w"],
    "optimizer.lr": [-1, float("nan"), float("inf"), "fast"],
    "optimizer.momentum": [-0.1, 1, "much"],
    "optimizer.weight_decay": [-0.1],
    "optimizer.l1": [-0.1, float("inf")],
    "optimizer.layer_decay": [0, 1.1],
    "optimizer.warmup": [-0.1, 1],
    "optimizer.clip": [-1],
    "train.epochs": [0, 2.5, True, "many"],
    "train.max_minutes": [-1, float("nan")],
    "train.limit_batches": [0, 1.5],
    "train.batch_size": [0, -1],
    "train.accumulate": [0],
    "train.precision": ["32", "fp16"],
    "train.compile": ["maybe", 2],
    "train.head_epochs": [-1],
    "train.frozen": [-1],
    "train.loss": ["logistic", None],
    "train.label_smoothing": [-0.1, 1, 1.5],
    "train.mixup": [-1],
    "train.cutmix": [-1, float("inf")],
    "train.auxiliary": [-1],
    "train.sizes": [0, [0]],
    "train.balance": [-0.1, 1.1],
    "train.logit_adjustment": [-0.1, float("inf")],
    "train.ema": [-0.1, 1],
    "train.patience": [-1],
    "evaluate.baseline": ["maybe"],
    "evaluate.flips": ["maybe", 2],
    "evaluate.sure": [0, 1.1],
    "export.opset": [9, 17, 99, "new"],
    "export.calibration": [0, -1],
    "export.static": [-1, 1.5],
    "hardware.accelerator": ["gpus"],
    "hardware.devices": [0, -2, "all", []],
    "hardware.loggers": [["wandb"]],
    "hardware.nodes": [0],
    "hardware.workers": [-1],
}  # fmt: skip
"""Of every field, what no stage can use."""
WRONG_OF_SERIES: dict[str, list[Any]] = {
    "data.layout.time": ["", 3],
    "data.layout.value": ["", None],
    "data.layout.frequency": [""],
    "data.layout.season": [1, 0, 2.5],
    "data.layout.horizon": [0, -1],
    "data.layout.time_format": [""],
    "prepare.max_filled": [-0.1, 1.1],
    "model.horizon": [0],
    "model.season": [1],
    "model.levels": [[], [0], [1.0], [0.95, 0.8], [0.8, 0.8]],
}
"""The same of the fields that only a forecast has."""
OTHER_SCALE = {"shorter_side": 256, "but": [[256, 379]]}
WRONG_OF_BOXES: dict[str, list[Any]] = {
    "data.layout.format": ["csv", None],
    "data.layout.pictures": [[], None, "all"],
    "data.layout.pictures.0.pattern": ["(", 5],
    "data.layout.pictures.0.split": ["tset"],
    "data.layout.labels": ["(", 5],
    "data.layout.other_scale.shorter_side": [0, "256"],
    "data.layout.other_scale.but": [[256], [[256]]],
    "model.width": [7, 8.5],
    "model.detections": [0],
    "model.iou": [0, 1, 1.5],
}
"""The same of the fields that only a detection has."""


def leaves(kind: Any, prefix: str = "") -> Iterator[str]:
    """The dotted keys of the fields of a dataclass that are no dataclasses themselves."""
    for name, hint in get_type_hints(kind).items():
        parts = [part for part in (hint, *get_args(hint)) if is_dataclass(part)]
        if not parts or name in {"layout", "pictures"}:  # these have a range of their own, too
            yield f"{prefix}{name}"
        for part in parts:
            yield from leaves(part, f"{prefix}{name}." + ("0." if get_origin(hint) is list else ""))


def test_every_field_is_among_the_wrong_ones() -> None:
    of_pictures, of_boxes, of_series = (set(leaves(kind)) for kind in TASKS.values())
    assert of_pictures == set(WRONG)
    assert of_series - of_pictures == set(WRONG_OF_SERIES)
    assert of_boxes - of_pictures == set(WRONG_OF_BOXES)


@pytest.mark.parametrize(
    ("experiment", "key", "values"),
    [
        (experiment, key, values)
        for experiment, wrong in (("milk", WRONG_OF_SERIES), ("sample_boxes", WRONG_OF_BOXES))
        for key, values in wrong.items()
    ],
)
def test_a_value_out_of_a_tasks_range_is_refused(
    experiment: str, key: str, values: list[Any], tmp_path: Path
) -> None:
    composed = tmp_path / "params.yaml"
    compose(REPOSITORY, composed, [f"experiment={experiment}"])
    given = {"data__layout__other_scale": OTHER_SCALE} if "other_scale" in key else {}
    for value in values:
        changes = copy.deepcopy({**given, key.replace(".", "__"): value})
        path = write(tmp_path / "wrong.yaml", composed, **changes)
        with pytest.raises(UserError) as error:
            load(path)
        assert key.split(".")[0] in str(error.value).removeprefix(str(path))


@pytest.mark.parametrize("key", WRONG)
def test_a_value_out_of_its_range_is_refused(key: str, tmp_path: Path) -> None:
    parent = next((known for known in RIGHT if key.startswith(known)), None)
    given = {parent: RIGHT[parent]} if parent else {}
    for value in WRONG[key]:
        changes = copy.deepcopy({**given, key: value})
        if key.startswith("data.source.") and key != "data.source.sample":
            changes["data.source.sample"] = None
        named = {k.replace(".", "__"): changed for k, changed in changes.items()}
        path = write(tmp_path / "params.yaml", **named)
        with pytest.raises(UserError) as error:
            load(path)
        assert key.split(".")[0] in str(error.value).removeprefix(str(path))
        assert "\n" not in str(error.value)


def test_a_wrong_type_is_found_before_any_work(project: Project) -> None:
    write(project.path / "params.yaml", export__opset="new")
    output = project.springfield("download", status=1)
    assert "export.opset" in output
    assert "Traceback" not in output
    assert not (project.path / "data/raw").exists()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.epoch=3", "unknown key 'train.epoch'; did you mean 'train.epochs'?"),
        ("learning_rate=1", "unknown key 'learning_rate'; did you mean"),
        ("train.lr=1", "unknown key 'train.lr'; did you mean 'optimizer.lr'?"),
        ("+train.lrs=1", "unknown key 'train.lrs'; did you mean"),
        ("modle=resnet10t", "unknown key 'modle'; did you mean 'model'?"),
        (
            "model=resnet11t",
            "no model 'resnet11t'; did you mean 'resnet10t'? There are: ",
        ),
        ("optimizer.lr=-1", "optimizer.lr=-1: should be greater than or equal to 0"),
        ("hardware.devices=0", "hardware.devices=0: should be 'auto', or should be greater than 0"),
        ("data.watch=../pets (1).zip", "quote the value: \"data.watch='../pets (1).zip'\""),
        ("optimizer.lr", "optimizer.lr"),
    ],
)
def test_what_compose_refuses_is_one_line_with_the_remedy(
    project: Project, override: str, said: str
) -> None:
    before = (project.path / "params.yaml").read_text()
    output = project.springfield("compose", override, status=1)
    assert output.startswith("error: conf/: ")
    assert said in output
    assert output.count("\n") == 1
    assert (project.path / "params.yaml").read_text() == before


def test_compose_takes_a_quoted_path(project: Project) -> None:
    project.springfield("compose", "data.watch='../pets (1).zip'")
    assert load(project.path / "params.yaml").data.watch == "../pets (1).zip"


BOMB = "a: &a [x, x]\n" + "".join(
    f"{later}: &{later} [{', '.join([f'*{name}'] * 9)}]\n"
    for name, later in pairwise("abcdefghijkl")
)


WRITTEN = (REPOSITORY / "params.yaml").read_text()
REFUSED = {
    "alias bomb": BOMB,
    "alias": WRITTEN.replace("seed: 1", "x: &one 1\nseed: *one"),
    "interpolation": re.sub("title: .*", "title: ${oc.env:HOME}", WRITTEN),
    "of another key": re.sub("epochs: .*", "epochs: ${seed}", WRITTEN),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_params_are_read_as_they_are_written(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(REFUSED[kind])
    with pytest.raises(UserError, match=r"params.yaml, line \d+: .*: write the value itself"):
        load(path)


def test_use_changes_config_and_params_and_a_later_compose_stays(project: Project) -> None:
    assert "simpsons_cpu" in project.springfield("use", "simpsons_cpu")
    assert "  - experiment: simpsons_cpu\n" in (project.path / "conf/config.yaml").read_text()
    project.springfield("compose", "seed=7")
    params = load(project.path / "params.yaml")
    assert (params.experiment, params.seed) == ("simpsons_cpu", 7)


def test_an_unknown_experiment_is_named_with_the_nearest_one(project: Project) -> None:
    before = (project.path / "conf/config.yaml").read_text()
    output = project.springfield("use", "simpson", status=1)
    assert "did you mean 'simpsons'?" in output
    assert output.count("\n") == 1
    assert (project.path / "conf/config.yaml").read_text() == before


def test_config_tells_what_an_edit_of_conf_would_change(project: Project) -> None:
    assert "differs" not in project.springfield("config", "--changed")
    optimizer = project.path / "conf/optimizer/adamw.yaml"
    optimizer.write_text(optimizer.read_text().replace("lr: 1.0e-3", "lr: 5.0e-4"))
    output = project.springfield("config", "--changed")
    assert "optimizer.lr: 0.001 here, 0.0005 in conf/" in output
    assert "springfield compose" in output


def test_config_says_where_each_value_is_from(project: Project) -> None:
    path = project.path / "params.yaml"
    path.write_text(path.read_text().replace("floor: 8", "floor: 9"))
    output = project.run("springfield", "config").stdout
    lines = dict(line.split(": ", 1) for line in output.splitlines())
    assert set(lines) == set(by_key(path))
    assert lines["optimizer.clip"] == "1.0  # conf/optimizer/adamw.yaml"
    assert lines["optimizer.lr"] == "0.001  # conf/optimizer/adamw.yaml"
    assert lines["train.epochs"] == "2  # conf/experiment/tiny.yaml"
    assert lines["train.head_epochs"] == "0  # conf/train/scratch.yaml"
    assert lines["train.patience"] == "0  # conf/train/finetune.yaml"
    assert lines["seed"] == "1  # conf/config.yaml"
    assert lines["augment.offline.floor"] == "9  # params.yaml (8 in conf/experiment/tiny.yaml)"
    assert yaml.safe_load(output)["augment.online"] == by_key(path)["augment.online"]


def test_compose_says_what_differs_from_conf_and_what_it_drops(project: Project) -> None:
    output = project.springfield("compose", "optimizer.lr=0.005")
    assert "optimizer.lr: 0.005 here, 0.001 in conf/" in output
    output = project.springfield("compose", "seed=3")
    assert "seed: 3 here, 1 in conf/" in output
    assert "optimizer.lr: 0.005 is dropped, it is 0.001 again" in output
    output = project.springfield("compose", "hardware.workers=2", "model=resnet18")
    assert "seed: 3 is dropped, it is 1 again" in output
    assert "hardware.workers: 2 here, null in conf/" in output  # as YAML has it
    assert "model.weights.path: weights/resnet18.a1_in1k.safetensors here, null" in output
    assert "model.weights: " not in output
    output = project.springfield("compose")
    assert "here" not in output
    assert "hardware.workers: 2 is dropped, it is null again" in output
    params = project.path / "params.yaml"
    params.write_text(re.sub("title: .*", r'title: "\\e[2J[red]"', params.read_text()))
    output = project.springfield("compose")
    assert "data.about.title: \\x1b[2J[red] is dropped" in output


def test_long_values_are_cut_where_differences_are_told(project: Project) -> None:
    output = project.springfield("compose", "data=cifar10_bin", "data.source.sample=null")
    assert "data.source.files: [{'path': 'data/cifar10/data_batch_1.bin', 'sha256': " in output
    assert max(map(len, output.splitlines())) < 160
    first, *_ = project.springfield("split", status=1).splitlines()
    assert "data.source.files=[{'path': " in first
    assert len(first) < 600


def test_the_first_line_names_what_is_not_the_experiments_own(project: Project) -> None:
    params = project.path / "params.yaml"
    assert project.springfield("split", status=1).startswith("experiment tiny: split\n")
    params.write_text(params.read_text().replace("seed: 1", "seed: 3"))
    project.springfield("use", "sample")
    project.springfield("compose", "experiment=tiny", "train.epochs=5", "optimizer.lr=2e-3")
    output = project.springfield("split", status=1)
    first = "experiment tiny: split (optimizer.lr=0.002 train.epochs=5)\n"
    assert output.startswith(first)


def test_the_command_knows_its_version_and_completes(project: Project) -> None:
    assert project.run("springfield", "--version").stdout.count(".") == 2
    typed = {"COMP_WORDS": "springfield comp", "COMP_CWORD": "1"}
    env = {**typed, "_SPRINGFIELD_COMPLETE": "complete_bash"}
    assert {"compose", "compare"} <= set(project.run("springfield", env=env).stdout.split())


def test_devices_are_a_number_or_the_numbers_of_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for devices, first in (([2, 5], "cuda:2"), (2, "cuda"), ("auto", "cuda")):
        path = tmp_path / "params.yaml"
        compose(REPOSITORY, path, [f"hardware.devices={devices}".replace(" ", "")])
        hardware = load(path).hardware
        assert (hardware.devices, hardware.device) == (devices, first)


def test_the_experiment_of_own_pictures_can_be_used(project: Project) -> None:
    project.springfield("use", "folder")
    assert "backbone: resnet18" in project.springfield("config")
    output = project.springfield("download", status=1)
    assert "experiment folder: download" in output
    assert "data/pictures does not exist" in output
