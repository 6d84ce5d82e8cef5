"""Training: repeatable, switchable, the same on one process and on two."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import joblib
import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import timm
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from springfield import pipeline
from springfield.artifacts.onnx_files import check_batches, open_onnx, quantize, write_onnx
from springfield.config import compose, load
from springfield.files import RemoteFile
from springfield.images.store import write_images
from springfield.learning import fit, precision
from springfield.learning.checkpoint import save_checkpoint, trained_in
from springfield.learning.history import History
from springfield.learning.selection import is_better
from springfield.machine.errors import UserError, explained
from springfield.machine.hardware import Machine
from springfield.machine.paths import Paths
from springfield.sampling.batches import Batches
from springfield.sources.mirror import fetched
from springfield.stages.classification.network import (
    Architecture,
    Classifier,
    Probabilities,
    load_backbone,
    load_checkpoint,
)
from springfield.stages.classification.params import ClassificationParams

from . import stage, test_classroom
from .conftest import REPOSITORY, SHARED, Project, experiments

WEIGHTS = SHARED / "weights/inception_v3_imagenet.safetensors"

EXPERIMENTS = [
    path
    for path in experiments("classification")
    if path.stem not in test_classroom.EXPERIMENTS  # which run there, from the download on
]
SWITCHES = (
    "optimizer.clip=0",
    "optimizer.l1=0.01",
    "optimizer.layer_decay=0.7",
    "optimizer.warmup=0.5",
    "optimizer.weight_decay=0",
    "train.balance=1",
    "train.cutmix=1.0",
    "train.ema=0",
    "train.head_epochs=1",
    "train.label_smoothing=0",
    "train.limit_batches=0.5",
    "train.loss=squared_error",
    "train.mixup=0.4",
    "augment.online=[]",
)


def architecture(backbone: str, size: int) -> Architecture:
    return Architecture(backbone, size, [0.5] * 3, [0.5] * 3, ["a", "b", "c"])


@pytest.mark.parametrize(("backbone", "size"), [("test_resnet", 32), ("inception_v3", 75)])
def test_a_reloaded_checkpoint_gives_the_same_logits(
    backbone: str, size: int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = Classifier(architecture(backbone, size)).eval()
    save_checkpoint(model, tmp_path / "checkpoint", {}, "32-true")
    images = torch.randint(0, 256, (2, 90, 120, 3), dtype=torch.uint8)
    with torch.inference_mode():
        expected = model(images)
        assert torch.equal(load_checkpoint(tmp_path / "checkpoint")(images), expected)
        assert expected.shape == (2, 3)


@pytest.mark.nightly
@pytest.mark.parametrize(
    "backbone",
    [
        "resnet18", "mobilenetv3_small_050", "efficientnet_b0", "convnext_atto", "regnetx_002",
        "vit_tiny_patch16_224", "densenet121", "ghostnet_050", "repvgg_a0", "mobilevit_xxs",
        "edgenext_xx_small", "resmlp_12_224",
    ],
)  # fmt: skip
def test_networks_of_many_families_are_exported_in_both_precisions(
    backbone: str, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    size = 224 if "224" in backbone else 64
    network = Probabilities(Classifier(architecture(backbone, size)), 1.0).eval()
    rng = np.random.default_rng(1)
    frames = [rng.integers(0, 256, (1, 70, 90, 3), np.uint8) for _ in range(8)]

    def expected(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return np.asarray(network(torch.from_numpy(batch)).numpy(), np.float32)

    fp32, int8 = tmp_path / "fp32.onnx", tmp_path / "int8.onnx"
    write_onnx(network, frames[0][0], 20, fp32, {})
    check_batches(open_onnx(fp32), frames[0][0], expected)
    quantize(fp32, frames, int8, {}, 0)
    found = open_onnx(int8)(np.concatenate(frames))
    assert np.abs(found - expected(np.concatenate(frames))).mean() < 0.05
    assert int8.stat().st_size < 0.7 * fp32.stat().st_size


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="needs a mirror with the ImageNet weights")
def test_weights_of_the_mirror_fit_inception_and_nothing_else(tmp_path: Path) -> None:
    model = Classifier(architecture("inception_v3", 75))
    load_backbone(model, WEIGHTS)
    loaded = load_file(WEIGHTS)["Conv2d_1a_3x3.conv.weight"]
    assert torch.equal(model.backbone.Conv2d_1a_3x3.conv.weight, loaded.float())
    with pytest.raises(UserError, match="does not fit test_resnet"):
        load_backbone(Classifier(architecture("test_resnet", 32)), WEIGHTS)


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ("inception_v9", r"timm has no 'inception_v9'; near it: .*inception_v3"),
        ("swin_tiny", r"timm has no 'swin_tiny'; near it: swin_tiny_patch4_window7_224"),
        ("resnet18.none", r"Invalid pretrained tag \(none\) for resnet18"),
    ],
)
def test_an_unknown_backbone_is_named_with_near_ones(backbone: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Classifier(architecture(backbone, 75))


@pytest.mark.parametrize(
    ("backbone", "size", "mean"),
    [
        ("vit_tiny_patch16_224", 224, 0.5),
        ("inception_v3", 299, 0.5),
        ("resnet18.a1_in1k", 224, 0.485),
        ("deit_tiny_distilled_patch16_224", 224, 0.485),
    ],
)
def test_a_network_of_timm_brings_its_own_input(
    backbone: str, size: int, mean: float, tmp_path: Path
) -> None:
    overrides = ["model=timm", f"model.backbone={backbone}"]
    compose(REPOSITORY, tmp_path / "params.yaml", overrides, pipeline.check)
    params = load(tmp_path / "params.yaml")
    assert isinstance(params, ClassificationParams)
    model = params.model
    assert (model.input_size, model.mean[0]) == (size, mean)
    said = [*overrides, "model.input_size=32", "model.std=[1,1,1]"]
    compose(REPOSITORY, tmp_path / "params.yaml", said)
    params = load(tmp_path / "params.yaml")
    assert isinstance(params, ClassificationParams)
    model = params.model
    assert (model.input_size, model.mean[0], model.std[0]) == (32, mean, 1)


@pytest.mark.parametrize("backbone", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_a_network_of_one_size_is_made_for_that_of_the_params(
    backbone: str, tmp_path: Path
) -> None:
    overrides = ["model=timm", f"model.backbone={backbone}", "model.input_size=64"]
    compose(REPOSITORY, tmp_path / "params.yaml", overrides, pipeline.check)
    torch.manual_seed(0)
    model = Classifier(architecture(backbone, 64)).eval()
    save_checkpoint(model, tmp_path / "checkpoint", {}, "32-true")
    images = torch.randint(0, 256, (1, 50, 70, 3), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(load_checkpoint(tmp_path / "checkpoint")(images), model(images))


@pytest.mark.parametrize(
    ("backbone", "overrides", "message"),
    [
        ("inception_v3", ("model.input_size=32",), "model.input_size=32: inception_v3 cannot take"),
        ("efficientformer_l1", ("model.input_size=64",), "null takes the network's own size"),
        ("vit_tiny_patch16_224", ("train.sizes=[224,96]",), "train.sizes: 96: vit_tiny_patch1"),
        ("resnet18", ("+model.options.widths=3",), "model.options: resnet18: .*'widths'"),
        ("resnet18", ("train.auxiliary=0.4",), "only inception_v3 .* set it to 0"),
    ],
)
def test_what_a_network_cannot_take_is_said_when_it_is_chosen(
    backbone: str, overrides: tuple[str], message: str, tmp_path: Path
) -> None:
    chosen = ["model=timm", f"model.backbone={backbone}", *overrides]
    with pytest.raises(UserError, match=message):
        compose(REPOSITORY, tmp_path / "params.yaml", chosen, pipeline.check)
    assert not (tmp_path / "params.yaml").exists()


def test_a_head_of_two_layers_starts_from_zero(tmp_path: Path) -> None:
    torch.manual_seed(0)
    name = "deit_tiny_distilled_patch16_224"
    trained = timm.create_model(name)
    save_file(trained.state_dict(), tmp_path / "w.safetensors")
    model = Classifier(architecture(name, 224))
    load_backbone(model, tmp_path / "w.safetensors")
    loaded = model.backbone.state_dict()["cls_token"]
    assert torch.equal(loaded, trained.state_dict()["cls_token"])
    zero = [name for name, value in model.backbone.named_parameters() if not value.any()]
    assert {"head.weight", "head_dist.weight", "head_dist.bias"} <= set(zero)
    trunk = sum(parameter.numel() for parameter in model.trunk_parameters())
    assert sum(p.numel() for p in model.backbone.parameters()) - trunk == 2 * (192 * 3 + 3)


def test_weights_are_verified(tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/w.safetensors").write_bytes(b"other")
    other = RemoteFile("w.safetensors", "0" * 64)
    with (
        pytest.raises(UserError, match="damaged or another file"),
        fetched(other, tmp_path / "w", "mirror", tmp_path),
    ):
        pass
    assert not list((tmp_path / "w").iterdir())


def test_weights_without_a_known_hash_are_refused_with_the_way_to_pin_them(
    finished: Project,
) -> None:
    finished.springfield("compose", "model=inception_v3", "model.input_size=75")
    output = finished.springfield("train", status=1)
    assert "inception_v3.gluon_in1k.safetensors is not pinned" in output
    assert "run sha256sum on it" in output


@pytest.mark.real_processes
def test_the_same_params_give_the_same_checkpoint(finished: Project) -> None:
    before = finished.weights()
    finished.springfield("train")
    after = finished.weights()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_same_training_does_not_run_twice_at_once(finished: Project) -> None:
    finished.springfield("compose", "train.epochs=1000")
    process = subprocess.Popen(
        ["springfield", "train"], cwd=finished.path, env=finished.env, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 120
        while not list(finished.path.glob(".springfield/train/*/run.json")):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert "already running" in finished.springfield("train", status=1)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def learnt(project: Project, *overrides: str, work: Path | None = None) -> dict[str, Tensor]:
    """The weights that a training in this process ends with."""
    compose(project.path, project.path / "params.yaml", list(overrides))
    params = load(project.path / "params.yaml")
    machine = Machine(params.hardware, work=work)
    pipeline.run(params, Paths.within(project.path), machine, "train")
    return project.weights()


def same(weights: dict[str, Tensor], others: dict[str, Tensor]) -> bool:
    return all(torch.equal(others[name], tensor) for name, tensor in weights.items())


@pytest.mark.filterwarnings("ignore:.*LeafSpec")
def test_auto_trains_as_the_precision_that_it_finds(
    finished: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once by a real measurement: it must not disturb what is drawn at random."""
    one = "train.epochs=1"
    explicit = {
        name: learnt(finished, one, f"train.precision={name}") for name in ("32-true", "bf16-mixed")
    }
    assert not same(*explicit.values())
    found = learnt(finished, one, "train.precision=auto")
    assert same(found, explicit[trained_in(finished.path / "models/checkpoint")])
    for times, name in ((0.5, "32-true"), (1.05, "32-true"), (1.5, "bf16-mixed")):
        monkeypatch.setattr(precision, "gain", lambda device, times=times: times)
        assert same(learnt(finished, one, "train.precision=auto"), explicit[name])
        assert trained_in(finished.path / "models/checkpoint") == name


