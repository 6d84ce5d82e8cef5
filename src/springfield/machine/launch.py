"""How the processes of a training were started, and how many they are."""

import os
from typing import TYPE_CHECKING

from springfield.machine.errors import UserError

if TYPE_CHECKING:
    from springfield.machine.hardware import HardwareParams


def processes(hardware: "HardwareParams") -> tuple[int | list[int], int]:
    """Devices of this node (how many, or their numbers), and nodes.

    Raises:
        UserError: other processes were started than these need.
    """
    nodes = hardware.nodes
    devices = _all_devices(hardware) if hardware.devices == "auto" else hardware.devices
    wanted = len(devices) if isinstance(devices, list) else devices
    if started := launched():
        if started[0] < wanted or started[1] < nodes:
            raise UserError(
                f"{started[0]} processes a node on {started[1]} nodes would leave some of {wanted} "
                f"devices a node on {nodes} nodes unused; call it with {_call(wanted, nodes)}, or "
                f"set hardware.devices={started[0]} hardware.nodes={started[1]}"
            )
        return started
    if (world := os.environ.get("WORLD_SIZE", str(wanted * nodes))) != str(wanted * nodes):
        raise UserError(
            f"WORLD_SIZE={world} of the environment does not fit hardware.devices={wanted} x "
            f"hardware.nodes={nodes}; start all processes with torchrun or srun, or unset it"
        )
    return devices, nodes


def _all_devices(hardware: "HardwareParams") -> int:
    import torch

    return 1 if hardware.accelerator == "cpu" else max(1, torch.cuda.device_count())


def launched() -> tuple[int, int] | None:
    """Processes of this node, and nodes, where torchrun or SLURM started them; else None.

    Raises:
        UserError: the nodes do not have the same number of processes.
    """
    env = os.environ
    if by_torchrun():
        world, nodes = int(env["WORLD_SIZE"]), int(env["GROUP_WORLD_SIZE"])
        here = int(env["LOCAL_WORLD_SIZE"])
    elif by_slurm():
        world = int(env["SLURM_NTASKS"])
        if world == 1:  # a step of one task, whatever the job has
            return 1, 1
        nodes, here = int(env["SLURM_NNODES"]), int(env.get("SLURM_NTASKS_PER_NODE", 0))
    else:
        return None
    if here * nodes != world:
        raise UserError(
            f"{world} processes on {nodes} nodes, but {here or 'no known number'} on this one: "
            f"start the same number on each, with {_call(-(-world // nodes), nodes)}"
        )
    return here, nodes


def by_torchrun() -> bool:
    """Whether torchrun started this, perhaps within a job of SLURM."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def by_slurm() -> bool:
    """Whether SLURM started this, and not for a person at a terminal."""
    if "SLURM_PROCID" not in os.environ or by_torchrun():
        return False
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

    return SLURMEnvironment.detect()


def _call(here: int, nodes: int) -> str:
    if by_torchrun():
        return f"torchrun --nnodes={nodes} --nproc-per-node={here}"
    return f"srun --nodes={nodes} --ntasks-per-node={here}"


def is_first_process() -> bool:
    """Whether this is the only one, or the first that Lightning, torchrun or SLURM started."""
    if "RANK" in os.environ:  # torchrun, perhaps within a job of SLURM
        return os.environ["RANK"] == "0"
    ranks = ("NODE_RANK", "LOCAL_RANK", "SLURM_PROCID")
    return all(os.environ.get(name, "0") == "0" for name in ranks)


def is_started_by_first() -> bool:
    """Whether Lightning started this from the first process of the machine."""
    known = "RANK" in os.environ or "SLURM_PROCID" in os.environ
    return not known and os.environ.get("LOCAL_RANK", "0") != "0"
