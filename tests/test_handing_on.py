"""A colleague gets the trained model from a DVC remote, as the README says."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from springfield.serving.predict import Predictor

from .conftest import REPOSITORY, Project

PACKAGES = REPOSITORY / "web/node_modules/onnxruntime-web"

pytestmark = pytest.mark.slow

MOVED = re.compile(r"file://(.*)/mlartifacts/")


@pytest.fixture
def shared(finished: Project) -> Project:
    """A project whose model was pushed and tagged."""
    for command in (
        "dvc remote add --default store ../store",
        "dvc push",
        "git add .dvc/config params.yaml dvc.lock reports",
    ):
        finished.run(*command.split())
    finished.commit("A model to hand on")
    author = ("-c", "user.name=test", "-c", "user.email=test@example.com")
    finished.run("git", *author, "tag", "-a", "springfield@v1.0.0", "-m", "The first one")
    return finished


def test_a_clone_pulls_everything_and_runs_nothing(shared: Project) -> None:
    colleague = Project(shared.path.parent / "colleague")
    shared.run("git", "clone", "-q", str(shared.path), str(colleague.path))
    colleague.run("dvc", "pull")
    assert colleague.repro() == []
    for name in ("models/springfield.onnx", "models/README.md", "data/split.csv"):
        assert (colleague.path / name).read_bytes() == (shared.path / name).read_bytes()
    assert colleague.run("git", "status", "--porcelain").stdout == ""


def test_the_model_alone_by_path_and_by_version(shared: Project, tmp_path: Path) -> None:
    elsewhere = Project(tmp_path / "elsewhere")
    elsewhere.path.mkdir()
    expected = (shared.path / "models/springfield.onnx").read_bytes()
    elsewhere.run("dvc", "get", "../project", "models/springfield.onnx")
    assert (elsewhere.path / "springfield.onnx").read_bytes() == expected
    (elsewhere.path / "springfield.onnx").unlink()

    shared.springfield("compose", "optimizer.lr=0.004")
    shared.repro()
    shared.commit("another model")
    assert (shared.path / "models/springfield.onnx").read_bytes() != expected
    elsewhere.run("dvc", "artifacts", "get", "../project", "springfield", "--rev", "v1.0.0")
    (got,) = elsewhere.path.rglob("springfield.onnx")
    assert got.read_bytes() == expected
    assert Predictor(got).classes


def test_without_a_remote_dvc_says_so(finished: Project) -> None:
    colleague = Project(finished.path.parent / "colleague")
    finished.run("git", "clone", "-q", str(finished.path), str(colleague.path))
    result = colleague.run("dvc", "pull", status=None)
    assert result.returncode != 0
    assert "no remote" in (result.stdout + result.stderr).lower()


@pytest.mark.parametrize("output", ["data/split.csv", "data/raw/sample.zip"])
def test_a_flipped_byte_that_dvc_takes_as_unchanged_is_found(
    finished: Project, output: str
) -> None:
    assert "are what dvc.lock says" in finished.springfield("verify")
    path = finished.path / output
    md5 = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    cached = finished.path / f".dvc/cache/files/md5/{md5[:2]}/{md5[2:]}"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    for file in (path, cached):
        before = file.stat()
        file.chmod(0o644)
        file.write_bytes(content)
        file.chmod(before.st_mode)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert finished.repro() == []
    told = finished.springfield("verify", status=1)
    assert f"rm -f .dvc/cache/files/md5/{md5[:2]}/{md5[2:]} {output}" in told
    path.unlink()
    cached.unlink()
    assert len(finished.repro()) == 1
    assert "are what dvc.lock says" in finished.springfield("verify")


def test_timm_alone_loads_the_checkpoint(done: Project) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs/training.md").read_text(), re.S)
    (written,) = [block for block in blocks if "import timm" in block]
    check = """
import torch
from springfield.stages.classification.network import load_checkpoint
model = load_checkpoint(Path("models/checkpoint"))
pixels = torch.rand(2, 3, made["input_size"], made["input_size"])
normal = [torch.tensor(made[name]).view(1, 3, 1, 1) for name in ("mean", "std")]
with torch.inference_mode():
    own = network.eval()((pixels - normal[0]) / normal[1])
    torch.testing.assert_close(own, model.logits(pixels * 255))
"""
    done.run(sys.executable, "-c", written + check)


def test_what_train_teaches_wrongly_is_listed_to_be_excluded(finished: Project) -> None:
    """With the lines of docs/data.md, and the hash that they print."""
    (written,) = re.findall(
        r"```python\n(.*?)```", (REPOSITORY / "docs/data.md").read_text(), re.DOTALL
    )
    finished.run(sys.executable, "-c", written)
    listed = pd.read_csv(finished.path / "mistakes.csv")
    assert listed["confidence"].is_monotonic_decreasing
    assert (listed["class"] != listed["predicted"]).all()
    first = listed["sha256"][0]
    finished.springfield("compose", f"data.exclude=[{{sha256: '{first}', reason: wrong}}]")
    assert "1 frames excluded from train" in finished.springfield("split")
    assert first[:16] not in (finished.path / "data/split.csv").read_text()


@pytest.mark.skipif(not shutil.which("sqlite3"), reason="sqlite3 is not installed")
def test_a_project_that_moved_finds_its_artifacts(finished: Project) -> None:
    lines = (REPOSITORY / "README.md").read_text().splitlines()
    (command,) = [line.removeprefix("$ ") for line in lines if line.startswith("$ sqlite3 ")]
    (run,) = finished.runs()
    old = MOVED.match(str(run.info.artifact_uri))
    assert old
    moved = Project(finished.path.with_name("moved"))
    finished.path.rename(moved.path)
    moved.run("bash", "-c", command.replace("/old/place", old[1]))
    (run,) = moved.runs()
    assert run.info.artifact_uri
    mlflow.set_tracking_uri(moved.store)
    params = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/params.yaml")
    assert params == (moved.path / "params.yaml").read_text()
    assert str(moved.path) in run.info.artifact_uri


@pytest.mark.skipif(not PACKAGES.is_dir(), reason="needs the page's packages: make app")
def test_a_wheel_predicts_and_shows_the_page_where_there_is_no_repository(
    done: Project, tmp_path: Path
) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("springfield_pipeline-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "models").symlink_to(done.path / "models")
    env = {**done.env, "PYTHONPATH": str(tmp_path / "installed")}

    def springfield(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "springfield", *arguments]
        return subprocess.run(
            command, cwd=elsewhere, env=env, capture_output=True, text=True, check=False
        )

    assert springfield("app", "--build", "site").returncode == 0
    site = elsewhere / "site"
    for name in ("index.html", "vendor/ort.wasm.min.mjs", "models/springfield.int8.onnx"):
        assert (site / name).stat().st_size
    picture, name = next(iter(json.loads((site / "site.json").read_text())["samples"].items()))
    assert name in springfield("predict", str(site / picture)).stdout
    runtime = next((tmp_path / "installed").rglob("ort.wasm.min.mjs"))
    runtime.unlink()
    assert "install the wheel that 'make wheel' writes" in springfield("app").stderr