@pytest.mark.filterwarnings("ignore:.*LeafSpec")
def test_training_goes_on_with_the_precision_that_it_began_with(
    finished: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On a machine that would have taken the other one."""
    work = tmp_path / "work"
    for times, name in ((1.5, "bf16-mixed"), (0.5, "32-true")):
        monkeypatch.setattr(precision, "gain", lambda device, times=times: times)
        learnt(finished, "train.precision=auto", work=work)
        expected = finished.metrics()
        for checkpoint in work.glob("*-1.ckpt"):
            checkpoint.unlink()
        monkeypatch.setattr(precision, "gain", lambda device, times=times: 1 / times)
        learnt(finished, "train.precision=auto", work=work)
        pd.testing.assert_frame_equal(finished.metrics(), expected, check_exact=True)
        assert trained_in(finished.path / "models/checkpoint") == name
        shutil.rmtree(work)


@pytest.mark.slow
def test_a_processor_that_is_slow_at_bfloat16_trains_in_float32() -> None:
    """With the instructions of an older one."""
    code = (
        "import torch; from springfield.learning.precision import fitting; "
        "print(fitting(torch.device('cpu')))"
    )
    env = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "PYTHONPATH": f"{REPOSITORY / 'src'}"}
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "32-true"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_that_is_fast_at_bfloat16_trains_in_it() -> None:
    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("this one is not")
    assert precision.fitting(torch.device("cuda")) == "bf16-mixed"


@pytest.mark.slow
@pytest.mark.real_processes
def test_all_processes_take_the_precision_of_the_first(finished: Project) -> None:
    """Which run, checkpoint and card tell."""
    two = ("hardware.devices=2", "model.backbone=test_convnext")
    finished.springfield("compose", *two, "train.precision=bf16-mixed")
    finished.springfield("train")
    expected = finished.weights()
    module = finished.path / "src/springfield/learning/precision.py"
    gain = "import os\ndef gain(device):\n    return 9 - 9 * int(os.getenv('LOCAL_RANK', 0))\n"
    module.write_text(module.read_text() + gain)
    finished.springfield("compose", *two, "train.precision=auto")
    output = finished.springfield("train")
    assert output.count("train.precision: bf16-mixed") == 1
    assert same(finished.weights(), expected)
    assert finished.runs()[-1].data.tags["springfield.precision"] == "bf16-mixed"
    finished.springfield("evaluate")
    finished.springfield("export")
    card = (finished.path / "models/README.md").read_text()
    assert "| `train.precision` | bf16-mixed |" in card


SAME = (
    "model.backbone=test_convnext",
    "augment.online=[]",
    "train.batch_size=100",
    "train.epochs=20",
    "train.head_epochs=3",
)
"""A network without batch norm, whose statistics two processes do not share on CPUs, and batches of
all frames, so that an epoch is one step."""


@pytest.mark.parametrize(
    "change", ["hardware.devices=2", pytest.param("train.accumulate=2", marks=pytest.mark.slow)]
)
def test_two_processes_or_pieces_train_as_one_does(finished: Project, change: str) -> None:
    finished.springfield("compose", *SAME)
    finished.springfield("train")
    expected, weights = finished.metrics(), finished.weights()
    before = len(finished.runs())
    finished.springfield("compose", *SAME, change)
    output = finished.springfield("train")
    assert output.count("experiment tiny: train") == 1
    assert len(finished.runs()) == before + 1
    metrics = finished.metrics()
    for column in ("train_loss", "val_loss", "val_accuracy", "val_macro_f1", "lr"):
        assert metrics[column].to_numpy() == pytest.approx(expected[column].to_numpy(), abs=1e-4)
    for name, tensor in finished.weights().items():
        torch.testing.assert_close(tensor, weights[name], atol=2e-3, rtol=1e-2)


@pytest.mark.slow
def test_a_part_of_an_epoch_is_the_same_in_pieces(finished: Project) -> None:
    """Of whole batches: 2.8 of 7, of which there are 28 quarters."""
    part = (*SAME[:2], "train.batch_size=16", "train.epochs=2", "train.limit_batches=0.4")
    found = []
    for pieces in (1, 4):
        finished.springfield("compose", *part, f"train.accumulate={pieces}")
        finished.springfield("train")
        found.append(finished.metrics()[["train_loss", "val_loss", "lr"]].to_numpy())
    assert found[1] == pytest.approx(found[0], abs=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*LeafSpec")
def test_each_part_of_the_recipe_can_be_switched(finished: Project) -> None:
    """Each alone changes what is learnt, and training stays repeatable."""
    before = learnt(finished)
    assert same(learnt(finished, *SWITCHES), learnt(finished, *SWITCHES))
    # The last one is for the loss that another switch replaces.
    for switch in (*SWITCHES, "train.logit_adjustment=1"):
        assert not same(learnt(finished, switch), before), switch


@pytest.fixture
def grey(tmp_path: Path) -> Paths:
    """Pictures that tell nothing: of train nine of ten are of one class, of val half."""
    rows = [
        {"id": f"{side}-{n}", "class": "b" if n % every == 0 else "a", "split": side}
        for side, frames, every in (("train", 600, 10), ("val", 100, 2), ("test", 10, 2))
        for n in range(frames)
    ]
    paths = Paths.within(tmp_path)
    for folder in (paths.images.parent, paths.augmented):
        folder.mkdir(parents=True)
    table = pd.DataFrame(rows).assign(group=range(len(rows)), official_split="")
    write_images(paths.images, ((name, np.full((28, 28, 3), 90, np.uint8)) for name in table["id"]))
    write_images(paths.augmented / "images.arrow", [])
    (paths.augmented / "index.csv").write_text("id,class\n")
    table[["id", "class", "official_split"]].to_csv(paths.index, index=False)
    table[["id", "split", "group"]].to_csv(paths.split, index=False)
    return paths


def rare_share(paths: Paths, *overrides: str) -> float:
    """How probable the rare class is after training on pictures that tell nothing."""
    recipe = (
        "hardware=cpu", "model=small_cnn_mnist", "model.drop_rate=0", "augment=none",
        "train=scratch", "train.epochs=8", "train.batch_size=50", "train.ema=0.95",
        "optimizer.weight_decay=0", "optimizer.lr=5e-3",
    )  # fmt: skip
    compose(REPOSITORY, paths.index.with_name("params.yaml"), [*recipe, *overrides])
    params = load(paths.index.with_name("params.yaml"))
    pipeline.run(params, paths, Machine(params.hardware), "train")
    with torch.inference_mode():
        logits = load_checkpoint(paths.checkpoint)(torch.full((1, 28, 28, 3), 90).byte())
    return float(logits.softmax(1)[0, 1])


PLAIN = ("train.label_smoothing=0", "train.balance=0")


@pytest.mark.filterwarnings("ignore:.*LeafSpec")
def test_rare_classes_are_as_probable_as_the_others_with_adjusted_logits(grey: Paths) -> None:
    """By the shares of train: in val no class is rare."""
    assert rare_share(grey, *PLAIN) == pytest.approx(0.1, abs=0.03)
    assert rare_share(grey, *PLAIN, "train.logit_adjustment=1") == pytest.approx(0.5, abs=0.05)


@pytest.mark.filterwarnings("ignore:.*LeafSpec")
@pytest.mark.slow
@pytest.mark.parametrize(
    "recipe",
    [
        ("train.label_smoothing=0", "train.balance=0.5"),
        ("train.label_smoothing=0.2", "train.balance=0"),
        (*PLAIN, "train.mixup=0.4", "train.cutmix=1"),
        ("train.label_smoothing=0.1", "train.balance=0.3", "train.mixup=0.4"),
    ],
)
def test_adjusted_logits_know_what_the_rest_of_the_recipe_does(
    recipe: tuple[str], grey: Paths
) -> None:
    found = rare_share(grey, *recipe, "train.logit_adjustment=1")
    assert found == pytest.approx(0.5, abs=0.05)


@pytest.mark.filterwarnings("ignore:.*LeafSpec")
def test_a_training_with_adjusted_logits_goes_on_as_it_began(
    finished: Project, tmp_path: Path
) -> None:
    adjusted, work = "train.logit_adjustment=1", tmp_path / "work"
    expected = learnt(finished, adjusted, work=work)
    for checkpoint in work.glob("*-1.ckpt"):
        checkpoint.unlink()
    assert same(learnt(finished, adjusted, work=work), expected)


def test_synchronised_batch_norm_computes_the_same() -> None:
    """Also in timm's layers that hold an activation."""
    classifier = Classifier(architecture("inception_v3", 75)).eval()
    pixels = torch.rand(2, 3, 75, 75, generator=torch.manual_seed(1)) * 255
    with torch.inference_mode():
        expected = classifier.logits(pixels)
        assert expected.std() > 0
        fit.share_batch_norm(classifier)
        assert any(isinstance(layer, nn.SyncBatchNorm) for layer in classifier.modules())
        torch.testing.assert_close(classifier.logits(pixels), expected)


@pytest.mark.slow
@pytest.mark.slow
def test_the_last_epoch_is_kept_unless_another_is_better_by_more_than_chance(
    finished: Project,
) -> None:
    """Its seventh of eight epochs has the best val score, by one frame."""
    choice = ("optimizer.lr=1e-3", "train.ema=0", "train.epochs=8")
    finished.springfield("compose", *choice)
    output = finished.springfield("train")
    assert "kept: epoch 8, the last; epoch 7 has the best val score, but by no more" in output
    assert (finished.path / "reports/train/kept.json").read_text() == '{\n  "epoch": 7\n}\n'
    last = finished.weights()
    finished.springfield("compose", *choice, "train.patience=8")
    output = finished.springfield("train")
    assert "which has the best val score" in output
    assert any(not torch.equal(last[name], value) for name, value in finished.weights().items())


def scores(wrong: list[int], n: int = 1054) -> np.ndarray:
    found = np.ones(n, np.float32)
    found[wrong] = 0
    return found


@pytest.mark.parametrize(
    ("wrong", "frames_of_a_shot", "better"),
    [
        ([0, 1], 1, False),  # two frames of 1,054
        (list(range(40)), 40, False),  # one shot
        (list(range(40)), 1, True),
    ],
)
def test_an_earlier_epoch_is_better_by_more_than_a_few_shots(
    wrong: list[int], frames_of_a_shot: int, better: bool
) -> None:
    groups = np.arange(1054) // frames_of_a_shot
    assert is_better(scores([]), scores(wrong), groups, epochs=24) is better
    assert not is_better(scores(wrong), scores([]), groups, epochs=24)


def test_training_stops_when_val_gets_no_better(finished: Project) -> None:
    constant = ("model.backbone=test_convnext", "optimizer.lr=0", "train.ema=0")
    finished.springfield("compose", *constant, "train.epochs=9", "train.patience=2")
    finished.springfield("train")
    assert finished.metrics()["epoch"].to_list() == [0, 1, 2]

    models, aside = finished.path / "models", finished.path / "aside"
    models.rename(aside)
    models.touch()
    finished.springfield("train", status=1)  # trained, and could not write what it learnt
    models.unlink()
    aside.rename(models)
    finished.springfield("train")
    assert finished.metrics()["epoch"].to_list() == [0, 1, 2]


@pytest.mark.slow
def test_training_ends_with_the_epoch_when_its_minutes_are_over(finished: Project) -> None:
    finished.springfield("compose", "train.epochs=5000", "train.max_minutes=0.05")
    output = finished.springfield("train")
    metrics = finished.metrics()
    assert 1 <= len(metrics) < 5000
    assert metrics["train_accuracy"].between(0, 1).all()
    assert f"epoch {len(metrics)} of 5000" in output
    kept = json.loads((finished.path / "reports/train/kept.json").read_text())["epoch"]
    assert kept == metrics["val_score"].idxmax()  # its rate has not fallen to zero
    assert "v_num" not in output


@pytest.mark.parametrize(
    ("device", "cores", "devices", "chosen", "workers"),
    [
        ("cuda", 30, 2, None, 12),
        ("cuda", 16, 2, None, 8),
        ("cuda", 16, 1, 3, 3),
        ("cpu", 16, 1, None, 0),
        ("cpu", 16, 1, 2, 2),
    ],
)
def test_gpus_share_the_cores_that_may_be_used(
    device: str,
    cores: int,
    devices: int,
    chosen: int | None,
    workers: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With two GPUs that are not here."""
    monkeypatch.setattr(joblib, "cpu_count", lambda: cores)
    strategy = SimpleNamespace(root_device=torch.device(device))
    trainer = SimpleNamespace(
        strategy=strategy, num_devices=devices, world_size=2 * devices, global_rank=1
    )
    train = replace(stage.PARAMS.train, batch_size=32, accumulate=1)
    machine = Machine(replace(stage.CPU.hardware, workers=chosen))
    assert fit._part(cast("pl.Trainer", trainer), train, machine).workers == workers


def test_scores_of_epochs_are_of_the_same_samples_with_any_number_of_processes() -> None:
    """A training may go on with others; five frames of val, in batches of two."""
    history, scores = History(2), torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5])
    for world in (1, 2):
        history.order = Batches(5, 2, world=world).of_all()
        rows = torch.tensor(history.order)
        padded = torch.cat([scores, torch.tensor([torch.nan])])
        learner = SimpleNamespace(scores=padded[rows])
        trainer = SimpleNamespace(callback_metrics={}, current_epoch=world)
        history.on_train_start(cast("pl.Trainer", trainer), cast("pl.LightningModule", learner))
        history.on_train_epoch_end(cast("pl.Trainer", trainer), cast("pl.LightningModule", learner))
    assert [found.tolist() for found in history.scores] == 2 * [scores.tolist()]


@pytest.mark.parametrize(
    ("batch_size", "accumulate", "advice"),
    [
        (32, 2, "16 frames at once; train.accumulate=4 takes"),
        (30, 2, "15 frames at once; train.accumulate=3 takes"),
        (4, 4, "1 frames at once; take a smaller model.input_size"),
    ],
)
def test_out_of_memory_advises_what_can_be_done(
    batch_size: int, accumulate: int, advice: str
) -> None:
    with pytest.raises(UserError, match=advice), explained(batch_size, accumulate):
        raise MemoryError


@pytest.mark.filterwarnings("ignore:.*LeafSpec")
def test_cudnn_may_try_what_is_the_fastest(
    finished: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    learnt(finished, "train.epochs=1")
    assert torch.backends.cudnn.benchmark


@pytest.mark.slow
def test_tensorboard_gets_the_curves_beside_mlflow(finished: Project) -> None:
    finished.springfield("compose", "hardware.loggers=[tensorboard]")
    if not (find_spec("tensorboard") or find_spec("tensorboardX")):
        output = finished.springfield("train", status=1)
        assert "error: hardware.loggers: pip install tensorboard" in output
        pytest.skip("the rest needs tensorboard, which is not among the requirements")
    finished.springfield("train")
    (events,) = finished.path.glob(".springfield/tensorboard/*/events.*")
    assert b"val_macro_f1" in events.read_bytes()
    assert finished.curve("val_macro_f1") == [0, 1]


def unchanged(finished: Project, *overrides: str) -> tuple[set[str], set[str]]:
    """The names of the weights that a training leaves as they were, and of all."""
    finished.springfield("compose", *overrides, "optimizer.lr=0")
    finished.springfield("train")
    start = finished.weights()
    finished.springfield("compose", *overrides)
    finished.springfield("train")
    now = finished.weights()
    return {name for name in now if torch.equal(now[name], start[name])}, set(now)


@pytest.mark.slow
def test_the_head_learns_first(finished: Project) -> None:
    same, every = unchanged(finished, "train.epochs=1", "train.head_epochs=1", "train.ema=0")
    assert every - same == {"backbone.fc.weight", "backbone.fc.bias"}


@pytest.mark.slow
def test_the_first_layers_can_stay_as_they_are(finished: Project) -> None:
    same, every = unchanged(finished, "train.epochs=2", "train.head_epochs=1", "train.frozen=2")
    learnt = {name for name in every if name.split(".")[1] not in {"conv1", "bn1", "layer1"}}
    assert every - same == {n for n in learnt if not n.endswith("num_batches_tracked")}
    output = finished.springfield("compose", "train.frozen=60", status=1)
    assert "train.frozen=60: the network has" in output


@pytest.mark.slow
def test_pictures_grow_while_training_goes_on(finished: Project) -> None:
    """Each size in an equal part of the epochs."""
    columns = ["train_loss", "val_loss"]

    def curves(sizes: str) -> pd.DataFrame:
        finished.springfield("compose", "train.epochs=4", f"train.sizes={sizes}")
        finished.springfield("train")
        return finished.metrics()[columns]

    small, grown = curves("[24]"), curves("[24,32]")
    assert grown[:2].equals(small[:2])
    assert (grown[2:] != small[2:]).all(axis=None)


@pytest.mark.slow
def test_inceptions_auxiliary_head_is_for_training_only(finished: Project) -> None:
    inception = ("model.backbone=inception_v3", "train.batch_size=4", "train.auxiliary=0.4")
    finished.springfield("compose", *inception, "model.input_size=299")
    finished.springfield("train", "--preset", "fast")
    saved = load_file(finished.path / ".springfield/debug/checkpoint/model.safetensors")
    assert not [name for name in saved if "Aux" in name]
    output = finished.springfield("compose", *inception, "model.input_size=112", status=1)
    assert "only inception_v3 from 299 pixels on has an auxiliary head; set it to 0" in output


@pytest.mark.slow
def test_training_on_smaller_pictures_than_the_network_is_used_with(finished: Project) -> None:
    def fast(*overrides: str) -> dict[str, torch.Tensor]:
        finished.springfield("compose", *overrides)
        finished.springfield("train", "--preset", "fast")
        return load_file(finished.path / ".springfield/debug/checkpoint/model.safetensors")

    same, smaller = fast(), fast("train.sizes=[24]")
    assert any(not torch.equal(tensor, smaller[name]) for name, tensor in same.items())
    used = load_checkpoint(finished.path / ".springfield/debug/checkpoint").architecture.input_size
    assert used == 32
    fixed = ("model=small_cnn_mnist", "model.backbone=small_cnn", "model.input_size=28")
    assert (
        "train.sizes: 24: small_cnn cannot take pictures of this size; leave it out, or take [] "
        "for model.input_size=28"
    ) in finished.springfield("compose", *fixed, "train.sizes=[24]", status=1)


@pytest.mark.slow
def test_overfit_learns_64_frames_by_heart_or_says_that_it_cannot(finished: Project) -> None:
    before = len(finished.runs())
    output = finished.springfield("train", "--preset", "overfit")
    assert "train accuracy on 64 frames: 100.0%" in output
    finished.springfield("compose", "optimizer.lr=1e-9")
    output = finished.springfield("train", "--preset", "overfit", status=1)
    assert "error: 64 frames are not learnt by heart" in output
    assert len(finished.runs()) == before


@pytest.mark.slow
def test_profile_says_what_took_the_time(finished: Project) -> None:
    output = finished.springfield("train", "--preset", "profile")
    assert "images per second" in output
    assert "aten::" in output
    debug = finished.path / ".springfield/debug"
    assert "aten::" in (debug / "profile.txt").read_text()
    assert (debug / "trace.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_trains(finished: Project, experiment: Path) -> None:
    """On the sample's frames and few of them, with the experiment's own recipe and network."""
    small = ("hardware=cpu", "model.weights=null", "train.batch_size=4")
    finished.springfield("compose", f"experiment={experiment.stem}", *small)
    finished.springfield("augment")
    finished.springfield("train", "--preset", "fast")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            ("hardware.devices=2", "train.batch_size=15"),
            "train.batch_size=15 cannot be divided by 2 devices",
        ),
        (("optimizer.name=adamm",), "optimizer.name: timm has no 'adamm'; near it: adam"),
        (("train.batch_size=1",), "batch norm cannot learn; take 2 or"),
        (("train.batch_size=8", "train.accumulate=8"), "or a smaller train.accumulate"),
        (("hardware.devices=[0,1]",), "hardware or train.precision: "),
        (("train.limit_batches=0.01",), "=0.01 of 7 batches is none; take at least 0.143"),
    ],
)
def test_params_that_cannot_be_trained_with_are_refused(
    finished: Project, params: tuple[str], message: str
) -> None:
    finished.springfield("compose", *params)
    assert message in finished.springfield("train", status=1)
    assert len(finished.runs()) == 1
