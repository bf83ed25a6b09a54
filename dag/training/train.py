"""Training from start to end, or from where it was killed."""

import logging
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import lightning as L
import torch
from dvclive.lightning import DVCLiveLogger
from lightning.pytorch.callbacks import ProgressBar, WeightAveraging
from torch.optim.swa_utils import get_ema_multi_avg_fn

from dag.callbacks.curves import Curves
from dag.callbacks.progress import progress_callbacks
from dag.callbacks.save_state import SaveState
from dag.callbacks.stopping import StopOnSignal, lost_process
from dag.errors import UserError
from dag.inference.predictor import torch_device
from dag.training.checkpoint_selection import CheckpointSelection
from dag.training.data import PoseData
from dag.training.divergence import DivergenceCheck
from dag.training.engine import process_options
from dag.training.module import PoseTraining

PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed"}
LOST_AFTER = timedelta(minutes=10)
"""How long a process waits for the others: for the first one to judge, to write on a slow disk, for torch to compile.

Whoever started the processes, and the connection where it breaks, tell earlier that one is gone.
"""


def train_pose(
    module: PoseTraining,
    data: PoseData,
    *,
    epochs: int,
    validate_every: int,
    metrics: Callable[[torch.nn.Module], dict[str, float]],
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
    """Train `module` in place. Everything is written below `state`:

    `last` and `best`: models (`dag.models.weights.load_model`), by the last of the `synthetic`; `last.ckpt`: all that a rerun
    needs, of the last whole epoch; `live`: curves; `speed.tsv`: of every epoch.

    Args:
        epochs, validate_every: a validation each so many epochs and behind the last one.
        metrics: named validation metrics of a model in eval mode; called by all processes.
        state: folder of this run (dag.callbacks.resume_state.state_folder); where it holds a state, training goes on from it.
        device: "auto", "cpu" or "cuda".
        precision: "fp32", "bf16" (mixed), or "auto": bf16 on CUDA.
        compile: torch.compile the model.
        ema: decay of the moving average of the weights that is validated and kept; 0: the weights themselves.
        max_grad_norm: largest norm of all gradients; 0: none.
        accumulate: batches a step.
        early_stop: validations without gain behind which training ends; 0: none.
        devices, nodes, strategy: processes a node ("auto": all CUDA devices, one on a CPU), nodes, and how they work
            together ("auto" or "ddp").

    Returns:
        Whether this is the process that writes what comes out.

    Raises:
        UserError: more devices than there are, more processes than people a batch, a loss or gradient that is not
            finite, another process that is gone.
    """
    kind = torch_device(device).type
    last = state / "last.ckpt"
    keep = CheckpointSelection(metrics, validate_every, early_stop, state)
    average = [WeightAveraging(multi_avg_fn=get_ema_multi_avg_fn(ema))] if ema else []
    together = process_options(kind, devices, nodes, strategy, LOST_AFTER)
    if (count := together["devices"] * nodes) > data.batch_size:
        expected = f"at most {data.batch_size}, the people of a batch"
        raise UserError(
            "more processes than people", where="engine.devices x engine.nodes", expected=expected, got=count
        )
    if compile:
        module.model.compile()
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)  # tips
    shown = progress_callbacks(state / "speed.tsv", data.batch_size)
    with warnings.catch_warnings():
        # The batches are cut in memory that is mapped already: on a CPU, loader processes would only take its cores.
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        warnings.filterwarnings(
            "ignore", ".*persistent_workers.*"
        )  # each epoch has batches of its own, so a new loader
        warnings.filterwarnings("ignore", ".*LeafSpec.*", FutureWarning)  # Lightning 2.6.6 asks torch in an old way
        trainer = L.Trainer(
            **together,
            max_epochs=epochs,
            precision=PRECISIONS[("bf16" if kind == "cuda" else "fp32") if precision == "auto" else precision],  # type: ignore[arg-type]
            accumulate_grad_batches=accumulate,
            logger=DVCLiveLogger(dir=str(state / "live"), dvcyaml=None, save_dvc_exp=False),
            callbacks=[
                *average,
                DivergenceCheck(max_grad_norm, state),
                StopOnSignal(),
                *shown,
                keep,
                Curves(keep),
                SaveState(last),
            ],
            log_every_n_steps=1,
            reload_dataloaders_every_n_epochs=1,
            use_distributed_sampler=False,
            default_root_dir=state,
            enable_model_summary=False,
            enable_progress_bar=any(isinstance(callback, ProgressBar) for callback in shown),
            num_sanity_val_steps=0,
            deterministic="warn",
        )
        with lost_process(trainer):
            trainer.fit(module, data, ckpt_path=str(last) if last.exists() else None, weights_only=True)
    return trainer.is_global_zero
