"""params.yaml as frozen, validated objects. Configuration is resolved here; the library takes plain named arguments."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dag.errors import UserError

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")]


class Block(BaseModel):
    """A block of params.yaml. It is frozen; unknown keys and wrong types are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Render(Block):
    """A data set to render (datasets/<name>/render.py): number and size of its images, persons, occlusion."""

    train: Count
    val: Count
    width: Annotated[int, Field(ge=64)]
    height: Annotated[int, Field(ge=64)]
    max_persons: Annotated[int, Field(ge=1, le=8)]
    occlusion: Fraction
    seed: Seed


class Dataset(Block):
    """A data set to convert to person annotations (datasets/<name>/convert.py); `annotations` is relative to `root`."""

    root: str
    annotations: str


class Parts(Block):
    """Human-parsing label maps (datasets/<name>/parts.py); the folder `labels` is relative to `root`."""

    root: str
    labels: str


class Convert(Block):
    """Handling of invalid annotations."""

    invalid_annotations: Literal["stop", "drop"]


class Data(Block):
    """Training data: data set, labels, fraction of occluded samples, input size."""

    dataset: Name
    relabelled: bool
    occlusion: Fraction
    input_width: Annotated[int, Field(ge=32, multiple_of=32)]
    input_height: Annotated[int, Field(ge=32, multiple_of=32)]

    @property
    def input_wh(self) -> tuple[int, int]:
        """Width and height of the network input in pixels."""
        return self.input_width, self.input_height


class Parser(Block):
    """A human-parsing network (CE2P) and its training."""

    parts: Annotated[list[Name], Field(min_length=1)]
    backbone: Literal["narrow", "resnet50", "resnet101"]
    input: Annotated[int, Field(ge=64, multiple_of=32)]
    epochs: Count
    batch_size: Count
    learning_rate: Positive
    weights: str | None


class Pool(Block):
    """Instance pool: the parser, and the limits of `dag.pool.quality.rejection` for cut-outs."""

    parser: str
    max_ambiguous: Fraction
    max_border: Fraction
    min_height: Positive
    min_joints: Count
    min_joints_inside: Fraction
    max_fragment_ratio: Fraction
    min_mask_iou: Fraction
    max_occlusion_ratio: Fraction


class Relabel(Block):
    """COCO-RE: pose models that propose joint locations, and the thresholds for accepting locations and occluders."""

    predictions: list[str]
    min_confidence: Annotated[float, Field(ge=0, le=1)]
    margin: Annotated[float, Field(ge=0)]


class MaskJoints(Block):
    """Mask joints: rectangles over joints; sizes in pixels of a 256 x 192 input."""

    p: Fraction
    min_count: Count
    max_count: Count
    min_size: Positive
    max_size: Positive


class PasteInstance(Block):
    """Instance paste: a person of the pool pasted over the crop."""

    p: Fraction
    min_scale: Positive
    max_scale: Positive
    max_rotation: Annotated[float, Field(ge=0, le=180)]
    max_covered: Fraction


class Cache(Block):
    """Cache of decoded person crops, clean and occluded."""

    variants: Count
    margin: Annotated[float, Field(ge=1)]
    shard_mb: Positive
    mask_joints: MaskJoints
    paste_instance: PasteInstance


class Model(Block):
    """Composition of the pose model: backbone, head, codec, ADAM and graph network."""

    backbone: Name
    head: Name
    codec: Literal["msra", "dark", "udp"]
    sigma: Positive
    adam: bool
    graph: bool


class Attention(Block):
    """Attention module ADAM (Eq. 1, 2)."""

    fusion: Literal["parallel", "series"]
    residual: bool
    center_jitter: Annotated[int, Field(ge=0)]


class Graph(Block):
    """Graph network FGMH-GCN (Eq. 3)."""

    hops: Count
    width: Count
    blocks: Count
    detach: bool
    decode: Literal["local", "soft"]


class Loss(Block):
    """Weights of the losses l_m, l_t and l_p."""

    multi_person: Annotated[float, Field(ge=0)]
    target: Annotated[float, Field(ge=0)]
    graph: Annotated[float, Field(ge=0)]


class Augment(Block):
    """Geometric augmentation of training crops (HRNet's protocol), and online mask joints."""

    flip: Fraction
    rotation: Annotated[float, Field(ge=0)]
    rotation_p: Fraction
    scale: Annotated[float, Field(ge=0, lt=1)]
    half_body: Fraction
    mask_joints: Fraction


