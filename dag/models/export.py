"""A trained model as an ONNX file that says itself how crops go in and joints come out."""

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dag.errors import UserError
from dag.files import whole_file
from dag.geometry import BOX_PADDING
from dag.image import MEAN, STD
from dag.models.pose import DagPose
from dag.models.weights import load_model
from dag.skeleton import get_skeleton

OPSET = 18


class _Plain(nn.Module):
    """The model with tensors instead of an object, and nothing that only training reads."""

    def __init__(self, model: DagPose):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        output = self.model(images)
        return (output.target,) if output.refined_xy is None else (output.target, output.refined_xy)


def export_onnx(folder: str | Path, path: str | Path) -> dict[str, str]:
    """Write the model of a folder (`dag.models.weights.save_model`) as ONNX, whole or not at all.

    Input `images` `[batch, 3, H, W]`, normalised RGB crops, any batch. Output `heatmaps` `[batch, J, h, w]` (or `simcc`
    `[batch, J, 2 W + 2 H]`), and with a graph `refined_xy` `[batch, J, 2]` in input pixels.

    Returns:
        The file's metadata: skeleton, input, preprocessing and postprocessing, each json or a sentence.

    Raises:
        UserError: no model in the folder, or the package onnx is not installed.
    """
    model, input_wh = load_model(folder)
    try:
        import onnx  # an extra: only this needs it
        import onnxscript as _  # noqa: F401  torch writes ONNX by it
    except ImportError as error:
        raise UserError(f"{error.name} is not installed", do="pip install 'dag-pose[export]'") from None
    metadata = describe(model, input_wh)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it remarks that torchvision is not there
    names = [model.head.output if not model.head.has_heatmaps else "heatmaps", "refined_xy"]
    images = torch.zeros(2, 3, input_wh[1], input_wh[0])
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        program: Any = torch.onnx.export(
            _Plain(model),
            (images,),
            input_names=["images"],
            output_names=names[: 1 + (model.graph is not None)],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    network = program.model_proto
    onnx.helper.set_model_props(network, metadata)
    with whole_file(path) as partial:
        onnx.save(network, str(partial))
    return metadata


def describe(model: DagPose, input_wh: tuple[int, int]) -> dict[str, str]:
    """What a program that has nothing but the file must know."""
    options = model.options or {}
    skeleton = get_skeleton(options["skeleton"])
    heatmaps = (
        f"heatmaps coded as {options['codec']} (dag.models.heads.codecs), sigma {options['sigma']} heatmap pixels"
    )
    bins = "simcc: logits of 2 W bins along x, then 2 H bins along y; bin b is input pixel b / 2"
    joints = {"joints": skeleton.joints, "flip_pairs": skeleton.pairs, "bones": skeleton.bones}
    before = {
        "crop": f"box padded {BOX_PADDING} times at the input's aspect, its centre at (W / 2, H / 2); black outside",
        "frame": "pixel index: the centre of the first pixel is (0, 0)",
        "channels": "RGB, 0-255, then (grey / 255 - mean) / std",
        "mean": MEAN,
        "std": STD,
    }
    return {
        "skeleton": json.dumps({"name": skeleton.name, **joints, "sigmas": skeleton.sigmas}),
        "input": json.dumps({"width": input_wh[0], "height": input_wh[1]}),
        "preprocessing": json.dumps(before),
        "postprocessing": f"{heatmaps if model.head.has_heatmaps else bins}; refined_xy: joints in input pixels",
    }
