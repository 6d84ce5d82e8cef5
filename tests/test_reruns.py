"""Change one thing at a time: exactly the stages that it concerns run again."""

import re
from collections.abc import Callable

import pytest

from .conftest import STAGES, Project

pytestmark = pytest.mark.slow

TRAINED = ["train", "evaluate", "export"]


def param(*overrides: str) -> Callable[[Project], object]:
    return lambda project: project.springfield("compose", *overrides)


def comment(path: str) -> Callable[[Project], object]:
    def change(project: Project) -> None:
        with (project.path / path).open("a") as file:
            file.write("\n# a comment\n")

    return change


def code(module: str) -> Callable[[Project], object]:
    return comment(f"src/springfield/{module}.py")


# `config` tells about every change of params.yaml; what else runs is listed.
CASES: dict[str, tuple[Callable[[Project], object], list[str]]] = {
    "param of download": (param("data.source.sample=0.11"), STAGES[1:]),
    "param of prepare": (param("prepare.shorter_side=50"), ["prepare", "augment", *TRAINED]),
    "param of split": (param("split.val=0.25"), ["split", "augment", *TRAINED]),
    "param of augment, offline": (param("augment.offline.floor=9"), ["augment", *TRAINED]),
    "param of augment, online": (param("augment.online=[]"), ["augment", *TRAINED]),
    "param of model": (param("model.drop_rate=0.1"), TRAINED),
    "param of optimizer": (param("optimizer.lr=0.01"), TRAINED),
    "param of train": (param("train.epochs=1"), TRAINED),
    "param of evaluate": (param("evaluate.baseline=true"), ["evaluate", "export"]),
    "param of export": (param("export.calibration=9"), ["export"]),
    "seed": (param("seed=2"), ["split", "augment", *TRAINED]),
    "hardware": (param("hardware.workers=1"), []),
    "code of download": (code("download"), ["download"]),
    "code of prepare": (code("prepare"), ["prepare"]),
    "code of split": (code("split"), ["split"]),
    "code of augment": (code("augment"), ["augment"]),
    "code of train": (code("train"), TRAINED),
    "code of evaluate": (code("evaluate"), ["evaluate"]),
    "code of export": (code("export"), ["export"]),
    "library of readers": (code("readers"), ["download", "prepare"]),
    "library of metrics": (code("metrics"), ["evaluate"]),
    "library of learner": (code("learner"), TRAINED),
    "command line": (code("cli"), []),
    "progress bars": (code("progress"), []),
    "tracking": (code("tracking"), []),
    "README": (comment("README.md"), []),
    "conf": (comment("conf/optimizer/adamw.yaml"), ["config"]),
}


@pytest.mark.parametrize("case", CASES)
def test_only_what_a_change_concerns_runs_again(case: str, finished: Project) -> None:
    change, expected = CASES[case]
    change(finished)
    told = ["config"] if case.startswith(("param", "seed", "hardware")) else []
    if expected[-3:] == TRAINED and case != "param of train":
        # Another checkpoint is another evaluation and export, as that one case shows.
        assert finished.repro("train") == expected[:-2]
        assert "models/checkpoint" in finished.run("dvc", "status", "evaluate", "export").stdout
    else:
        assert finished.repro() == told + expected


def test_another_archive_is_noticed(finished: Project) -> None:
    (finished.path / "data/raw/sample.zip").write_bytes(b"")
    output = finished.run("dvc", "status").stdout
    assert re.search(r"modified:\s+data/raw", output)
    assert finished.repro() == []
    assert (finished.path / "data/raw/sample.zip").stat().st_size > 1000


def test_an_edit_of_conf_is_told_and_taken_over(finished: Project) -> None:
    optimizer = finished.path / "conf/optimizer/adamw.yaml"
    optimizer.write_text(optimizer.read_text().replace("lr: 1.0e-3", "lr: 5.0e-4"))
    output = finished.run("dvc", "repro")
    assert "optimizer.lr: 0.001 here, 0.0005 in conf/" in output.stdout + output.stderr
    finished.springfield("compose")
    assert finished.repro() == ["config", *TRAINED]


def test_going_back_to_earlier_params_runs_nothing(finished: Project) -> None:
    finished.springfield("compose", "evaluate.baseline=true")
    assert finished.repro() == ["config", "evaluate", "export"]
    finished.springfield("compose")
    assert finished.repro() == ["config"]
