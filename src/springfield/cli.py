"""The `springfield` command: one subcommand a stage, and what goes with them."""

import atexit
import errno
import gc
import json
import logging
import os
import shutil
import sys
import warnings
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape

from springfield.errors import UserError
from springfield.processes import end_with_parent, heed_ctrl_c_anywhere
from springfield.progress import console

if TYPE_CHECKING:
    from springfield.compose import Params
    from springfield.registry import Comparison

WORKSPACE = Path()
ROOT = Path(os.environ.get("DVC_ROOT", "."))
"""The primary repository, also from DVC's temporary workspaces."""
MIRROR = os.environ.get("SPRINGFIELD_MIRROR")
TRAININGS = ROOT.resolve() / ".springfield/train"
"""What trainings go on from, a folder each."""

PARAMS, LOCK = Path("params.yaml"), Path("dvc.lock")
RAW, PREPARED, AUGMENTED = Path("data/raw"), Path("data/prepared"), Path("data/augmented")
SPLIT = Path("data/split.csv")
CHECKPOINT, CALIBRATION = Path("models/checkpoint"), Path("models/calibration.json")
ONNX, INT8 = Path("models/springfield.onnx"), Path("models/springfield.int8.onnx")
DESCRIPTION, CARD = Path("models/model.json"), Path("models/README.md")
WEB = Path("web")
METRICS, RUN = Path("reports/metrics.json"), Path("reports/run.json")
TRAINING, EVALUATION = Path("reports/train"), Path("reports/evaluate")
DATA_REPORT, DATA_PAGE = Path("reports/data.json"), Path("reports/data.html")
SPLIT_REPORT = Path("reports/split.json")
AUGMENT_PICTURE, EXPORT_REPORT = Path("reports/augment.png"), Path("reports/export.json")

