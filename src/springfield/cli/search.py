"""`springfield search`: Optuna over Hydra's params, each trial a child of one run in MLflow."""

import hashlib
import json
import math
import os
import shutil
import tempfile
import time
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from springfield.cli.workspace import PARAMS, ROOT, WORKSPACE, quiet
from springfield.machine.errors import UserError
from springfield.machine.progress import console

if TYPE_CHECKING:
    import optuna
    from optuna.storages import RDBStorage

    from springfield.cli.plan import Plan
    from springfield.cli.trial import Trials
    from springfield.config import Params

HEARTBEAT, GRACE = 5, 30
"""Seconds between signs of life of a trial; seconds without, after which it was killed."""
STARTUP = 3
"""One of so many trials is drawn at random, and none is pruned before these are complete."""


def search(file: Annotated[Path, typer.Argument(help="A file of conf/search/")]) -> None:
    """Search params with Optuna; the best become conf/experiment/NAME.yaml.

    Stop it at any moment: the same command goes on. Start it several times to share the work.
    """
    quiet()
    import optuna

    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    warnings.filterwarnings("ignore", "The reported value is ignored")  # it was before a kill
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    from springfield import pipeline
    from springfield.cli import found
    from springfield.cli.plan import read_plan
    from springfield.cli.trial import FOLDER, Trials, over, workspace
    from springfield.config import compose
    from springfield.tracking.fingerprint import fingerprint

    plan, target = read_plan(file), WORKSPACE / "conf/experiment" / file.name
    command = f"springfield search {file}"
    if target.is_file() and command not in target.read_text():
        raise UserError(f"{target} is there, and no search wrote it: call {file} by another name")
    with tempfile.TemporaryDirectory() as folder:
        compose(WORKSPACE, Path(folder) / PARAMS, [*plan.start, *plan.corner()], pipeline.check)
        _check_data()
        base = workspace(Path(folder), plan.start)
        made_from = [plan.space, fingerprint("train", Path(folder))]
    name = f"{file.stem}-{hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:8]}"
    storage = _storage()
    study = _study(name, storage, base, plan)
    trials = Trials(plan, study, _parent(study, plan, base, FOLDER / name))
    console.print(f"[bold]search {file.stem}[/]: {len(over(study))} of {plan.trials} trials done")
    _work(trials, storage, base.seed)
    if not study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)):
        raise UserError("every trial diverged; take another space, such as a lower optimizer.lr")
    found.write(target, command, trials)
    found.tell(study)
    found.log(trials, base, target)
    console.print(f"{target} has the best: 'springfield use {target.stem}', then 'dvc repro'")


def _check_data() -> None:
    """See that the data are there, which trials share.

    Raises:
        UserError: DVC would make them anew.
    """
    from dvc.repo import Repo
    from filelock import FileLock

    from springfield.cli.trial import BEFORE, FOLDER

    FOLDER.mkdir(parents=True, exist_ok=True)
    with FileLock(FOLDER / "status.lock"):
        changed = Repo().status(targets=list(BEFORE))
    if changed:
        raise UserError(
            f"what comes before training is not up to date ({', '.join(changed)}); "
            "'dvc repro augment' first"
        )


def _storage() -> "RDBStorage":
    """Where studies are kept: `OPTUNA_STORAGE`, or a SQLite file of this repository.

    Raises:
        UserError: it cannot be used.
    """
    from filelock import FileLock
    from optuna.exceptions import StorageInternalError
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import SQLAlchemyError

    from springfield.cli.trial import FOLDER, RETRY
    from springfield.tracking.run import SQLITE, sqlite

    url = os.environ.get("OPTUNA_STORAGE") or sqlite(FOLDER.with_suffix(".db"))
    is_file = url.startswith(SQLITE)
    try:
        with FileLock(FOLDER / "storage.lock"):  # two processes may not both make the tables
            return RDBStorage(
                url,
                {"connect_args": {"timeout": 60}} if is_file else {"pool_pre_ping": True},
                heartbeat_interval=HEARTBEAT,
                grace_period=GRACE,
                heartbeat_stale_trial_callback=RETRY,
            )
    except (SQLAlchemyError, StorageInternalError, ImportError) as error:
        advice = "move it away" if is_file else "mend OPTUNA_STORAGE"
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"Optuna's storage cannot be used: {reason}; {advice}") from error


