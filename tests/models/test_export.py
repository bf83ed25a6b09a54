"""ONNX outputs equal those of PyTorch on real crops, for any batch size."""

import json
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import torch

from dag.augmentation.batch_transforms import normalise
from dag.convert.coco import read_coco
from dag.errors import UserError
from dag.image import read_image
from dag.inference.predictor import cut_crop
from dag.models.export import export_onnx
from dag.models.pose import build_model
from dag.models.weights import load_model, save_model
from dag.skeleton import COCO17
from tests.imports import ROOT


def saved(folder, **options):
    """Folder of a model with non-trivial weights and running statistics."""
    torch.manual_seed(0)
    model = build_model("hrnet_tiny", input_wh=(96, 128), center_jitter=0, **options)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(layer.weight)
        for _ in range(20):
            model(torch.randn(4, 3, 128, 96))
    save_model(model, folder)
    return folder


@pytest.fixture(scope="module")
def crops(real_data):
    """Ten persons of real images, normalised."""
    root = real_data / "data/coco"
    people, _ = read_coco(
        root / "annotations/person_keypoints_val2017.json", dataset="coco", split="val", skeleton=COCO17,
        image_folder="val2017",
    )  # fmt: skip
    people = [person for person in people if person.num_keypoints > 5][:10]
    pixels = [cut_crop(read_image(root, person.image_path), person.bbox_xywh, (96, 128)) for person in people]
    return normalise(torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255)


@pytest.mark.parametrize(
    "options",
    [{"adam": True, "graph": True}, {"head": "simcc", "graph": True}, {"codec": "udp", "skeleton": "crowdpose14"}],
)
def test_onnx_equals_torch(options, crops, tmp_path):
    export_onnx(saved(tmp_path / "pose", **options), tmp_path / "pose.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "pose.onnx")
    model, _ = load_model(tmp_path / "pose")
    for images in (crops, crops[:1]):
        with torch.inference_mode():
            output = model(images)
        outputs = session.run(None, {"images": images.numpy()})
        expected = output.target.numpy()
        np.testing.assert_allclose(outputs[0], expected, rtol=0, atol=1e-4 * np.abs(expected).max())
        if output.refined_xy is not None:
            np.testing.assert_allclose(outputs[1], output.refined_xy.numpy(), atol=1e-4 * 128)
        assert len(outputs) == 1 + (output.refined_xy is not None)
    metadata = session.get_modelmeta().custom_metadata_map
    skeleton, preprocessing = json.loads(metadata["skeleton"]), json.loads(metadata["preprocessing"])
    assert len(skeleton["joints"]) == model.head.joints
    assert json.loads(metadata["input"]) == {"width": 96, "height": 128}
    assert preprocessing["mean"] == [0.485, 0.456, 0.406]
    assert metadata["postprocessing"].startswith("simcc" if options.get("head") else "heatmaps encoded by")
    assert not list(tmp_path.glob("*.partial"))


def test_without_onnx_the_error_is_one_line(tmp_path):
    saved(tmp_path / "pose")
    without_onnx = "import sys; sys.modules['onnx'] = None; from dag.cli.main import main; main()"
    command = [
        sys.executable,
        "-c",
        without_onnx,
        "export",
        "--model",
        str(tmp_path / "pose"),
        "--out",
        str(tmp_path / "x"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "error: onnx is not installed; pip install 'dag-pose[export]'\n"
    assert not (tmp_path / "x").exists()


def test_missing_model(tmp_path):
    with pytest.raises(UserError, match=r"config.json: no such file"):
        export_onnx(tmp_path, tmp_path / "x.onnx")
