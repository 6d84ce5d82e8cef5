"""From `conf/` to `params.yaml`: what is refused, and how it is said."""

from pathlib import Path

import pytest
import yaml

from springfield.config import compose, load
from springfield.machine.errors import UserError

from .conftest import REPOSITORY, Project

EXPERIMENTS = sorted(path.stem for path in (REPOSITORY / "conf/experiment").glob("*.yaml"))


def write(path: Path, **changes: object) -> Path:
    """The repository's params with some dotted keys (`__` for the dot) changed."""
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    for key, value in changes.items():
        *parents, last = key.split("__")
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


@pytest.mark.parametrize("group", ["data", "split", "augment", "model", "train", "hardware"])
def test_every_choice_of_a_group_composes(group: str, tmp_path: Path) -> None:
    for choice in (REPOSITORY / "conf" / group).glob("*.yaml"):
        compose(REPOSITORY, tmp_path / "params.yaml", [f"{group}={choice.stem}"])


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
            "'sha'; did you mean 'sha256'?",
        ),
    ],
)
def test_a_wrong_value_is_named(key: str, value: object, named: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        load(write(tmp_path / "params.yaml", **{key: value}))
    assert named in str(error.value)
    assert "\n" not in str(error.value)


def test_a_wrong_type_is_found_before_any_work(project: Project) -> None:
    write(project.path / "params.yaml", export__opset="new")
    output = project.springfield("download", status=1)
    assert "export.opset" in output
    assert "Traceback" not in output
    assert not (project.path / "data/raw").exists()


def test_hydra_refuses_an_unknown_override_in_one_line(project: Project) -> None:
    output = project.springfield("compose", "optimizer.lrr=1", status=1)
    assert output.startswith("error: conf/: Could not override 'optimizer.lrr'")
    assert output.count("\n") == 1


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
    assert "differs" not in project.springfield("config")
    optimizer = project.path / "conf/optimizer/adamw.yaml"
    optimizer.write_text(optimizer.read_text().replace("lr: 1.0e-3", "lr: 5.0e-4"))
    output = project.springfield("config")
    assert "optimizer.lr: 0.001 here, 0.0005 in conf/" in output
    assert "springfield compose" in output
