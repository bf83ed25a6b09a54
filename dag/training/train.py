"""The training loop; a killed run resumes from its last completed epoch."""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning as L
import torch
from dvclive.lightning import DVCLiveLogger
from lightning.pytorch.callbacks import ProgressBar, WeightAveraging
from torch.optim.swa_utils import get_ema_multi_avg_fn

from dag.callbacks import Curves, SaveState, StopOnSignal, lost_process, progress_callbacks
from dag.errors import UserError
from dag.inference.predictor import torch_device
from dag.training.checkpoint_selection import CheckpointSelection
from dag.training.data import PoseData
from dag.training.divergence import DivergenceCheck
from dag.training.module import PoseTraining
from dag.training.trainer_options import process_options

PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed"}
"""Lightning's names."""
AUTO_PRECISION = {"cpu": "fp32", "cuda": "bf16"}
TIMEOUT = timedelta(minutes=10)
"""How long a process waits for the others, e.g. while process 0 evaluates or writes to a slow disk, or torch compiles.

The launcher, or a broken connection, reports a lost process earlier.
"""


def train_pose(
    module: PoseTraining,
    data: PoseData,
    *,
    epochs: int,
    validate_every: int,
    validate: Callable[[torch.nn.Module], dict[str, float]],
    state: Path,
    device: str,
    precision: str = "auto",
    compile: bool = False,
    ema: float = 0.0,
    max_grad_norm: float = 0.0,
    accumulate: int = 1,
    early_stop: int = 0,
    devices: int | str = 1,
    nodes: int = 1,
    strategy: str = "auto",
) -> bool:
    """Train `module` in place and write everything below `state`.

    `last` and `best`: model folders (`dag.models.weights.load_model`), the best by the last of the validation metrics.
    `last.ckpt`: the resume state of the last completed epoch. `live`: curves. `speed.tsv`: throughput per epoch.

    Args:
        epochs, validate_every: validation takes place every `validate_every` epochs and after the last one.
        validate: maps a model in eval mode to named metrics; called in all processes.
        state: folder of this run (`dag.callbacks.state_folder`); a run with a resume state there is resumed.
        device: "auto", "cpu" or "cuda".
        precision: "fp32", "bf16" (mixed), or "auto": bf16 on CUDA.
        compile: torch.compile the model.
        ema: decay of the moving average of the weights, which is validated and saved instead of them; 0: none.
        max_grad_norm: gradient clipping, total norm; 0: none.
        accumulate: batches per optimiser step.
        early_stop: validations without improvement after which training ends; 0: never.
        devices, nodes, strategy: as `dag.training.trainer_options.process_options`.

    Returns:
        Whether this is process 0, which writes the outputs.

    Raises:
        UserError: more devices than available, more processes than persons per batch, a loss or gradient that is not
            finite, or another process has ended.
    """
    accelerator, last = torch_device(device).type, state / "last.ckpt"
    processes = process_options(accelerator, devices, nodes, strategy, TIMEOUT)
    _check_batch_size(data.batch_size, processes["devices"] * nodes)
    if compile:
        module.model.compile()
    selection = CheckpointSelection(validate, validate_every, early_stop, state)
    callbacks = _callbacks(selection, data.batch_size, state, ema, max_grad_norm)
    with _quiet_lightning():
        precision = AUTO_PRECISION[accelerator] if precision == "auto" else precision
        options = {"max_epochs": epochs, "precision": PRECISIONS[precision], "accumulate_grad_batches": accumulate}
        trainer = _trainer(callbacks, state, **processes, **options)
        with lost_process(trainer):
            trainer.fit(module, data, ckpt_path=str(last) if last.exists() else None, weights_only=True)
    return trainer.is_global_zero


def _check_batch_size(batch_size: int, world_size: int) -> None:
    if world_size > batch_size:
        where, expected = "engine.devices x engine.nodes", f"at most {batch_size}, the batch size"
        raise UserError("more processes than persons per batch", where=where, expected=expected, got=world_size)


def _callbacks(
    selection: CheckpointSelection, batch_size: int, state: Path, ema: float, max_grad_norm: float
) -> list[L.Callback]:
    """All callbacks of a run, in the order in which they must act at the end of an epoch."""
    return [
        *([WeightAveraging(multi_avg_fn=get_ema_multi_avg_fn(ema))] if ema else []),
        DivergenceCheck(max_grad_norm, state),
        StopOnSignal(),
        *progress_callbacks(state / "speed.tsv", batch_size),
        selection,
        Curves(selection),
        SaveState(state / "last.ckpt"),
    ]


def _trainer(callbacks: list[L.Callback], state: Path, **options: Any) -> L.Trainer:
    return L.Trainer(
        **options,
        logger=DVCLiveLogger(dir=str(state / "live"), dvcyaml=None, save_dvc_exp=False),
        callbacks=callbacks,
        log_every_n_steps=1,
        reload_dataloaders_every_n_epochs=1,
        use_distributed_sampler=False,
        default_root_dir=state,
        enable_model_summary=False,
        enable_progress_bar=any(isinstance(callback, ProgressBar) for callback in callbacks),
        num_sanity_val_steps=0,
        deterministic="warn",
    )


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Silence Lightning's tips, and warnings about loaders that are as they should be."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # Crops are cut from mapped memory: on a CPU, loader processes would only take its cores.
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        # Every epoch has its own batches, so a new loader.
        warnings.filterwarnings("ignore", ".*persistent_workers.*")
        # Lightning 2.6.6 uses a deprecated attribute of torch.
        warnings.filterwarnings("ignore", ".*LeafSpec.*", FutureWarning)
        yield
