"""Images and bounding boxes to keypoints: crop, network, flip test, decoding, transform back to the image."""

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
"""Joints with a higher score count in the score of the pose (HRNet, TEST.IN_VIS_THRE)."""


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
    """Predict the pose of the person in each bounding box, on the model's device.

    Args:
        model: as `DagPose`; it needs `head`, and `target` and `refined_xy` of its output. It is in eval mode during the
            call.
        boxes: in any order; every image is decoded once.
        root: data root.
        input_wh: network input in pixels.
        flip: flip test (average with the mirrored crop).
        workers: processes that decode images.

    Returns:
        The head's output ("heatmap" or "simcc") for all boxes in the given order, then "graph" if the model has one.

    Raises:
        UserError: a missing or unreadable image.
    """
    indices_by_image = _group_by_image(boxes)
    if not indices_by_image:
        return []
    dataset = _ImageCrops([[boxes[index] for index in indices] for indices in indices_by_image], root, input_wh)
    loader = DataLoader(dataset, batch_size=None, num_workers=workers)
    device = next(model.parameters()).device
    flip_index = torch.from_numpy(skeleton.flip_index).to(device)
    batches = []
    with torch.inference_mode(), _eval_mode(model):
        for crops in _batches(progress(loader, "images"), batch_size):
            images = normalise(crops.to(device).permute(0, 3, 1, 2).float() / 255)
            batches.append([part.cpu().double().numpy() for part in predict_crops(model, images, flip_index, flip)])
    head: Any = model.head
    given_order = np.argsort([index for indices in indices_by_image for index in indices])
    head_xy, scores, *graph_xy = (np.concatenate(parts)[given_order] for parts in zip(*batches))
    return [
        to_image(output, box, input_xy, joint_scores, input_wh)
        for output, output_xy in zip((head.output, "graph"), (head_xy, *graph_xy))
        for box, input_xy, joint_scores in zip(boxes, output_xy, scores)
    ]


def cut_crop(
    image: UInt8[np.ndarray, "h w 3"], bbox_xywh: Float[np.ndarray, "4"], input_wh: tuple[int, int]
) -> UInt8[np.ndarray, "H W 3"]:
    """The person crop of a bounding box at the network's input size, bilinear, black outside the image."""
    affine = input_from_image(*crop_from_box(bbox_xywh, input_wh), input_wh)
    return cv2.warpAffine(image, affine, input_wh)


def predict_crops(
    model: nn.Module, images: Float[Tensor, "B 3 H W"], flip_index: Tensor, flip: bool
) -> list[Float[Tensor, "B J 2"] | Float[Tensor, "B J"]]:
    """Keypoints of the head `[B, J, 2]`, their scores `[B, J]`, and keypoints of the graph `[B, J, 2]` if it exists.

    Keypoints are in input pixels. With `flip`, the head's output for the mirrored crop is mirrored back (`head.mirror`)
    and averaged with the other before decoding; the graph's keypoints are averaged as coordinates.

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
    """The prediction in image pixels; its score is the box score times the mean of joint scores above the threshold."""
    image_from_input = invert(input_from_image(*crop_from_box(box.bbox_xywh, input_wh), input_wh))
    confident = joint_scores[joint_scores > SCORE_THRESHOLD]
    return Prediction(
        output=output,
        image_id=box.image_id,
        person_id=box.person_id,
        keypoints_xy=apply_affine(image_from_input, input_xy),
        joint_scores=joint_scores,
        score=box.score * float(confident.mean()) if len(confident) else 0.0,
    )


def torch_device(name: str) -> torch.device:
    """The torch device for `engine.device`; "auto" is CUDA if available.

    Raises:
        UserError: "cuda" without a CUDA device.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("no CUDA device", expected="one", got="none", do="set engine.device: auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


class _ImageCrops(Dataset):
    """Dataset of images: an item is the crops `[n, H, W, 3]` of one image's boxes.

    A `UserError` is returned, because an error raised in a loader process loses its type and message.
    """

    def __init__(self, boxes_by_image: list[list[Box]], root: str | Path, input_wh: tuple[int, int]):
        self.boxes_by_image = boxes_by_image
        self.root = root
        self.input_wh = input_wh

    def __len__(self) -> int:
        return len(self.boxes_by_image)

    def __getitem__(self, index: int) -> Tensor | UserError:
        boxes = self.boxes_by_image[index]
        try:
            image = read_image(self.root, boxes[0].image_path)
        except UserError as error:
            return error
        return torch.from_numpy(np.stack([cut_crop(image, box.bbox_xywh, self.input_wh) for box in boxes]))


def _group_by_image(boxes: Sequence[Box]) -> list[list[int]]:
    """Indices of the boxes of each image."""
    indices: dict[str, list[int]] = {}
    for index, box in enumerate(boxes):
        indices.setdefault(box.image_path, []).append(index)
    return list(indices.values())


def _batches(items: Iterable[Tensor | UserError], batch_size: int) -> Iterator[UInt8[Tensor, "B H W 3"]]:
    """Crops of images as batches of `batch_size` (the last one may be smaller), in the same order."""
    pending: list[Tensor] = []
    for item in items:
        if isinstance(item, UserError):
            raise item
        pending += item
        while len(pending) >= batch_size:
            yield torch.stack(pending[:batch_size])
            pending = pending[batch_size:]
    if pending:
        yield torch.stack(pending)


@contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