def _study(name: str, storage: "RDBStorage", base: "Params", plan: "Plan") -> "optuna.Study":
    import optuna

    epochs = base.train.epochs
    # Another number of epochs has other rates in the same epoch: these are not compared.
    same = not {"train", "train.epochs"} & {key.lstrip("+") for key in plan.space}
    startup = min(5, plan.trials // STARTUP)
    pruner = optuna.pruners.MedianPruner(startup, n_warmup_steps=math.ceil(epochs / 4))
    return optuna.create_study(
        study_name=name,
        storage=storage,
        direction="maximize",
        pruner=pruner if same else optuna.pruners.NopPruner(),
        load_if_exists=True,
    )


def _parent(study: "optuna.Study", plan: "Plan", base: "Params", folder: Path) -> str:
    """The run of a search, which those of its trials belong to."""
    from filelock import FileLock

    from springfield.cli.stages import journal
    from springfield.config import flat
    from springfield.machine.trainings import RECORD
    from springfield.tracking.run import open_run

    folder.mkdir(parents=True, exist_ok=True)
    record = folder / RECORD
    with FileLock(folder / "parent.lock"):
        run_id = study.user_attrs.get("run_id")
        if run_id is None and record.is_file():
            run_id = json.loads(record.read_text())["run_id"]
        name = study.study_name.rpartition("-")[0]
        told = {"mlflow.runName": f"search {name}"}
        params = flat(asdict(plan))
        with open_run(ROOT, journal(base), run_id, params, told, record) as run_id:
            study.set_user_attr("run_id", run_id)
    return run_id


def _work(trials: "Trials", storage: "RDBStorage", seed: int) -> None:
    """Run trials until there are as many as were asked for, whoever ran them."""
    import optuna

    from springfield.cli.trial import SuperfluousError, over

    study, wanted = trials.study, trials.plan.trials
    seen: set[int] = set()
    said = False
    while True:
        optuna.storages.fail_stale_trials(study)
        every, done = study.get_trials(deepcopy=False), len(over(study))
        running = [t for t in every if t.state == optuna.trial.TrialState.RUNNING]
        for trial in running:
            if trial._trial_id not in seen:  # one killed before its first sign of life has none
                seen.add(trial._trial_id)
                storage.record_heartbeat(trial._trial_id)
        if done >= wanted:
            return
        if done + len(running) < wanted:
            startup = min(10, math.ceil(wanted / STARTUP))
            study.sampler = optuna.samplers.TPESampler(
                seed=seed + len(every), n_startup_trials=startup
            )
            after = [lambda _, trial: _after(trials, trial)]
            study.optimize(trials, n_trials=1, catch=(SuperfluousError,), callbacks=after)
            continue
        if not said:
            console.print(
                f"waiting for {len(running)} more, which run elsewhere or were killed "
                f"less than {GRACE} seconds ago"
            )
            said = True
        time.sleep(1)


def _after(trials: "Trials", trial: "optuna.trial.FrozenTrial") -> None:
    """Say how a trial ended, and delete what it would have gone on from."""
    from optuna.trial import TrialState

    from springfield.cli.found import score
    from springfield.cli.trial import over, shown

    if trial.state == TrialState.FAIL:  # one too many
        return
    shutil.rmtree(trials.place(trial), ignore_errors=True)
    count, params = len(over(trials.study)), " ".join(shown(trial.params))
    console.print(
        f"trial {count} of {trials.plan.trials}: {score(trial)} with {params}", markup=False
    )
