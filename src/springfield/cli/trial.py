"""A trial of a search: a workspace of its own, in which the train stage runs."""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from hashlib import sha256 as sha256_of
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from filelock import FileLock
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import TrialState

from springfield import pipeline
from springfield.cli.plan import Plan, overrides
from springfield.cli.stages import dataset, journal, tags
from springfield.cli.workspace import PARAMS, ROOT, WORKSPACE, machine
from springfield.config import Params, by_key, compose, load
from springfield.files import atomic, sha256
from springfield.machine import trainings
from springfield.machine.errors import DivergedError, UserError
from springfield.machine.hardware import Machine
from springfield.machine.paths import Paths
from springfield.tracking import run as tracking
from springfield.tracking.fingerprint import fingerprint, listed
from springfield.tracking.logger import RunLogger

BEFORE = pipeline.STAGES[: pipeline.STAGES.index("train")]
"""Stages whose outputs trials share."""
RETRIES = 3
"""Of a trial whose process was killed, after which another one takes its place."""
RETRY = RetryHeartbeatStaleTrialCallback(RETRIES, inherit_intermediate_values=True)
FOLDER = ROOT.resolve() / ".springfield/search"


def workspace(place: Path, chosen: list[str]) -> Params:
    """Make a folder what a stage takes for a repository: params.yaml, the code, the data.

    Args:
        place: the folder.
        chosen: Hydra overrides.

    Raises:
        UserError: what `compose` raises.
    """
    compose(WORKSPACE, place / PARAMS, chosen, pipeline.check)
    params = load(place / PARAMS)
    _link(place, {name: Path(name).resolve() for name in ("dvc.yaml", "src")} | _made(params))
    return params


def _link(place: Path, files: Mapping[str, Path]) -> None:
    for name, file in files.items():
        link = place / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(file)


def _made(params: Params) -> dict[str, Path]:
    """Where the outputs of the stages before training are, by their names in a workspace.

    They are this workspace's as far as it has the same params; the others are made, once for all
    trials that need the same.

    Raises:
        UserError: they would be made from other data than this workspace has.
    """
    ours = load(PARAMS)
    found: dict[str, Path] = {}
    needs: list[Any] = [sha256(Paths().raw / "source.json")]
    place, is_ours = WORKSPACE.resolve(), True
    for name in BEFORE:
        keys = pipeline.stage(name, params.task.name).NEEDS
        here, there = ([reduce(getattr, key.split("."), p) for key in keys] for p in (ours, params))
        needs += [name, _code(name), there]
        is_ours = is_ours and here == there
        if name == "download" and not is_ours:
            raise UserError(
                "the search has another data.source than params.yaml; 'springfield use "
                f"{params.experiment}' takes that of its experiment, then 'dvc repro augment'"
            )
        if not is_ours:
            place = FOLDER / "data" / sha256_of(repr(needs).encode()).hexdigest()[:12]
            with FileLock(place.with_suffix(".lock")):
                if not place.exists():
                    with atomic(place, directory=True) as partial:
                        _link(partial, found)
                        pipeline.run(params, Paths.within(partial), machine(params), name)
        found |= {out: place / out for out in listed(name, WORKSPACE)["outs"]}
    return found


@functools.cache
def _code(stage: str) -> str:
    return fingerprint(stage, WORKSPACE)["code"]


def number_of(trial: optuna.trial.FrozenTrial) -> int:
    """The number of a trial, or of the one that it tries again."""
    first = RETRY.retried_trial_number(trial)
    return trial.number if first is None else first


