"""What a result was made from: hashes of the params, code and data of a stage."""

import hashlib
import json
from functools import reduce
from operator import getitem
from pathlib import Path

import yaml
from omegaconf import OmegaConf

from springfield.files import sha256


def listed(stage: str, workspace: Path) -> dict[str, list[str]]:
    """What `dvc.yaml` lists for a stage, with `${...}` filled in as DVC does.

    Args:
        stage: its name.
        workspace: the folder with `dvc.yaml` and `params.yaml`.
    """
    said = yaml.safe_load((workspace / "dvc.yaml").read_text())["stages"][stage]
    params = yaml.safe_load((workspace / "params.yaml").read_text())
    content: dict[str, list[str]] = OmegaConf.to_container(
        OmegaConf.create({**params, "said": said}).said, resolve=True
    )  # type: ignore[assignment]
    return content


def fingerprint(stage: str, workspace: Path) -> dict[str, str]:
    """The SHA-256 of what `dvc.yaml` lists for a stage: `params`, `code` and `data`.

    Args:
        stage: its name.
        workspace: the folder with `dvc.yaml` and `params.yaml`.
    """
    params = yaml.safe_load((workspace / "params.yaml").read_text())
    said = listed(stage, workspace)
    chosen = {key: reduce(getitem, key.split("."), params) for key in said["params"]}
    parts: dict[str, list[str]] = {"params": [json.dumps(chosen, sort_keys=True)]}
    for dep in sorted(set(said["deps"])):
        part = parts.setdefault("code" if dep.startswith("src/") else "data", [])
        path = workspace / dep
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        part += [f"{file.relative_to(workspace)} {sha256(file)}" for file in files]
    return {
        name: hashlib.sha256("\n".join(part).encode()).hexdigest() for name, part in parts.items()
    }
