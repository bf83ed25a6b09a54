"""Training from start to end, or from where it was killed."""

import warnings
from collections.abc import Callable
from pathlib import Path

import lightning as L
import torch
from dvclive.lightning import DVCLiveLogger
from lightning.pytorch.callbacks import TQDMProgressBar

from dag.training.callbacks import SaveState, ValidateAP
from dag.training.data import PoseData
from dag.training.module import PoseTraining


def train_pose(
    module: PoseTraining,
    data: PoseData,
    *,
    epochs: int,
    validate_every: int,
    figures: Callable[[torch.nn.Module], dict[str, float]],
    state: Path,
    device: str,
) -> None:
    """Train `module` in place; curves are written to `state / "live"`, the state of the last epoch beside them.

    Args:
        figures: named validation figures of a model in eval mode.
        state: folder of this run (dag.training.state.state_folder); where it holds a state, training goes on from it.
        device: "auto", "cpu" or "cuda".
    """
    last = state / "last.ckpt"
    trainer = L.Trainer(
        accelerator="gpu" if device == "cuda" else device,
        devices=1,
        max_epochs=epochs,
        logger=DVCLiveLogger(dir=str(state / "live"), resume=last.exists(), dvcyaml=None, save_dvc_exp=False),
        callbacks=[ValidateAP(figures, validate_every), SaveState(last), TQDMProgressBar()],
        log_every_n_steps=1,
        reload_dataloaders_every_n_epochs=1,
        default_root_dir=state,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        deterministic="warn",
    )
    with warnings.catch_warnings():
        # The batches are cut in memory that is mapped already: on a CPU, loader processes would only take its cores.
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        trainer.fit(module, data, ckpt_path=str(last) if last.exists() else None, weights_only=True)