def over(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """The trials that are complete or pruned."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def shown(params: Mapping[str, Any]) -> list[str]:
    """The params of a trial for a person."""
    return overrides({k: f"{v:.4g}" if isinstance(v, float) else v for k, v in params.items()})


class SuperfluousError(Exception):
    """There are as many trials as were asked for: two processes began the last one."""


class _Judged(RunLogger):
    """Lets Optuna judge each epoch by its val score, beside the same epoch of other trials."""

    def __init__(self, uri: str, run_id: str, trial: optuna.Trial, epochs: int) -> None:
        super().__init__(uri, run_id)
        self.trial, self.epochs = trial, epochs

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write them; the end of an epoch may be the trial's.

        Raises:
            TrialPruned: it is.
        """
        super().log_metrics(metrics, step)
        assert step is not None
        if "val_score" in metrics:
            self.trial.report(metrics["val_score"], step)
        elif step + 1 < self.epochs and self.trial.should_prune():  # train's follow val's
            raise optuna.TrialPruned


@dataclass(frozen=True)
class Trials:
    """Train the trials of a study.

    Args:
        plan: of the search.
        study: Optuna's.
        parent: MLflow's run of the search.
    """

    plan: Plan
    study: optuna.Study
    parent: str

    def place(self, trial: optuna.trial.FrozenTrial) -> Path:
        """The folder of a trial."""
        return FOLDER / self.study.study_name / str(number_of(trial))

    def __call__(self, trial: optuna.Trial) -> float:
        """Train one, or go on with it; its val score.

        Raises:
            TrialPruned: it was worse than others, or diverged.
            SuperfluousError: there are enough.
            SystemExit: it was interrupted; it is tried again.
        """
        every = self.study.get_trials(deepcopy=False)
        before = [t for t in every[: trial.number] if t.state != TrialState.FAIL]
        if len(before) >= self.plan.trials:
            raise SuperfluousError
        place = self.place(every[trial.number])
        try:
            with trainings.claimed(place):
                score = self._train(trial, place)
        except (KeyboardInterrupt, SystemExit) as end:
            RETRY(self.study, self.study.tell(trial, state=TrialState.FAIL))
            if isinstance(end, SystemExit):
                raise
            raise SystemExit(130) from end  # of an interrupt Optuna would make a failure
        if score is None:
            raise optuna.TrialPruned
        return score

    def _train(self, trial: optuna.Trial, place: Path) -> float | None:
        """The val score of the epoch that is kept; None: it was not worth it."""
        chosen = self.plan.suggest(trial)
        params = workspace(place, [*self.plan.start, *overrides(chosen)])
        hashes = fingerprint("train", place)
        record = place / trainings.RECORD
        run_id = trial.user_attrs.get("run_id")  # also of another machine
        if record.is_file():
            run_id = json.loads(record.read_text())["run_id"]
        told = {**tags(params, hashes, shown(chosen)), MLFLOW_PARENT_RUN_ID: self.parent}
        told[MLFLOW_RUN_NAME] = " ".join([f"trial {place.name}", *shown(chosen)])[:250]
        paths = Paths.within(place)
        with tracking.open_run(
            ROOT, journal(params), run_id, by_key(place / PARAMS), told, record,
            dataset(params, hashes),
        ) as run_id:  # fmt: skip
            trial.set_user_attr("run_id", run_id)
            logger = _Judged(tracking.store(ROOT), run_id, trial, params.train.epochs)
            here = replace(on_one_device(params), work=place / "work", made_from=hashes)
            try:
                pipeline.run(params, paths, replace(here, loggers=[logger]), "train")
            except optuna.TrialPruned:
                return None
            except DivergedError as error:
                trial.set_user_attr("diverged", str(error))
                return None
            tracking.log_training(logger, paths.training, ())
        seconds = pd.read_csv(paths.training / "speed.csv")["seconds"]
        trial.set_user_attr("seconds", float(seconds.mean()))
        return _of_the_kept_epoch(paths.training)


def _of_the_kept_epoch(training: Path) -> float:
    epoch = json.loads((training / "kept.json").read_text())["epoch"]
    return float(pd.read_csv(training / "metrics.csv").set_index("epoch")["val_score"][epoch])


def on_one_device(params: Params) -> Machine:
    """Several devices take a trial each: a search is started for each of them."""
    whole = machine(params)
    return replace(whole, hardware=replace(whole.hardware, devices=1, nodes=1))
