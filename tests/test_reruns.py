"""What runs again after a change: exactly the stages that it concerns."""

import fnmatch
import json
import re
from collections import defaultdict
from pathlib import Path

import pytest

from .conftest import STAGES, Project
from .test_detect import SMALL as SMALL_BOXES
from .test_forecast import SMALL, week

CODE = "src/springfield"
TASK = f"{CODE}/stages/classification"
TRAINED = STAGES[STAGES.index("train") :]

EDITS = {
    f"{CODE}/machine/*": [],
    f"{CODE}/machine/resume.py": [],
    f"{CODE}/cli/*": [],
    f"{CODE}/tracking/*": [],
    f"{CODE}/serving/*": [],
    f"{CODE}/pipeline.py": [],
    f"{CODE}/config.py": [],
    f"{CODE}/sources/[!_]*": ["download"],
    f"{CODE}/sources/mirror.py": ["download"],
    f"{CODE}/stages/download.py": ["download"],
    f"{CODE}/images/reading/archives.py": ["download", "prepare"],
    f"{CODE}/images/reading/formats.py": ["prepare"],
    f"{TASK}/prepare.py": ["prepare"],
    f"{CODE}/pages/[!_]*": ["prepare", "augment", "evaluate"],
    f"{CODE}/images/drawing/*": ["prepare", "augment", "evaluate"],
    f"{CODE}/images/store.py": ["prepare", "augment", *TRAINED],
    f"{CODE}/sampling/sides.py": ["augment", *TRAINED],
    f"{CODE}/sampling/exclusion.py": ["split"],
    f"{CODE}/sampling/near_duplicates.py": ["split"],
    f"{CODE}/stages/split.py": ["split"],
    f"{TASK}/augment.py": ["augment"],
    f"{CODE}/images/transforms.py": ["augment", "train"],
    f"{TASK}/train.py": ["train"],
    f"{TASK}/learner.py": ["train"],
    f"{CODE}/learning/learner.py": ["train"],
    f"{CODE}/learning/recipe.py": ["train"],
    f"{TASK}/network.py": ["train", "evaluate", "export"],
    f"{CODE}/learning/curves.py": ["evaluate"],
    f"{TASK}/plots.py": ["evaluate"],
    f"{TASK}/scores.py": ["evaluate", "export"],
    f"{TASK}/evaluate.py": ["evaluate"],
    f"{TASK}/export.py": ["export"],
    f"{CODE}/artifacts/card*": ["export"],
    f"{CODE}/stages/detection/*": [],
    f"{CODE}/stages/forecasting/*": [],
    f"{CODE}/series/*": [],
    "conf/*": ["config"],
    "README.md": [],
    "web/*": [],
}
"""The stages that an edit concerns by itself; those after them run where their results differ.

Of rows that name a file, the one that names nothing else counts.
"""

FORECAST = f"{CODE}/stages/forecasting"
EDITS_OF_A_FORECAST = {
    f"{TASK}/*": [],
    f"{CODE}/images/dataset.py": [],
    f"{CODE}/images/transforms.py": [],
    f"{CODE}/images/drawing/*": [],
    f"{CODE}/series/reading/*": ["prepare"],
    f"{CODE}/series/drawing/*": ["prepare", "augment", "evaluate"],
    f"{CODE}/series/store.py": ["prepare", "augment", *TRAINED],
    f"{CODE}/series/dataset.py": TRAINED,
    f"{CODE}/series/transforms.py": ["augment", "train"],
    f"{CODE}/stages/split.py": ["split"],
    f"{FORECAST}/params.py": [],
    f"{FORECAST}/prepare.py": ["prepare"],
    f"{FORECAST}/augment.py": ["augment"],
    f"{FORECAST}/learner.py": ["train"],
    f"{FORECAST}/network.py": TRAINED,
    f"{FORECAST}/scores.py": ["evaluate", "export"],
    f"{FORECAST}/inside.py": ["evaluate"],
    f"{FORECAST}/card*": ["export"],
    f"{CODE}/learning/learner.py": ["train"],
    f"{CODE}/scoring/calibration.py": ["evaluate"],
}
"""The same where a series is forecast."""

