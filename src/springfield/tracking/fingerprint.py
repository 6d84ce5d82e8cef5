"""What a result was made from: hashes of the params, code and data of a stage."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import yaml

from springfield.files import sha256

TEMPLATE = re.compile(r"\$\{([\w.]+)\}")


def fingerprint(stage: str, workspace: Path) -> dict[str, str]:
    """The SHA-256 of what `dvc.yaml` lists for a stage: `params`, `code` and `data`.

    Args:
        stage: its name.
        workspace: the folder with `dvc.yaml` and `params.yaml`.
    """
    listed = yaml.safe_load((workspace / "dvc.yaml").read_text())["stages"][stage]
    params = yaml.safe_load((workspace / "params.yaml").read_text())
    chosen = {key: _lookup(params, key) for key in listed["params"]}
    parts: dict[str, list[str]] = {"params": [json.dumps(chosen, sort_keys=True)]}
    for dep in sorted({_resolved(dep, params) for dep in listed["deps"]}):
        part = parts.setdefault("code" if dep.startswith("src/") else "data", [])
        path = workspace / dep
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        part += [f"{file.relative_to(workspace)} {sha256(file)}" for file in files]
    return {
        name: hashlib.sha256("\n".join(part).encode()).hexdigest() for name, part in parts.items()
    }


def _resolved(dep: str, params: Any) -> str:
    """A path with the params that DVC puts in for `${...}`."""
    return TEMPLATE.sub(lambda found: str(_lookup(params, found[1])), dep)


def _lookup(params: Any, key: str) -> Any:
    for part in key.split("."):
        params = params[part]
    return params