TOLD = ("data", "split", "augment", "model", "optimizer", "train")
"""The params that the model's card tells."""
MLFLOW = {
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    # Seconds, not minutes: a training goes on without MLflow and catches up.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
INTERRUPTED = (1, 130)
"""What Lightning and typer end with after Ctrl-C."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Train, evaluate and export an image classifier, repeatably. "
    "'dvc repro' runs the stages that changed; each can also be run alone.",
)
STAGES, CONFIGURATION = "Stages, in their order", "Configuration"
MODELS = "Models"


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    """Options of every subcommand (main reads --debug, because it handles the errors)."""


def _start(stage: str) -> "Params":
    """Check all params before any work, and say what runs."""
    from springfield.compose import load

    if "--debug" not in sys.argv:
        logging.disable(logging.INFO)
        warnings.filterwarnings("ignore", module=r"pytorch_lightning|torch\.|mlflow|onnx")
    params = load(PARAMS)
    if _is_first_process():
        console.print(f"[bold]experiment {params.experiment}[/]: {stage}")
    return params


@app.command(rich_help_panel=STAGES)
def download() -> None:
    """Get the data once, provably the same: data/raw/."""
    from springfield.download import download

    params = _start("download")
    download(params.data.source, RAW, ROOT / ".springfield/downloads", MIRROR, ROOT)


@app.command(rich_help_panel=STAGES)
def prepare() -> None:
    """Decode and check every image once: data/prepared/."""
    from springfield.prepare import prepare

    params = _start("prepare")
    prepare(params.prepare, params.data.layout, RAW, PREPARED, DATA_REPORT, DATA_PAGE)


@app.command(rich_help_panel=STAGES)
def split() -> None:
    """Divide into train, val and test, near-duplicates on one side: data/split.csv."""
    from springfield.split import split

    params = _start("split")
    split(params.split, params.seed, PREPARED / "index.csv", SPLIT, SPLIT_REPORT)


@app.command(rich_help_panel=STAGES)
def augment() -> None:
    """Make augmented copies for rare classes of train: data/augmented/."""
    from springfield.augment import augment

    params = _start("augment")
    offline, online = params.augment.offline, params.augment.online
    size = params.model.input_size
    augment(offline, online, size, params.seed, PREPARED, SPLIT, AUGMENTED, AUGMENT_PICTURE)


@app.command(rich_help_panel=STAGES)
def train(
    preset: Annotated[
        Literal["overfit", "profile", "fast"] | None,
        typer.Option(
            help="Debug on a few frames, in .springfield/debug: can it learn them by heart "
            "(overfit), what takes the time (profile), does it run at all (fast)?"
        ),
    ] = None,
) -> None:
    """Fine-tune with Lightning on every device: models/checkpoint/."""
    from contextlib import ExitStack

    from filelock import FileLock, Timeout

    from springfield import tracking
    from springfield.compose import flatten, load_yaml
    from springfield.files import write_json
    from springfield.fingerprint import fingerprint
    from springfield.run_logger import RunLogger
    from springfield.train import launched, train

    params = _start("train")
    weights = ROOT / ".springfield/weights"
    if preset:
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler's own progress
        from springfield.debug import debug

        debug(
            preset,
            params,
            prepared=PREPARED,
            split=SPLIT,
            folder=Path(".springfield/debug"),
            weights=weights,
            mirror=MIRROR,
            root=ROOT,
        )
        return
    hashes = fingerprint("train", WORKSPACE)
    work = TRAININGS / "-".join(h[:12] for h in hashes.values())
    with ExitStack() as stack:
        loggers = []
        first = _is_first_process()
        if first:
            _forget_noted()
            work.mkdir(parents=True, exist_ok=True)
            lock = FileLock(work.with_suffix(".lock"), blocking=False)
            try:
                stack.enter_context(lock)
            except Timeout as error:
                raise UserError(
                    "this very training is already running; wait for it, or end that process"
                ) from error
            if not ("DVC_STAGE" in os.environ or launched()):  # else when DVC has noted it
                stack.push(lambda error, *_: None if error else _forget(work))
            resumed = work / "run.json"
            run_id = stack.enter_context(
                tracking.open_run(
                    ROOT,
                    params.experiment,
                    json.loads(resumed.read_text())["run_id"] if resumed.is_file() else None,
                    flatten(load_yaml(PARAMS)),
                    _tags(hashes),
                    resumed,
                )
            )
            logger = RunLogger(tracking.store(ROOT), run_id)
            loggers.append(logger)
        train(
            params.model,
            params.optimizer,
            params.train,
            params.augment.online,
            params.seed,
            params.hardware,
            prepared=PREPARED,
            split=SPLIT,
            augmented=AUGMENTED,
            checkpoint=CHECKPOINT,
            report=TRAINING,
            work=work,
            weights=weights,
            mirror=MIRROR,
            root=ROOT,
            made_from=hashes,
            loggers=loggers,
        )
        if first:
            files = (TRAINING, PARAMS, AUGMENT_PICTURE, DATA_REPORT, SPLIT_REPORT)
            tracking.log_training(logger, TRAINING, files)
            write_json(RUN, {"run_id": run_id})


def _forget_noted() -> None:
    """Delete what trainings could go on from, where DVC has their results in dvc.lock.

    Had it been killed before that, the results would be lost.
    """
    from hashlib import md5

    from filelock import FileLock, Timeout

    for over in TRAININGS.glob("*.over"):
        shutil.rmtree(over, ignore_errors=True)
    noted = LOCK.read_text() if LOCK.is_file() else ""
    for run in TRAININGS.glob("*/run.json"):
        work = run.parent
        with suppress(Timeout), FileLock(work.with_suffix(".lock"), blocking=False):
            if run.is_file() and md5(run.read_bytes(), usedforsecurity=False).hexdigest() in noted:
                _forget(work)


def _forget(work: Path) -> None:
    """Leave nothing to go on from after a training that is over, in one step."""
    over = work.with_suffix(".over")
    shutil.rmtree(over, ignore_errors=True)
    work.rename(over)
    shutil.rmtree(over, ignore_errors=True)


@app.command(rich_help_panel=STAGES)
def evaluate() -> None:
    """Score the checkpoint on val and test: reports/metrics.json."""
    from springfield import tracking
    from springfield.evaluate import evaluate

    params = _start("evaluate")
    _forget_noted()
    with _same_run(params):
        evaluate(
            params.evaluate,
            params.seed,
            checkpoint=CHECKPOINT,
            prepared=PREPARED,
            split=SPLIT,
            metrics=METRICS,
            calibration=CALIBRATION,
            report=EVALUATION,
            device=_device(params),
        )
        tracking.log_scores(METRICS)
        tracking.log_files(METRICS, CALIBRATION, EVALUATION)


@app.command(rich_help_panel=STAGES)
def export() -> None:
    """Write the network as ONNX, proven equal to the checkpoint: models/springfield.onnx."""
    from springfield import registry, tracking
    from springfield.compose import load_yaml
    from springfield.export import export

    params = _start("export")
    tree = load_yaml(PARAMS)
    with _same_run(params) as run_id:
        export(
            params.export,
            params.seed,
            {name: tree[name] for name in TOLD},
            checkpoint=CHECKPOINT,
            prepared=PREPARED,
            split=SPLIT,
            metrics=METRICS,
            calibration=CALIBRATION,
            run=RUN,
            onnx_file=ONNX,
            int8_file=INT8,
            description=DESCRIPTION,
            card=CARD,
            report=EXPORT_REPORT,
        )
        tracking.log_files(EXPORT_REPORT, LOCK)
        registry.register(params.data.name, run_id, ONNX, DESCRIPTION, INT8, CARD)


@app.command(rich_help_panel=CONFIGURATION)
def config() -> None:
    """Tell how params.yaml differs from what conf/ composes."""
    _start("config")
    _tell_difference()


def _tell_difference() -> None:
    from springfield.compose import difference

    try:
        found = difference(WORKSPACE, PARAMS)
    except UserError as error:  # it tells and never fails
        console.print(f"[yellow]{escape(str(error))}[/]")
        return
    if found:
        console.print("[yellow]params.yaml differs from what conf/ composes:[/]")
        for key, there, here in found:
            console.print(f"  {key}: {here} here, {there} in conf/", markup=False)
        console.print("stages read params.yaml; to take conf/ over: [bold]springfield compose[/]")


@app.command(rich_help_panel=CONFIGURATION)
def compose(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Hydra overrides, such as optimizer.lr=3e-4 or split=random"),
    ] = None,
) -> None:
    """Write params.yaml from conf/, with overrides."""
    from springfield.compose import compose

    compose(WORKSPACE, PARAMS, overrides or [])


@app.command(rich_help_panel=CONFIGURATION)
def use(experiment: Annotated[str, typer.Argument(help="A file of conf/experiment/")]) -> None:
    """Make an experiment the current one, in conf/config.yaml and params.yaml."""
    from springfield.compose import use

    use(WORKSPACE, experiment)
    console.print(f"experiment: [bold]{experiment}[/]")


@app.command(rich_help_panel=MODELS)
def predict(
    pictures: Annotated[list[Path], typer.Argument(help="Files, folders, or - for standard input")],
    model: Annotated[Path, typer.Option(help="What 'springfield export' wrote")] = ONNX,
    top: Annotated[int, typer.Option(min=1, help="So many classes of each picture")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with all decimals")] = False,
) -> None:
    """Name what pictures show; a picture that cannot be read does not stop the others."""
    from rich.table import Column, Table

    from springfield.predict import Predictor, find_pictures
    from springfield.progress import track

    predictor = Predictor(model)
    found = []
    for path in track(find_pictures(pictures), "Predicting"):
        answer: dict[str, Any] = {"picture": str(path)}
        try:
            content = sys.stdin.buffer.read() if path == Path("-") else path.read_bytes()
            probabilities = predictor.predict(content)
            answer["sure"] = max(probabilities.values()) >= predictor.threshold
            answer["top"] = [
                {"class": name, "probability": probability}
                for name, probability in list(probabilities.items())[:top]
            ]
        except (ValueError, OSError) as error:
            answer["error"] = error.strerror if isinstance(error, OSError) else str(error)
        found.append(answer)
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        table = Table(Column("picture", overflow="fold"), "shows", "", "or")
        for answer in found:
            if reason := answer.get("error"):
                table.add_row(escape(answer["picture"]), f"[red]{escape(reason)}[/]")
                continue
            named = [f"{a['class']} {a['probability']:.1%}" for a in answer["top"]]
            sure = "" if answer["sure"] else "[yellow]not sure[/]"
            table.add_row(
                escape(answer["picture"]), escape(named[0]), sure, escape(", ".join(named[1:]))
            )
        Console().print(table)
    if failed := sum("error" in answer for answer in found):
        raise UserError(f"{failed} of {len(found)} pictures cannot be read")


@app.command(rich_help_panel=MODELS)
def explain(
    picture: Annotated[Path, typer.Argument(help="A file")],
    model: Annotated[Path, typer.Option(help="What 'springfield export' wrote")] = ONNX,
    output: Annotated[Path, typer.Option(help="Picture to write")] = Path("explained.png"),
    of: Annotated[str | None, typer.Option("--class", help="Default: the most probable")] = None,
) -> None:
    """Draw what in a picture the decision rests on: red where hiding a part changes most."""
    from springfield.explain import occlusion, overlay
    from springfield.predict import Predictor, pixels

    predictor = Predictor(model)
    try:
        image = pixels(picture.read_bytes())
    except ValueError as error:
        raise UserError(f"{picture}: {error}") from error
    probabilities = predictor.probabilities(image[None])[0]
    name = of or predictor.classes[int(probabilities.argmax())]
    if name not in predictor.classes:
        raise UserError(f"no class '{name}'; there are: {', '.join(predictor.classes)}")
    position = predictor.classes.index(name)
    overlay(image, occlusion(predictor, image, position)).save(output)
    console.print(f"{name} {probabilities[position]:.1%}: {output}", markup=False)


@app.command(rich_help_panel=MODELS)
def compare() -> None:
    """The challenger beside the champion of this data set: params, scores, a paired test."""
    from springfield import registry, tracking

    _tell_comparison(registry.compare(tracking.store(ROOT), _start("compare").data.name))


@app.command(rich_help_panel=MODELS)
def promote(
    force: Annotated[
        bool, typer.Option("--force", help="Also one that is not better, or tested on other frames")
    ] = False,
) -> None:
    """Make the challenger the champion, if it is better on the same test frames."""
    from springfield import registry, tracking

    data = _start("promote").data.name
    found = registry.promote(tracking.store(ROOT), data, force=force)
    _tell_comparison(found)
    console.print(f"version {found.challenger.number} is the champion of {data}")


def _tell_comparison(found: "Comparison") -> None:
    from rich.table import Table

    old, new = found.champion, found.challenger
    if old is None:
        console.print(f"no champion yet; the challenger is version {new.number}")
        return
    table = Table("", f"champion ({old.number})", f"challenger ({new.number})", "difference")
    for key, before, after in found.changed:
        table.add_row(escape(key), escape(before), escape(after))
    table.add_section()
    for name, score in new.scores.items():
        gain = score - old.scores[name]
        table.add_row(f"test {name}", f"{old.scores[name]:.4f}", f"{score:.4f}", f"{gain:+.4f}")
    Console().print(table)
    if found.p is None:
        console.print("tested on different frames: these scores cannot be compared")
    else:
        console.print(
            f"{len(new.predictions)} test frames, paired permutation test of the accuracy by "
            f"shots: p = {found.p:.2g}"
        )


@app.command(rich_help_panel=MODELS)
def pull(
    name: Annotated[
        str | None, typer.Argument(help="A registered model; default: the only one there is")
    ] = None,
    alias: Annotated[str, typer.Option(help="Of the version")] = "champion",
) -> None:
    """Bring a model from the MLflow server that MLFLOW_TRACKING_URI names: models/."""
    try:
        from springfield.pull import pull
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is missing; pip install 'springfield[pull]'") from error

    pull(os.environ.get("MLFLOW_TRACKING_URI", ""), name, alias, ONNX.parent)


@app.command("app", rich_help_panel=MODELS)
def page(
    port: Annotated[int, typer.Option(help="To serve on; 0 takes any that is free.")] = 8000,
    browser: Annotated[bool, typer.Option(help="Open the page.")] = True,
    build: Annotated[
        Path | None,
        typer.Option(help="Write the page into this folder, for any static host, and end."),
    ] = None,
) -> None:
    """Show the page that runs the model in the browser."""
    from springfield import app

    content = app.site(WEB, ONNX.parent)
    if build:
        app.build(content, build)
        console.print(f"written: [bold]{build}[/]; 'python -m http.server -d {build}' serves it")
    else:
        app.serve(content, port, browser=browser)


@app.command()
def summary() -> None:
    """Say what the last run reached, and what to try next."""
    from rich.table import Table

    _tell_difference()
    try:
        metrics = json.loads(METRICS.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{METRICS} does not exist; run 'dvc repro' first") from error
    table = Table("", "frames", "accuracy", "macro-F1")
    for side in [name for name in ("val", "test", "official_test") if name in metrics]:
        scores = metrics[side]
        accuracy, macro_f1 = f"{scores['accuracy']:.4f}", f"{scores['macro_f1']:.4f}"
        table.add_row(side.replace("_", " "), str(scores["n"]), accuracy, macro_f1)
    if linear := metrics.get("baseline"):
        accuracy, macro_f1 = f"{linear['accuracy']:.4f}", f"{linear['macro_f1']:.4f}"
        table.add_row("test, logistic regression on pixels", "", accuracy, macro_f1)
    console.print(table)
    console.print(f"model    {ONNX} ({ONNX.stat().st_size / 1e6:.1f} MB), {INT8}, {CARD}")
    console.print(f"data     {DATA_PAGE}")
    console.print(f"mistakes {EVALUATION}/mistakes.html")
    console.print(f"plots    {EVALUATION}/confusion.png, {TRAINING}/curves.png, {AUGMENT_PICTURE}")
    console.print("next     make app                                 name pictures in the browser")
    console.print("         make ui                                  compare runs in MLflow")
    console.print("         dvc exp run -S optimizer.lr=3e-4         another learning rate")
    console.print("         make repro EXPERIMENT=simpsons_cpu       real frames (needs a mirror)")


def _is_first_process() -> bool:
    """Whether this is the only one, or the first that Lightning, torchrun or SLURM started."""
    if "RANK" in os.environ:  # torchrun, perhaps within a job of SLURM
        return os.environ["RANK"] == "0"
    ranks = ("NODE_RANK", "LOCAL_RANK", "SLURM_PROCID")
    return all(os.environ.get(name, "0") == "0" for name in ranks)


def _device(params: "Params") -> str:
    import torch

    wanted = params.hardware.accelerator
    return "cuda" if torch.cuda.is_available() and wanted != "cpu" else "cpu"


def _tags(hashes: dict[str, str]) -> dict[str, str]:
    from springfield import tracking

    tags = {f"springfield.{name}_sha256": value for name, value in hashes.items()}
    revision = os.environ.get("DVC_EXP_BASELINE_REV")
    tags["mlflow.source.git.commit"] = revision or tracking.commit(ROOT)
    if name := os.environ.get("DVC_EXP_NAME"):
        tags["dvc_exp"] = tags["mlflow.runName"] = name
    return tags


def _same_run(params: "Params") -> AbstractContextManager[str]:
    """The run of the training, or another one where this store does not have it."""
    from springfield import tracking
    from springfield.compose import flatten, load_yaml
    from springfield.model import made_from

    return tracking.open_run(
        ROOT,
        params.experiment,
        json.loads(RUN.read_text())["run_id"] if RUN.is_file() else None,
        flatten(load_yaml(PARAMS)),
        _tags(made_from(CHECKPOINT)),
    )


def main() -> None:
    """Run the command; an error is one line and an exit status, a traceback only with --debug."""
    atexit.register(gc.freeze)  # collecting garbage as it ends would take it seconds
    for name, value in MLFLOW.items():
        os.environ.setdefault(name, value)
    heed_ctrl_c_anywhere()
    if "DVC_STAGE" in os.environ or os.environ.get("LOCAL_RANK", "0") != "0":
        end_with_parent()  # a killed DVC or first process leaves nothing running behind
    try:
        app()
    except SystemExit as end:
        if end.code is None:  # Lightning's exit after SIGTERM
            _fail("stopped by SIGTERM; the same command goes on from the last epoch", 143)
        if end.code in INTERRUPTED:
            _fail("interrupted; nothing half-written stays, run the same command again", 130)
        raise
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        _fail(_one_line(error), 1)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    match error:
        case UserError():
            return text
        case ModuleNotFoundError():
            return f"{error.name} is not installed; pip install 'springfield[pipeline]'"
        case FileNotFoundError():
            return f"{error.filename or text} does not exist; run the stages before this: dvc repro"
        case OSError(errno=errno.ENOSPC):
            return f"the disk is full ({error.filename or text}); free space and run it again"
        case _:
            return f"{type(error).__name__}: {text} (springfield --debug shows where)"


def _fail(message: str, status: int) -> None:
    if _is_first_process() or status == 1:
        console.print(f"[bold red]error:[/] {escape(message)}")
    sys.exit(status)
