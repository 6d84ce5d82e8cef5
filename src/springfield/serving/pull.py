"""Bring a registered model from an MLflow server; needs no more than mlflow-skinny."""

import shutil
import tempfile
from pathlib import Path

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from springfield.artifacts.registered import HASH, PREFIX
from springfield.artifacts.text import terminal
from springfield.files import atomic, sha256
from springfield.machine.errors import UserError
from springfield.machine.processes import at_most
from springfield.machine.progress import console

FP32, LOGGED_AS = "springfield.onnx", "model.onnx"
ANSWER, DOWNLOAD = 60, 1800
"""Seconds that a server may take to name a version, and to send it."""


def pull(uri: str, name: str | None, alias: str, folder: Path) -> None:
    """Download the files of a model's version, each verified by the hash that the server has of it.

    Args:
        uri: of the server.
        name: of the registered model; None: the only one there is.
        alias: of the version.
        folder: to put them in.

    Raises:
        UserError: no server, no such model or version, or other bytes than were registered.
    """
    if not uri.startswith("http"):
        raise UserError(
            "springfield pull takes models from a server: set MLFLOW_TRACKING_URI=http://...; "
            "from a DVC remote take them with 'dvc pull'"
        )
    client = MlflowClient(uri, uri)
    mlflow.set_tracking_uri(uri)
    try:
        with at_most(ANSWER):
            name = name or _only_model(client, uri)
            version = client.get_model_version_by_alias(name, alias)
        status = console.status(terminal(f"Pulling {name}, version {version.version}"))
        with at_most(DOWNLOAD), status, tempfile.TemporaryDirectory() as partial:
            files = _registered_files(version)
            got = Path(
                mlflow.artifacts.download_artifacts(
                    f"models:/{name}/{version.version}", dst_path=partial
                )
            )
            if (got / LOGGED_AS).is_file():
                (got / LOGGED_AS).rename(got / FP32)
            for file, expected in files.items():
                if not (got / file).is_file() or sha256(got / file) != expected:
                    raise UserError(
                        f"{file} of {name}, version {version.version}, is not what was "
                        "registered; ask who runs the server"
                    )
            for file in files:
                with atomic(folder / file) as place:
                    shutil.copyfile(got / file, place)
    except TimeoutError as error:
        raise UserError(f"{uri}: {error}") from error
    except MlflowException as error:
        known = {
            "RESOURCE_DOES_NOT_EXIST": f"no model {name}; without a name, pull lists what is there",
            "INVALID_PARAMETER_VALUE": f"{name} has no {alias} yet ('springfield promote')",
        }
        reason = known.get(error.error_code, " ".join(str(error).split())[:200])
        raise UserError(f"{uri}: {reason}") from error
    console.print(terminal(f"{name}, version {version.version}, {alias}: {folder}/{FP32}"))


def _registered_files(version: ModelVersion) -> dict[str, str]:
    """The names and hashes that a version was registered with."""
    tags = version.tags.items()
    files = {key.removeprefix(HASH): value for key, value in tags if key.startswith(HASH)}
    what = f"{version.name}, version {version.version},"
    if FP32 not in files:
        raise UserError(f"{what} has no hash of {FP32}: 'springfield export' did not register it")
    for file in files:
        if file.startswith(".") or "/" in file or "\\" in file:
            raise UserError(
                f"{what} names a file {file!r}, which is refused; ask who runs the server"
            )
    return files


def _only_model(client: MlflowClient, uri: str) -> str:
    names = [m.name for m in client.search_registered_models() if m.name.startswith(PREFIX)]
    if len(names) != 1:
        there = f"name one: {', '.join(names)}" if names else "has no models yet"
        raise UserError(f"{uri} {there}")
    return str(names[0])
