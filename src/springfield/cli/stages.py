"""A command for each stage: the stage itself, and its journal."""

import json
import os
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from springfield.cli.workspace import (
    LOCK,
    PARAMS,
    PATHS,
    ROOT,
    TRAININGS,
    choices,
    machine,
    start,
)
from springfield.machine.errors import UserError
from springfield.machine.launch import is_first_process, launched

if TYPE_CHECKING:
    from mlflow.data.dataset import Dataset
    from mlflow.data.dataset_source import DatasetSource
    from pytorch_lightning.loggers import Logger

    from springfield.config import Params

STAGES = {
    "download": "Get the data once, provably the same: data/raw/.",
    "prepare": "Decode and check every sample once: data/prepared/.",
    "split": "Divide into train, val and test, near-duplicates on one side: data/split.csv.",
    "augment": "Make augmented copies for rare classes of train: data/augmented/.",
}
"""Those that keep no journal, in their order."""

OWN = ("folder", "boxes", "series")
"""Experiments with data of one's own."""
INPUTS = {"images": "at {} pixels", "series": "of {} values"}
"""What a network takes in, by the kind of its samples."""
PANEL = "Stages, in their order"
app = typer.Typer()


def _plain(context: typer.Context) -> None:
    from springfield import pipeline

    stage = str(context.info_name)
    params = start(stage)
    pipeline.run(params, PATHS, machine(params), stage)


for name, about in STAGES.items():
    app.command(name, help=about, rich_help_panel=PANEL)(_plain)


@app.command(rich_help_panel=PANEL)
def train(
    preset: Annotated[
        Literal["overfit", "profile", "fast"] | None,
        typer.Option(
            help="Debug on a few samples, in .springfield/debug: can it learn them by heart "
            "(overfit), what takes the time (profile), does it run at all (fast)?"
        ),
    ] = None,
) -> None:
    """Fine-tune with Lightning on every device: models/checkpoint/."""
    params = start("train")
    if preset:
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler's own progress
        from springfield.cli.debug import debug

        debug(preset, params, machine(params))
    else:
        _train(params)


def _train(params: "Params") -> None:
    from springfield import pipeline
    from springfield.files import write_json
    from springfield.machine import trainings
    from springfield.tracking import run as tracking
    from springfield.tracking.fingerprint import fingerprint
    from springfield.tracking.logger import RunLogger

    hashes = fingerprint("train", Path())
    work = TRAININGS / "-".join(h[:12] for h in hashes.values())
    here = replace(machine(params), work=work, made_from=hashes)
    if not is_first_process():
        pipeline.run(params, PATHS, here, "train")
        return
    trainings.forget_finished_trainings(TRAININGS, LOCK)
    more = [_tensorboard(work.name)] if "tensorboard" in params.hardware.loggers else []
    with ExitStack() as stack:
        stack.enter_context(trainings.claimed(work))
        if not ("DVC_STAGE" in os.environ or launched()):  # else when DVC has noted it
            stack.push(lambda error, *_: None if error else trainings.forget_training(work))
        run_id = stack.enter_context(
            _open_run(params, work / trainings.RECORD, hashes, record=True)
        )
        logger = RunLogger(tracking.store(ROOT), run_id)
        pipeline.run(params, PATHS, replace(here, loggers=[logger, *more]), "train")
        files = (PATHS.training, PARAMS, PATHS.augment_picture, PATHS.data_report)
        tracking.log_training(logger, PATHS.training, (*files, PATHS.split_report))
        write_json(PATHS.run, {"run_id": run_id})


def _tensorboard(training: str) -> "Logger":
    from pytorch_lightning.loggers import TensorBoardLogger

    try:
        return TensorBoardLogger(ROOT / ".springfield", "tensorboard", training)
    except ModuleNotFoundError as error:
        raise UserError("hardware.loggers: pip install tensorboard, or leave it out") from error


@app.command(rich_help_panel=PANEL)
def evaluate() -> None:
    """Score the checkpoint on val and test: reports/metrics.json."""
    from springfield import pipeline
    from springfield.machine.trainings import forget_finished_trainings
    from springfield.tracking import run as tracking

    params = start("evaluate")
    forget_finished_trainings(TRAININGS, LOCK)
    with _same_run(params):
        pipeline.run(params, PATHS, machine(params), "evaluate")
        tracking.log_scores(PATHS.metrics)
        tracking.log_files(PATHS.metrics, PATHS.calibration, PATHS.evaluation)


@app.command(rich_help_panel=PANEL)
def export() -> None:
    """Write the network as ONNX, proven equal to the checkpoint: models/springfield.onnx."""
    from springfield import pipeline
    from springfield.tracking import registry, run

    params = start("export")
    with _same_run(params) as run_id:
        pipeline.run(params, PATHS, machine(params), "export")
        run.log_files(PATHS.export_report, LOCK)
        registry.register(
            params.data.name, run_id, PATHS.onnx, PATHS.description, PATHS.int8, PATHS.card
        )


def _same_run(params: "Params") -> AbstractContextManager[str]:
    """The run of the training."""
    made_from = json.loads((PATHS.checkpoint / "made_from.json").read_text())
    return _open_run(params, PATHS.run, made_from)


def _open_run(
    params: "Params", noted: Path, hashes: dict[str, str], *, record: bool = False
) -> AbstractContextManager[str]:
    """The run that the file `noted` names, or another one where this store does not have it."""
    from springfield.config import by_key
    from springfield.tracking import run as tracking

    run_id = json.loads(noted.read_text())["run_id"] if noted.is_file() else None
    told = tags(params, hashes, choices(params) if record else [])
    note_in, data = (noted, dataset(params, hashes)) if record else (None, None)
    return tracking.open_run(ROOT, journal(params), run_id, by_key(PARAMS), told, note_in, data)


def journal(params: "Params") -> str:
    """What MLflow calls the experiment."""
    own = params.experiment in OWN  # of which there is one for each folder or file
    return params.data.name if own else params.experiment


def tags(params: "Params", hashes: dict[str, str], chosen: list[str]) -> dict[str, str]:
    """What is told of a run: what made it, its name and its description."""
    from mlflow.utils.git_utils import get_git_commit

    from springfield.artifacts.text import markdown

    told = {f"springfield.{name}_sha256": value for name, value in hashes.items()}
    revision = os.environ.get("DVC_EXP_BASELINE_REV")
    told["mlflow.source.git.commit"] = revision or get_git_commit(str(ROOT)) or ""
    if name := os.environ.get("DVC_EXP_NAME"):
        told["dvc_exp"] = name
    told["mlflow.runName"] = " ".join([name or params.experiment, *chosen])[:250]
    told["mlflow.note.content"] = markdown(
        f"Experiment {params.experiment}: {params.model.backbone} "
        f"{INPUTS[params.task.samples].format(params.model.input_size)}, "
        f"on {params.data.about.title}. "
        f"Chosen beside it: {', '.join(chosen) or 'nothing'}."
    )
    return told


def dataset(params: "Params", hashes: dict[str, str]) -> "Dataset":
    """The data set as MLflow lists it: a page, or what `data.source` says."""
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.http_dataset_source import HTTPDatasetSource
    from mlflow.data.meta_dataset import MetaDataset

    source: DatasetSource = CodeDatasetSource(
        {key: value for key, value in asdict(params.data.source).items() if value}
    )
    if url := params.data.about.url:
        source = HTTPDatasetSource(url)  # type: ignore[no-untyped-call]
    digest = hashes["data"][:36]
    return MetaDataset(source, params.data.name, digest)  # type: ignore[abstract]
