"""Official annotation files to validated person annotations: COCO reader and writer, validation, downloads."""

from dag.convert.coco import coco_dict, read_coco, write_coco
from dag.convert.convert import Split, convert_coco, write_dataset

__all__ = ["Split", "coco_dict", "convert_coco", "read_coco", "write_coco", "write_dataset"]