DETECTION = f"{CODE}/stages/detection"
EDITS_OF_A_DETECTION = {
    f"{TASK}/*": [],
    f"{FORECAST}/*": [],
    f"{CODE}/series/*": [],
    f"{CODE}/images/reading/label_formats.py": ["prepare"],
    f"{CODE}/images/drawing/boxes.py": ["prepare", "augment", "evaluate"],
    f"{CODE}/images/dataset.py": TRAINED,
    f"{CODE}/images/transforms.py": ["augment", "train"],
    f"{CODE}/sampling/exclusion.py": ["split"],
    f"{CODE}/sources/sample_boxes.py": ["download"],
    f"{DETECTION}/params.py": [],
    f"{DETECTION}/prepare.py": ["prepare"],
    f"{DETECTION}/augment.py": ["augment"],
    f"{DETECTION}/train.py": ["train"],
    f"{DETECTION}/learner.py": ["train"],
    f"{DETECTION}/network.py": TRAINED,
    f"{DETECTION}/scores.py": ["evaluate", "export"],
    f"{DETECTION}/plots.py": ["evaluate"],
    f"{DETECTION}/inside.py": ["evaluate"],
    f"{DETECTION}/card*": ["export"],
    f"{CODE}/learning/learner.py": ["train"],
}
"""The same where boxes are found."""

UNKNOWN = f"[{{sha256: '{'0' * 64}', reason: of another set}}]"
"""A list of excluded pictures, with one that no data set has."""

PARAMS = {
    "data.source.sample=0.11": ["download", "export"],
    f"data.exclude={UNKNOWN}": ["split", "export"],
    "prepare.shorter_side=50": ["prepare"],
    "split.val=0.25": ["split", "export"],
    "augment.offline.floor=9": ["augment", "export"],
    "augment.online=[]": ["augment", "train", "export"],
    "model.drop_rate=0.1": ["train", "export"],
    "model.input_size=40": ["augment", "train", "export"],
    "optimizer.lr=0.01": ["train", "export"],
    "train.epochs=1": ["train", "export"],
    "train.logit_adjustment=1": ["train", "export"],
    "evaluate.baseline=true": ["evaluate"],
    "evaluate.flips=true": ["evaluate"],
    "export.calibration=9": ["export"],
    "seed=2": ["split", "augment", *TRAINED],
    "hardware.workers=1": [],
    "task.curves=[val_accuracy]": [],
}
"""The same of params; `config` tells about each of them."""


def status(project: Project) -> dict[str, set[str]]:
    """By file, and by key of params.yaml: the stages that DVC would run because of it."""
    found: dict[str, set[str]] = defaultdict(set)
    for stage, changes in json.loads(project.run("dvc", "status", "--json").stdout).items():
        for change in changes:
            for file, how in change["changed deps"].items():
                for name in how if isinstance(how, dict) else [file]:
                    found[name].add(stage)
    return found


def edit_all(project: Project) -> dict[str, set[str]]:
    """By file: what an edit concerns. One status tells it of all of them."""
    files = [file for top in ("src", "conf", "web") for file in (project.path / top).rglob("*.*")]
    texts = [file for file in files if file.is_file() and "__pycache__" not in file.parts]
    names = ["README.md", *(str(file.relative_to(project.path)) for file in texts)]
    for name in names:
        with (project.path / name).open("a") as file:
            file.write("\n# a comment\n")
    found = status(project)
    above = {name: (name, *(str(path) for path in Path(name).parents)) for name in names}
    return {
        name: set[str]().union(*(found.get(path, ()) for path in above[name])) for name in names
    }


