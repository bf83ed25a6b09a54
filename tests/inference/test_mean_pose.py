"""The mean-pose baseline."""

from dataclasses import replace

import numpy as np
import pytest

from dag.boxes import boxes_of
from dag.errors import UserError
from dag.inference.mean_pose import fit_mean_pose, place_mean_pose, read_mean_pose, write_mean_pose
from dag.skeleton import COCO17, CROWDPOSE14
from tests.toy import people


def test_one_pose_in_boxes_of_all_sizes_is_recovered():
    pose = np.random.default_rng(0).random((17, 2))
    persons = [
        replace(
            person,
            keypoints_xy=np.where(
                person.visibility[:, None] > 0, person.bbox_xywh[:2] + pose * person.bbox_xywh[2:], 0.0
            ),
        )
        for person in people(COCO17, 30)
    ]
    mean_pose = fit_mean_pose(persons)
    np.testing.assert_allclose(mean_pose, pose)
    for person, prediction in zip(persons, place_mean_pose(mean_pose, boxes_of(persons))):
        labelled = person.visibility > 0
        np.testing.assert_allclose(prediction.keypoints_xy[labelled], person.keypoints_xy[labelled])
        assert prediction.output == "mean_pose"
        assert (prediction.image_id, prediction.person_id) == (person.image_id, person.person_id)


def test_only_labelled_joints_outside_crowds_count():
    first, second, crowd = people(COCO17, 3)
    box = np.array([10.0, 20.0, 100.0, 200.0])
    first = replace(
        first, bbox_xywh=box, keypoints_xy=np.full((17, 2), 60.0), visibility=np.array([2] + [0] * 16, dtype=np.int8)
    )
    second = replace(
        second, bbox_xywh=box, keypoints_xy=np.full((17, 2), 110.0), visibility=np.array([1, 3] + [0] * 15, np.int8)
    )
    mean_pose = fit_mean_pose([first, second, replace(crowd, is_crowd=True)])
    np.testing.assert_allclose(mean_pose[0], [(0.5 + 1.0) / 2, (0.2 + 0.45) / 2])
    np.testing.assert_allclose(mean_pose[1], [1.0, 0.45])
    np.testing.assert_array_equal(mean_pose[2:], 0.5)


def test_no_labelled_joints_is_an_error():
    persons = [replace(person, visibility=np.zeros(17, dtype=np.int8)) for person in people(COCO17, 3)]
    with pytest.raises(UserError, match="no mean pose: expected persons with labelled joints, got 3 without"):
        fit_mean_pose(persons)


def test_write_and_read(tmp_path):
    mean_pose = fit_mean_pose(people(COCO17, 10))
    write_mean_pose(tmp_path / "mean_pose.json", mean_pose, COCO17)
    np.testing.assert_array_equal(read_mean_pose(tmp_path / "mean_pose.json", COCO17), mean_pose)
    text = r"mean_pose.json: not the mean pose of this skeleton: expected the joints of crowdpose14, got \['nose'"
    with pytest.raises(UserError, match=text):
        read_mean_pose(tmp_path / "mean_pose.json", CROWDPOSE14)
