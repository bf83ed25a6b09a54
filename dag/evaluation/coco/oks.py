"""Object keypoint similarity, as COCO defines it (cocodataset.org/#keypoints-eval).

Equal to pycocotools' `COCOeval.computeOks` for persons with labelled joints.
"""

import numpy as np
from jaxtyping import Float, Int8


def joint_similarity(
    predicted_xy: Float[np.ndarray, "*#shape J 2"],
    gt_xy: Float[np.ndarray, "*#shape J 2"],
    area: Float[np.ndarray, "*#shape"],
    sigmas: Float[np.ndarray, " J"],
) -> Float[np.ndarray, "*#shape J"]:
    """Keypoint similarity exp(-d^2 / (2 s^2 k^2)), with s^2 the person's area and k = 2 sigma: 1 at distance 0.

    Args:
        predicted_xy, gt_xy: image pixels; leading axes broadcast.
        area: of the ground-truth person, square pixels.
        sigmas: the skeleton's OKS constants.
    """
    squared = ((predicted_xy - gt_xy) ** 2).sum(-1)
    return np.exp(-squared / (2 * sigmas) ** 2 / (area[..., None] + np.spacing(1)) / 2)


def oks(
    predicted_xy: Float[np.ndarray, "*#shape J 2"],
    gt_xy: Float[np.ndarray, "*#shape J 2"],
    visibility: Int8[np.ndarray, "*#shape J"],
    area: Float[np.ndarray, "*#shape"],
    sigmas: Float[np.ndarray, " J"],
) -> Float[np.ndarray, "*#shape"]:
    """Mean similarity over the ground-truth person's labelled joints (visibility above 0); NaN without any.

    Leading axes broadcast: `oks(predicted_xy[:, None], gt_xy[None], visibility[None], area[None], sigmas)` compares
    every prediction with every person.
    """
    similarity = joint_similarity(predicted_xy, gt_xy, area, sigmas)
    labelled = np.broadcast_to(visibility > 0, similarity.shape)
    count = labelled.sum(-1)
    return np.where(count > 0, (similarity * labelled).sum(-1) / np.maximum(count, 1), np.nan)
