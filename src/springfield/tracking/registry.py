"""The models of a data set in MLflow: versions, which of them is the champion, and who may be."""

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnx
import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types import Schema, TensorSpec
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS
from numpy.typing import NDArray

from springfield.artifacts.registered import HASH, PREFIX
from springfield.files import sha256
from springfield.machine.errors import UserError
from springfield.machine.processes import at_most
from springfield.scoring.paired import paired_test, significant
from springfield.tracking.run import PRIMARY, UPLOAD

CHAMPION, CHALLENGER = "champion", "challenger"
LOOKS = "springfield.compared."
"""Tag of a model, with the champion's number and a hash of the test frames: the versions that were
compared with it on them, in order."""
PREDICTIONS = "reports/evaluate/predictions.csv"
TOLD = ("task", "classes", "threshold", "window", "horizon", "quantiles")
"""Of the description, what a logged model carries."""
ENDS = ("_low", "_high")
"""Of the intervals of scores, which are not compared."""


@at_most(UPLOAD)
def register(data: str, run_id: str, onnx_file: Path, description: Path, *others: Path) -> None:
    """Make exported files a version of the data set's model, the challenger.

    Files that are a version already become no other one.

    Args:
        data: the name of the data set.
        run_id: of the open run.
        onnx_file: the network in fp32, MLflow's `model.onnx`.
        description: the `model.json` that goes with it.
        others: files that go with it too.
    """
    client, name = MlflowClient(), f"{PREFIX}{data}"
    hashes = {f"{HASH}{path.name}": sha256(path) for path in (onnx_file, description, *others)}
    mlflow.set_tags(hashes)
    for found in client.search_model_versions(f"name = '{name}'"):
        if hashes.items() <= found.tags.items():
            client.set_registered_model_alias(name, CHALLENGER, found.version)
            return
    described = json.loads(description.read_text())
    test = described["metrics"]["test"]
    outputs = described.get("outputs") or [described["output"]]
    scores = [name for name in described["scores"] if test[name] is not None]
    model = mlflow.onnx.log_model(
        onnx.load(onnx_file),
        name="model",
        signature=ModelSignature(
            Schema([_tensor(described["input"])]), Schema([_tensor(output) for output in outputs])
        ),
        pip_requirements=[f"{p}=={installed(p)}" for p in ("mlflow", "onnx", "onnxruntime")],
        save_as_external_data=False,
        input_example=_example(described["input"]),
        metadata={key: described[key] for key in TOLD if key in described},
    )
    for path in (description, *others):
        client.log_model_artifact(model.model_id, str(path))
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    made = client.create_model_version(
        name,
        model.model_uri,
        run_id,
        tags=hashes,
        description=", ".join(f"test {name} {test[name]:.4f}" for name in scores),
        model_id=model.model_id,
    )
    # What `mlflow.register_model` does too, but it prints, and knows no description.
    client.set_logged_model_tags(
        model.model_id,
        {MLFLOW_MODEL_VERSIONS: json.dumps([{"name": name, "version": made.version}])},
    )
    client.set_registered_model_alias(name, CHALLENGER, made.version)


def _tensor(described: dict[str, Any]) -> TensorSpec:
    """Input or output, of which any letter is any number."""
    shape = tuple(size if isinstance(size, int) else -1 for size in described["shape"])
    return TensorSpec(np.dtype(described["dtype"]), shape, described["name"])


def _example(described: dict[str, Any]) -> dict[str, NDArray[Any]]:
    shape = [
        {"N": 1}.get(size, 16) if isinstance(size, str) else size for size in described["shape"]
    ]
    return {described["name"]: np.full(shape, 128, described["dtype"])}


@dataclass(frozen=True)
class Version:
    """A registered version with what its run knows of it."""

    number: str
    params: dict[str, str]
    scores: dict[str, float]
    """Of test."""
    predictions: pd.DataFrame
    """Of the test samples: `id`, `group`, `score`, and what is true; ordered by `id`."""
    primary: str
    """The score by which versions are compared."""
    higher: bool
    """Whether more of it is better."""

    @property
    def score(self) -> NDArray[np.float64]:
        """Of each sample: more is better."""
        return self.predictions["score"].to_numpy(np.float64)

    @property
    def samples(self) -> pd.DataFrame:
        """What it was tested on: ids, and what is true of them."""
        return self.predictions.iloc[:, [0, 3]]


@dataclass(frozen=True)
class Comparison:
    """A challenger beside the champion."""

    champion: Version | None
    challenger: Version
    changed: list[tuple[str, str, str]]
    """Params that differ: name, the champion's value, the challenger's."""
    p: float | None
    """Of a paired test that both are right equally often; None: tested on different frames."""
    look: int
    """The how-manieth version this is that was compared with this champion on these frames."""

    @property
    def significant(self) -> float:
        """What `p` must be below."""
        return significant(self.look)


