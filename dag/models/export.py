"""Export of a trained model to ONNX, with its preprocessing and postprocessing in the metadata of the file."""

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


class _TensorOutputs(nn.Module):
    """The model with a tuple of tensors as its output, without outputs that only training uses."""

    def __init__(self, model: DagPose):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        output = self.model(images)
        return (output.target,) if output.refined_xy is None else (output.target, output.refined_xy)


def export_onnx(folder: str | Path, path: str | Path) -> dict[str, str]:
    """Write the model of a folder (`dag.models.weights.save_model`) as ONNX, atomically; return its metadata.

    Input: `images` `[batch, 3, H, W]`, normalised RGB crops, of any batch size. Outputs: `heatmaps` `[batch, J, h, w]`
    (or the head's `output`, e.g. `simcc` `[batch, J, 2 W + 2 H]`), and with a graph `refined_xy` `[batch, J, 2]` in
    input pixels.

    Returns:
        The metadata: skeleton, input, preprocessing and postprocessing, each json or a sentence.

    Raises:
        UserError: the folder contains no model, or the package onnx is not installed.
    """
    model, input_wh = load_model(folder)
    try:
        import onnx  # optional dependency
        import onnxscript as _  # noqa: F401  used by torch.onnx
    except ImportError as error:
        raise UserError(f"{error.name} is not installed", do="pip install 'dag-pose[export]'") from None
    metadata = describe(model, input_wh)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it reports that torchvision is missing
    names = ["heatmaps" if model.head.has_heatmaps else model.head.output, "refined_xy"]
    images = torch.zeros(2, 3, input_wh[1], input_wh[0])
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        program: Any = torch.onnx.export(
            _TensorOutputs(model),
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
    """Metadata that a program needs to run the file: skeleton, input size, preprocessing and postprocessing."""
    skeleton = get_skeleton((model.options or {})["skeleton"])
    joints = {"joints": skeleton.joints, "flip_pairs": skeleton.pairs, "bones": skeleton.bones}
    preprocessing = {
        "crop": f"bounding box padded {BOX_PADDING} times at the input's aspect ratio, its centre at (W / 2, H / 2); "
        "black outside the image",
        "frame": "pixel index: the centre of the first pixel is (0, 0)",
        "channels": "RGB, 0-255, then (value / 255 - mean) / std",
        "mean": MEAN,
        "std": STD,
    }
    return {
        "skeleton": json.dumps({"name": skeleton.name, **joints, "sigmas": skeleton.sigmas}),
        "input": json.dumps({"width": input_wh[0], "height": input_wh[1]}),
        "preprocessing": json.dumps(preprocessing),
        "postprocessing": f"{model.head.description}; refined_xy: keypoints in input pixels",
    }
