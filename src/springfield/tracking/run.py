"""The journal: one MLflow run per training, which evaluate and export write to as well."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote
from uuid import uuid4

from springfield.artifacts.text import terminal
from springfield.files import atomic, write_json
from springfield.machine.errors import UserError
from springfield.machine.processes import at_most
from springfield.machine.progress import console

if TYPE_CHECKING:
    from mlflow.data.dataset import Dataset

    from springfield.tracking.logger import RunLogger

SQLITE = "sqlite:///"
ANSWER = 60
"""Seconds that a store may take to begin or to end with a run; each of its answers has less."""
UPLOAD = 1800
"""Seconds that it may take to keep files."""
PRIMARY = "springfield.primary"
"""Tag of a run: the score by which models are compared, and whether higher or lower is better."""
KNOWN_AS = "springfield.known_as"
"""Tag of a run: the id that it is looked for by, where that is not its own."""


def store(root: Path) -> str:
    """Where runs are kept: `MLFLOW_TRACKING_URI`, or a SQLite file at the root.

    A relative path of SQLite is from the root on, also in DVC's temporary workspaces.
    """
    chosen = os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}mlflow.db"
    path = chosen.removeprefix(SQLITE)
    if chosen == path or path.startswith("/") or "?" in path:
        return chosen
    return sqlite(root / unquote(path))


def sqlite(path: Path) -> str:
    """A file as a URL; of a name with `%` or `?` MLflow would also make the folder as quoted."""
    place = str(path.resolve())
    if "%" in place or "?" in place:
        place = os.path.relpath(place).replace("%", "%25").replace("?", "%3F")
    return f"{SQLITE}{place}"


@contextmanager
def open_run(
    root: Path,
    experiment: str,
    run_id: str | None,
    params: dict[str, Any],
    tags: dict[str, str],
    record: Path | None = None,
    dataset: "Dataset | None" = None,
) -> Iterator[str]:
    """Go on with a run, or start one if there is none or it is not in this store.

    Args:
        root: the primary repository.
        experiment: MLflow's name for what is compared with each other.
        run_id: of the run to go on with.
        params: of a new run.
        tags: of a new run.
        record: JSON file that gets the id as soon as there is one.
        dataset: what a new run trains on.

    Yields:
        the id of the run.
    """
    import mlflow
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    uri = store(root)
    _create_store(uri)
    with usable(uri):
        mlflow.set_tracking_uri(uri)
        mlflow.set_system_metrics_sampling_interval(5)  # type: ignore[no-untyped-call]
        if run_id:
            resumed = _find(run_id, experiment)
            if resumed is None:
                console.print(f"run {run_id} is not in this MLflow store: starting another one")
                tags = {**tags, KNOWN_AS: run_id}
            run_id = resumed
        elif record:  # so that it is found again even if this is killed while the run is created
            known_as = uuid4().hex
            write_json(record, {"run_id": known_as})
            tags = {**tags, KNOWN_AS: known_as}
        if run_id is None:
            found = mlflow.get_experiment_by_name(experiment)
            if found and found.lifecycle_stage == "deleted":
                console.print(terminal(f"MLflow's experiment '{experiment}' was deleted: restored"))
                MlflowClient(uri).restore_experiment(found.experiment_id)
            if found is None:
                artifacts = root.resolve() / "mlartifacts"
                location = artifacts.as_uri() if uri.startswith("sqlite:") else None
                with suppress(MlflowException):  # another process was faster
                    mlflow.create_experiment(experiment, artifact_location=location)
            mlflow.set_experiment(experiment)
        run = mlflow.start_run(
            run_id=run_id, tags=None if run_id else tags, log_system_metrics=True
        )
        if record:
            write_json(record, {"run_id": run.info.run_id})
        if not run.data.params:
            mlflow.log_params(params)
            if dataset:
                mlflow.log_input(dataset, context="training")
    try:
        yield run.info.run_id
    except BaseException as error:
        _end(uri, run.info.run_id, "FAILED")
        if isinstance(error, UserError):
            with suppress(MlflowException):
                scores = mlflow.get_run(run.info.run_id).data.metrics
                if all(name.startswith("system/") for name in scores):  # nothing to remember
                    mlflow.delete_run(run.info.run_id)
                    if record:
                        record.unlink()
        raise
    _end(uri, run.info.run_id, "FINISHED")


def _end(uri: str, run_id: str, status: str) -> None:
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        with at_most(ANSWER):
            mlflow.end_run(status)
    except (MlflowException, TimeoutError):
        told = f"MLflow at {uri} does not answer: the run {run_id} stays open"
        console.print(terminal(told))


@contextmanager
def usable(uri: str) -> Iterator[None]:
    """Say why a store cannot be used, after a bounded time.

    Raises:
        UserError: it is away or too slow, or a file that is locked, damaged or none of MLflow's.
    """
    from alembic.util import CommandError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with at_most(ANSWER):
            yield
    except (MlflowException, SQLAlchemyError, CommandError, TimeoutError) as error:
        advice = (
            "end what else uses this file, or move it away: the next run makes a new one"
            if uri.startswith(SQLITE)
            else "start it, or mend MLFLOW_TRACKING_URI"
        )
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"MLflow at {uri} cannot be used: {reason}; {advice}") from error


def _create_store(uri: str) -> None:
    """Create the tables of a new SQLite store, all or none.

    MLflow, interrupted while it creates them, leaves a store that never opens again.
    """
    from filelock import FileLock
    from mlflow.tracking import MlflowClient

    path = Path(unquote(uri.removeprefix(SQLITE)))
    if not uri.startswith(SQLITE) or path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        if not path.exists():
            with atomic(path) as partial:
                MlflowClient(sqlite(partial)).search_experiments(max_results=1)


def _find(run_id: str, experiment: str) -> str | None:
    """The run of this id, or the one that stands for it in this store."""
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        if mlflow.get_run(run_id).info.lifecycle_stage == "active":
            return run_id
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
    found = mlflow.search_runs(
        experiment_names=[experiment],
        filter_string=f"tags.`{KNOWN_AS}` = '{run_id}'",
        output_format="list",
    )
    return found[0].info.run_id if found else None


def log_training(logger: "RunLogger", report: Path, files: Iterable[Path]) -> None:
    """Write what the run still lacks of a training's metrics, and files.

    A training is worth more than its journal: where MLflow is gone, this says what is missing.
    """
    import pandas as pd
    from mlflow.exceptions import MlflowException

    epochs = pd.read_csv(report / "metrics.csv").merge(pd.read_csv(report / "speed.csv"))
    for row in epochs.drop(columns="seconds").to_dict("records"):
        epoch = int(row.pop("epoch"))
        logger.add({str(key): value for key, value in row.items()}, epoch)
    logger.flush()
    if logger.waiting:
        lacking = sorted({metric.step for metric in logger.waiting})
        console.print(
            f"the MLflow run {logger.run_id} lacks the metrics of epochs {lacking[0]} to "
            f"{lacking[-1]}, and files; {report} has them"
        )
        return
    try:
        log_files(*files)
    except (MlflowException, OSError):  # also what a proxy refuses, or a time-out
        console.print(f"the MLflow run {logger.run_id} lacks files; {report} has them")


@at_most(ANSWER)
def log_scores(metrics: Path) -> None:
    """Log the scores of `reports/metrics.json` in the open run, as `test_accuracy` and so on."""
    import mlflow

    scores = json.loads(metrics.read_text())
    primary = scores["primary"]
    mlflow.set_tag(PRIMARY, f"{primary['name']} {'higher' if primary['higher'] else 'lower'}")
    mlflow.log_metrics(
        {
            f"{side}_{name}" if side != "val" else f"final_val_{name}": value
            for side in ("val", "test", "official_test", "baseline")
            for name, value in scores.get(side, {}).items()
            if value is not None
        }
    )


@at_most(UPLOAD)
def log_files(*paths: Path) -> None:
    """Log files and folders in the open run, in the folders they have in the repository."""
    import mlflow

    for path in paths:
        if path.is_dir():
            mlflow.log_artifacts(str(path), path.as_posix())
        elif path.is_file():
            folder = path.parent.as_posix()
            mlflow.log_artifact(str(path), None if folder == "." else folder)
