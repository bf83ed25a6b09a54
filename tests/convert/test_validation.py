"""Images are opened and compared with their annotations; faults are one line."""

import numpy as np
import pytest
from PIL import Image

from dag.convert.coco import read_coco
from dag.convert.validation import Fault, stop_on_faults, validate_images
from dag.errors import UserError
from dag.files import write_json
from dag.skeleton import COCO17


@pytest.fixture
def root(tmp_path):
    """A folder with three images and one annotated person on each."""
    (tmp_path / "val").mkdir()
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for number in (1, 2, 3):
        image = Image.fromarray(rng.integers(0, 255, (50, 60, 3), dtype=np.uint8))
        image.save(tmp_path / f"val/{number}.jpg")
        images.append({"id": number, "file_name": f"{number}.jpg", "width": 60, "height": 50})
        annotations.append({"id": number, "image_id": number, "category_id": 1, "bbox": [1, 1, 9, 9], "area": 50})
    categories = [{"id": 1, "keypoints": list(COCO17.joints)}]
    write_json(tmp_path / "a.json", {"images": images, "annotations": annotations, "categories": categories})
    return tmp_path


def check(root, workers=2):
    persons, faults = read_coco(root / "a.json", dataset="toy", split="val", skeleton=COCO17, image_folder="val")
    assert faults == []
    return {path: str(fault) for path, fault in validate_images(persons, root, workers)[1].items()}


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_valid_images_have_no_fault(root, workers):
    assert check(root, workers) == {}


def test_a_missing_image(root):
    (root / "val/2.jpg").unlink()
    assert check(root) == {"val/2.jpg": f"{root}/val/2.jpg: image 2: missing image: expected a file, got none"}


@pytest.mark.parametrize("fraction", [0.98, 0.5])
def test_a_truncated_image(root, fraction):
    path = root / "val/3.jpg"
    path.write_bytes(path.read_bytes()[: int(fraction * path.stat().st_size)])
    text = f"{path}: image 3: unreadable image: expected a complete image, got image file is truncated"
    assert check(root)["val/3.jpg"].startswith(text)


def test_a_file_that_is_not_an_image(root):
    (root / "val/1.jpg").write_text("<html>404</html>")
    assert "image 1: unreadable image: expected a complete image, got cannot identify image file" in str(check(root))


def test_another_size(root):
    Image.new("RGB", (61, 50)).save(root / "val/1.jpg")
    assert check(root) == {"val/1.jpg": f"{root}/val/1.jpg: image 1: image size: expected 60 x 50, got 61 x 50"}


def test_the_first_fault_is_raised_with_the_number_of_others():
    faults = [Fault("a.json", f"annotation {number}", "empty box") for number in range(4)]
    stop_on_faults([])
    for count, others in ((1, ""), (2, "and 1 more fault; "), (4, "and 3 more faults; ")):
        text = f"^a.json: annotation 0: empty box; {others}set convert.invalid_annotations: drop to leave them out$"
        with pytest.raises(UserError, match=text):
            stop_on_faults(faults[:count])