class Photometric(Block):
    """Photometric augmentation: maximum relative changes of brightness, contrast and colour channels."""

    brightness: Fraction
    contrast: Fraction
    color: Fraction


class Train(Block):
    """Training: optimisation, validation, checkpoint selection, augmentation and loss."""

    epochs: Count
    batch_size: Count
    accumulate: Count
    learning_rate: Positive
    warmup_steps: Annotated[int, Field(ge=0)]
    milestones: list[Count]
    max_grad_norm: Annotated[float, Field(ge=0)]
    ema: Annotated[float, Field(ge=0, lt=1)]
    precision: Literal["auto", "fp32", "bf16"]
    compile: bool
    validate_every: Count
    early_stop: Annotated[int, Field(ge=0)]
    checkpoint: Literal["last", "best"]
    weights: str | None
    augment: Augment
    photometric: Photometric
    loss: Loss


class Protocol(Block):
    """Evaluation protocol: split and annotations of a data set, and ground-truth or detected boxes."""

    dataset: Name
    split: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
    annotations: str
    boxes: str


class Predict(Block):
    """Inference: flip test, batch size and OKS-NMS."""

    flip: bool
    batch_size: Count
    nms: Literal["hard", "soft"]
    nms_threshold: Annotated[float, Field(gt=0, le=1)]


class Evaluate(Block):
    """Evaluation: the output of the headline metrics, and the protocols by name."""

    output: Literal["heatmap", "simcc", "graph"]
    protocols: dict[Name, Protocol]


class Engine(Block):
    """Hardware and parallelism. They do not change results."""

    workers: Annotated[int, Field(ge=0)]
    device: Literal["auto", "cpu", "cuda"]
    devices: Count | Literal["auto"]
    nodes: Count
    strategy: Literal["auto", "ddp"]
    backend: Literal["loky", "dask"]
    cluster: str | None


class Params(Block):
    """All of params.yaml."""

    seed: Seed
    render: dict[Name, Render]
    datasets: dict[Name, Dataset]
    convert: Convert
    data: Data
    parts: dict[Name, Parts]
    parser: dict[Name, Parser]
    pool: Pool
    relabel: Relabel
    cache: Cache
    model: Model
    attention: Attention
    graph: Graph
    train: Train
    predict: Predict
    evaluate: Evaluate
    engine: Engine

    def protocol(self, name: str) -> Protocol:
        """The evaluation protocol `name`.

        Raises:
            UserError: unknown protocol; the known ones are listed.
        """
        if name not in self.evaluate.protocols:
            known = ", ".join(self.evaluate.protocols)
            raise UserError("unknown protocol", where="params.yaml", expected=f"one of {known}", got=repr(name))
        return self.evaluate.protocols[name]


def load_params(path: str | Path = "params.yaml") -> Params:
    """Read and validate params.yaml.

    Raises:
        UserError: missing file, invalid yaml, unknown keys (the known ones are listed), or invalid values. All faults
            are listed in one error.
    """
    try:
        text = Path(path).read_text()
    except FileNotFoundError:
        raise UserError("no such file", where=path, do="`dag-pose params use default` writes one") from None
    return parse_params(text, path)


def parse_params(text: str, where: object) -> Params:
    """As `load_params`, from the text of a file; errors name `where`."""
    from ruamel.yaml import YAML, YAMLError

    try:
        return Params.model_validate(YAML(typ="safe", pure=True).load(text))
    except YAMLError as error:
        raise UserError("not yaml", where=where, got=error) from None
    except ValidationError as error:
        faults = "; ".join(_fault(fault) for fault in error.errors())
        raise UserError(faults, where=where) from None


def _fault(fault: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        block, _, name = key.rpartition(".")
        known = ", ".join(_block_at(fault["loc"][:-1]).model_fields)
        return f"unknown key {name!r} in {block or 'the top level'}, known: {known}"
    if fault["type"] == "missing":
        return f"{key} is missing"
    return f"{key}: {fault['msg']}, got {fault['input']!r}"


def _block_at(loc: tuple) -> type[Block]:
    """The block class at a location such as ("cache", "mask_joints") or ("render", "synthetic")."""
    block: type[Block] = Params
    for key in loc:
        field = block.model_fields.get(str(key))
        if field is not None:
            kind: Any = field.annotation
            block = kind if isinstance(kind, type) and issubclass(kind, Block) else get_args(kind)[1]
    return block