@pytest.fixture(scope="module")
def edited(done: Project, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Of a classifier."""
    return edit_all(done.copy(tmp_path_factory.mktemp("edited") / "project"))


@pytest.fixture(scope="module")
def edited_forecast(done: Project, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Of a forecaster."""
    project = done.copy(tmp_path_factory.mktemp("edited_forecast") / "project")
    (project.path / "data/series.csv").write_text(week(280).to_csv(index=False))
    project.springfield("compose", *SMALL)
    assert project.repro()[-1] == "export"
    return edit_all(project)


@pytest.fixture(scope="module")
def edited_detection(
    done: Project, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, set[str]]:
    """Of a detector."""
    project = done.copy(tmp_path_factory.mktemp("edited_detection") / "project")
    project.springfield("compose", *SMALL_BOXES)
    assert project.repro()[-1] == "export"
    return edit_all(project)


def expect(edited: dict[str, set[str]], files: str, stages: list[str]) -> None:
    found = fnmatch.filter(edited, files)
    assert found
    assert {name: edited[name] for name in found} == {name: set(stages) for name in found}


@pytest.mark.slow
@pytest.mark.parametrize("files", EDITS_OF_A_FORECAST)
def test_an_edit_concerns_these_stages_of_a_forecast(
    files: str, edited_forecast: dict[str, set[str]]
) -> None:
    expect(edited_forecast, files, EDITS_OF_A_FORECAST[files])


@pytest.mark.slow
@pytest.mark.parametrize("files", EDITS_OF_A_DETECTION)
def test_an_edit_concerns_these_stages_of_a_detection(
    files: str, edited_detection: dict[str, set[str]]
) -> None:
    expect(edited_detection, files, EDITS_OF_A_DETECTION[files])


@pytest.mark.parametrize("files", EDITS)
def test_an_edit_concerns_these_stages(files: str, edited: dict[str, set[str]]) -> None:
    found = [name for name in fnmatch.filter(edited, files) if name == files or name not in EDITS]
    assert found
    assert {name: edited[name] for name in found} == {name: set(EDITS[files]) for name in found}


def test_no_other_code_trains(edited: dict[str, set[str]]) -> None:
    trains = {name for name, stages in edited.items() if "train" in stages}
    rooms = {path.removeprefix(f"{CODE}/").split("/")[0] for path in trains}
    assert rooms == {"files.py", "images", "learning", "sampling", "scoring", "stages"}


@pytest.mark.parametrize("override", PARAMS)
def test_a_param_concerns_these_stages(override: str, finished: Project) -> None:
    finished.springfield("compose", override)
    stages = set[str]().union(*status(finished).values())
    assert stages == {"config", *PARAMS[override]}


@pytest.mark.slow
def test_reruns_end_where_the_result_is_the_same(finished: Project) -> None:
    for name in ("machine/resume.py", "sources/mirror.py", "learning/curves.py"):
        with (finished.path / CODE / name).open("a") as file:
            file.write("\n# a comment\n")
    assert finished.repro() == ["download", "evaluate"]


@pytest.mark.slow
def test_excluding_what_is_not_there_trains_nothing(finished: Project) -> None:
    finished.springfield("compose", f"data.exclude={UNKNOWN}")
    assert finished.repro() == ["config", "split", "export"]


@pytest.mark.slow
def test_another_archive_is_noticed(finished: Project) -> None:
    (finished.path / "data/raw/sample.zip").write_bytes(b"")
    output = finished.run("dvc", "status").stdout
    assert re.search(r"modified:\s+data/raw", output)
    assert finished.repro() == []
    assert (finished.path / "data/raw/sample.zip").stat().st_size > 1000


@pytest.mark.slow
def test_an_edit_of_conf_is_told_and_taken_over(finished: Project) -> None:
    optimizer = finished.path / "conf/optimizer/adamw.yaml"
    optimizer.write_text(optimizer.read_text().replace("lr: 1.0e-3", "lr: 5.0e-4"))
    output = finished.run("dvc", "repro")
    assert "optimizer.lr: 0.001 here, 0.0005 in conf/" in output.stdout + output.stderr
    finished.springfield("compose")
    assert finished.repro() == ["config", *TRAINED]


@pytest.mark.slow
def test_going_back_to_earlier_params_runs_nothing(finished: Project) -> None:
    finished.springfield("compose", "evaluate.baseline=true")
    assert finished.repro() == ["config", "evaluate", "export"]
    finished.springfield("compose")
    assert finished.repro() == ["config"]
