"""A trained network in a folder, without anything that a load could run."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from springfield.files import atomic, write_json
from springfield.machine.errors import UserError


def save_checkpoint(
    model: nn.Module, folder: Path, made_from: dict[str, str], precision: str
) -> None:
    """Write a new folder.

    Args:
        model: becomes `model.safetensors`, its dataclass `architecture` `architecture.json`.
        folder: to write.
        made_from: hashes of params, code and data: `made_from.json`.
        precision: that it was trained in, by Lightning's name: `training.json`.
    """
    architecture: Any = model.architecture
    with atomic(folder, directory=True) as partial:
        state = {name: value.contiguous().cpu() for name, value in model.state_dict().items()}
        save_file(state, partial / "model.safetensors")
        write_json(partial / "architecture.json", asdict(architecture))
        write_json(partial / "made_from.json", made_from)
        write_json(partial / "training.json", {"precision": precision})


def read_checkpoint(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The architecture and the weights.

    Raises:
        UserError: there are none.
    """
    try:
        architecture = json.loads((folder / "architecture.json").read_text())
        return architecture, load_file(folder / "model.safetensors")
    except FileNotFoundError as error:
        raise UserError(f"{folder} has no checkpoint; run 'springfield train' first") from error


def made_from(folder: Path) -> dict[str, str]:
    """The hashes of the params, code and data that it was made from."""
    return dict(json.loads((folder / "made_from.json").read_text()))


def trained_in(folder: Path) -> str:
    """Lightning's name of the precision that it was trained in."""
    return str(json.loads((folder / "training.json").read_text())["precision"])
