"""Instances's boxes on images to poses: crop, network, flip test, decoding, and back to the image."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from dag.augmentation.batch_transforms import normalise
from dag.boxes import Box
from dag.errors import UserError
from dag.geometry import apply_affine, crop_from_box, input_from_image, invert
from dag.image import read_image
from dag.prediction import Prediction
from dag.skeleton import Skeleton
from dag.stage import progress

SCORE_THRESHOLD = 0.2
"""Joints above it make a person's score (HRNet, TEST.IN_VIS_THRE)."""


def predict_poses(
    model: nn.Module,
    boxes: Sequence[Box],
    root: str | Path,
    skeleton: Skeleton,
    *,
    input_wh: tuple[int, int],
    flip: bool,
    batch_size: int,
    workers: int,
) -> list[Prediction]:
    """Predict the person in the middle of each box, on the device where the model is.

    Args:
        model: as `DagPose`: its `head`, and `target` and `refined_xy` of its output, are used. It is put in eval mode
            meanwhile.
        boxes: in any order; every image is decoded once.
        root: data root.
        input_wh: network input in pixels.
        flip: average with the mirrored crop.
        workers: processes that decode images.

    Returns:
        The head's output ("heatmap" or "simcc") of all boxes in the order given, then "graph" if the model has one.

    Raises:
        UserError: an image is missing or is not a picture.
    """
    by_image = _by_image(boxes)
    if not by_image:
        return []
    dataset = _ImageCrops([[boxes[index] for index in indices] for indices in by_image], root, input_wh)
    loader = DataLoader(dataset, batch_size=None, num_workers=workers)
    device = next(model.parameters()).device
    flip_index = torch.from_numpy(skeleton.flip_index).to(device)
    found = []
    with torch.inference_mode(), _eval_mode(model):
        for crops in _batches(progress(loader, "images"), batch_size):
            images = normalise(crops.to(device).permute(0, 3, 1, 2).float() / 255)
            found.append([part.cpu().double().numpy() for part in predict_crops(model, images, flip_index, flip)])
    head: Any = model.head
    given_order = np.argsort([index for indices in by_image for index in indices])
    head_xy, scores, *graph_xy = (np.concatenate(parts)[given_order] for parts in zip(*found))
    return [
        to_image(output, box, input_xy, joint_scores, input_wh)
        for output, input_xys in zip((head.output, "graph"), (head_xy, *graph_xy))
        for box, input_xy, joint_scores in zip(boxes, input_xys, scores)
    ]


def cut_crop(
    image: UInt8[np.ndarray, "h w 3"], bbox_xywh: Float[np.ndarray, "4"], input_wh: tuple[int, int]
) -> UInt8[np.ndarray, "H W 3"]:
    """The crop round a box at the network's input size, bilinear, black outside the image."""
    input_map = input_from_image(*crop_from_box(bbox_xywh, input_wh), input_wh)
    return cv2.warpAffine(image, input_map, input_wh)


def predict_crops(
    model: nn.Module, images: Float[Tensor, "B 3 H W"], flip_index: Tensor, flip: bool
) -> list[Float[Tensor, "B J 2"] | Float[Tensor, "B J"]]:
    """Joints of the head `[B, J, 2]`, their scores `[B, J]`, and the graph's joints `[B, J, 2]` if there are any.

    Joints are in input pixels. With `flip`, what the head says of the mirrored crop is mirrored back (the head's
    `mirror`) and averaged with the rest. The graph's joints are mirrored where they are.

    Args:
        images: normalised crops.
        flip_index: `Skeleton.flip_index`.
    """
    head: Any = model.head
    width, input_hw = images.shape[-1], (images.shape[-2], images.shape[-1])
    output = model(images)
    target, refined_xy = output.target, output.refined_xy
    if flip:
        mirrored = model(images.flip(-1))
        target = head.mirror(mirrored.target, flip_index).add_(target).div_(2)
        if refined_xy is not None:
            x, y = mirrored.refined_xy[:, flip_index].unbind(-1)
            refined_xy = (refined_xy + torch.stack([width - 1 - x, y], dim=-1)) / 2
    parts = list(head.decode(target, input_hw))
    return parts if refined_xy is None else [*parts, refined_xy]


def to_image(
    output: str,
    box: Box,
    input_xy: Float[np.ndarray, "J 2"],
    joint_scores: Float[np.ndarray, " J"],
    input_wh: tuple[int, int],
) -> Prediction:
    """A prediction in the image's pixels, scored by the box's score times the mean of the joints' above .2."""
    image_from_input = invert(input_from_image(*crop_from_box(box.bbox_xywh, input_wh), input_wh))
    good = joint_scores[joint_scores > SCORE_THRESHOLD]
    return Prediction(
        output=output,
        image_id=box.image_id,
        person_id=box.person_id,
        keypoints_xy=apply_affine(image_from_input, input_xy),
        joint_scores=joint_scores,
        score=box.score * float(good.mean()) if len(good) else 0.0,
    )


def torch_device(name: str) -> torch.device:
    """The device that `engine.device` names; "auto" is CUDA where there is one.

    Raises:
        UserError: "cuda" where there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("no CUDA device", expected="one", got="none", do="set engine.device: auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


class _ImageCrops(Dataset):
    """Item = crops `[n, H, W, 3]` of one image's boxes, or the `UserError` that a worker cannot raise whole."""

    def __init__(self, boxes: list[list[Box]], root: str | Path, input_wh: tuple[int, int]):
        self.boxes = boxes
        self.root = root
        self.input_wh = input_wh

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: int) -> Tensor | UserError:
        boxes = self.boxes[index]
        try:
            image = read_image(self.root, boxes[0].image_path)
        except UserError as error:
            return error
        return torch.from_numpy(np.stack([cut_crop(image, box.bbox_xywh, self.input_wh) for box in boxes]))


def _by_image(boxes: Sequence[Box]) -> list[list[int]]:
    """Indices of the boxes of each image."""
    by_image: dict[str, list[int]] = defaultdict(list)
    for index, box in enumerate(boxes):
        by_image[box.image_path].append(index)
    return list(by_image.values())


def _batches(items: Iterable[Tensor | UserError], batch_size: int) -> Iterator[UInt8[Tensor, "B H W 3"]]:
    """Crops of images to batches of `batch_size` (the last may be smaller), in the same order."""
    waiting: list[Tensor] = []
    for item in items:
        if isinstance(item, UserError):
            raise item
        waiting += item
        while len(waiting) >= batch_size:
            yield torch.stack(waiting[:batch_size])
            waiting = waiting[batch_size:]
    if waiting:
        yield torch.stack(waiting)


@contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