def compare(uri: str, data: str, which: int | Path, *, force: bool = False) -> Comparison:
    """Compare a version of a data set's model with its champion, if it has one, and count that.

    Args:
        uri: of the MLflow store.
        data: the name of the data set.
        which: the number of the version, or the ONNX file that it has.
        force: take a champion whose run is gone for none.

    Raises:
        UserError: there is no such version, or a run that is gone.
    """
    client, name = MlflowClient(uri), f"{PREFIX}{data}"
    new = _version(uri, client, _registered(client, name, which))
    champion = _by_alias(client, name, CHAMPION)
    if champion is None:
        return Comparison(None, new, [], None, 1)
    try:
        old = _version(uri, client, champion)
    except UserError as error:
        if force:
            return Comparison(None, new, [], None, 1)
        raise UserError(f"{error}; 'springfield promote --force' replaces this champion") from error
    changed = [
        (key, before, after)
        for key in sorted({*old.params, *new.params} - {"experiment"})
        if (before := old.params.get(key, "")) != (after := new.params.get(key, ""))
    ]
    p, look, frames = None, 1, new.samples
    if old.samples.equals(frames):
        groups = pd.factorize(new.predictions["group"])[0]
        p = paired_test(old.score, new.score, groups)
        if old.number != new.number:
            test = hashlib.sha256(frames.to_csv(index=False).encode()).hexdigest()
            look = _look(client, name, f"{LOOKS}{old.number}.{test[:12]}", new.number)
    return Comparison(old, new, changed, p, look)


def promote(uri: str, data: str, which: int | Path, *, force: bool) -> Comparison:
    """Make a version the champion, if it is better on the same test frames, or by force.

    The arguments are those of `compare`.

    Raises:
        UserError: it is not better, or not shown to be, or tested on other frames.
    """
    found = compare(uri, data, which, force=force)
    if found.champion is not None and not force:
        refused = f"version {found.challenger.number} does not become champion: "
        instead = "; 'springfield promote --force' promotes it all the same"
        if found.champion.number == found.challenger.number:
            raise UserError(f"version {found.challenger.number} is the champion already")
        if found.p is None:
            raise UserError(f"{refused}the champion was tested on other frames{instead}")
        primary = found.challenger.primary
        gain = found.challenger.scores[primary] - found.champion.scores[primary]
        gain = gain if found.challenger.higher else -gain
        if not gain > 0:  # also where a score is missing: it is NaN
            raise UserError(
                f"{refused}its test {primary} is no better ({gain:+.4f}, p = {found.p:.2g})"
                f"{instead}"
            )
        if not found.p < found.significant:
            raise UserError(
                f"{refused}a gain of {gain:+.4f} may be chance (p = {found.p:.2g}; of comparison "
                f"{found.look} on these frames it must be below {found.significant:.2g}){instead}"
            )
    number = found.challenger.number
    MlflowClient(uri).set_registered_model_alias(f"{PREFIX}{data}", CHAMPION, number)
    return found


def _look(client: MlflowClient, name: str, tag: str, number: str) -> int:
    """Which place a version has among those that were compared, now or before."""
    numbers: list[str] = client.get_registered_model(name).tags.get(tag, "").split()
    if number not in numbers:
        numbers.append(number)
        try:
            client.set_registered_model_tag(name, tag, " ".join(numbers))
        except MlflowException as error:
            if error.error_code != "PERMISSION_DENIED":  # who may only read promotes nothing
                raise
    return numbers.index(number) + 1


def _registered(client: MlflowClient, name: str, which: int | Path) -> ModelVersion:
    if isinstance(which, int):
        try:
            return client.get_model_version(name, str(which))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise UserError(f"{name} has no version {which} in {client.tracking_uri}") from error
    if not which.is_file():
        raise UserError(f"{which} does not exist; 'dvc repro' makes it, or name a version's number")
    versions = client.search_model_versions(
        f"name = '{name}' and tag.`{HASH}{which.name}` = '{sha256(which)}'",
        order_by=["version_number DESC"],
    )
    if not versions:
        raise UserError(
            f"{which} is no version of {name} in {client.tracking_uri}; "
            "'springfield export' registers it"
        )
    return versions[0]


def _by_alias(client: MlflowClient, name: str, alias: str) -> ModelVersion | None:
    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _version(uri: str, client: MlflowClient, version: ModelVersion) -> Version:
    assert version.run_id
    try:
        run = client.get_run(version.run_id)
        path = mlflow.artifacts.download_artifacts(
            run_id=version.run_id, artifact_path=PREDICTIONS, tracking_uri=uri
        )
    except (MlflowException, OSError) as error:
        raise UserError(
            f"the run {version.run_id} of version {version.version} has no {PREDICTIONS}: "
            f"{' '.join(str(error).split())[:200]}"
        ) from error
    predictions = pd.read_csv(path, dtype=str, keep_default_na=False)
    scores = {
        name.removeprefix("test_"): value
        for name, value in run.data.metrics.items()
        if name.startswith("test_") and not name.endswith((*ENDS, "test_n", "test_boxes"))
    }
    if PRIMARY not in run.data.tags:
        raise UserError(
            f"version {version.version} was evaluated before versions of any task could be "
            "compared; evaluate and export it again"
        )
    primary, higher = run.data.tags[PRIMARY].split()
    return Version(
        str(version.version),
        run.data.params,
        scores,
        predictions.sort_values("id", ignore_index=True),
        primary,
        higher == "higher",
    )
