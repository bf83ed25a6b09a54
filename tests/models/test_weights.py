"""Saving and loading of weights: bitwise round trips, naming schemes, mismatches, and unsafe files."""

import gzip
import json
import os
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from dag.errors import UserError
from dag.models.pose import DagPose, build_model
from dag.models.weights import inspect_weights, load_model, load_weights, save_model, save_weights


def trained(seed: int = 0, **options) -> DagPose:
    """A model with non-trivial weights and running statistics."""
    torch.manual_seed(seed)
    model = build_model("hrnet_tiny", input_wh=(96, 128), **options)
    with torch.no_grad():
        for value in model.state_dict().values():
            if value.dtype.is_floating_point:
                value.add_(torch.rand(value.shape) * 0.1)
    return model.eval()


def assert_same(a: DagPose, b: DagPose) -> None:
    images = torch.randn(1, 3, 64, 64)
    first, second = a.eval()(images), b.eval()(images)
    assert torch.equal(first.heatmaps, second.heatmaps)
    if first.refined_xy is not None:
        assert torch.equal(first.refined_xy, second.refined_xy)


def test_model_folder_round_trip(tmp_path):
    model = trained(adam=True, graph=True, width=16, hops=2, skeleton="crowdpose14")
    save_model(model, tmp_path / "pose")
    loaded, input_wh = load_model(tmp_path / "pose")
    assert not loaded.training
    assert input_wh == (96, 128)
    assert_same(model, loaded)


def test_same_model_same_bytes_in_any_memory_format(tmp_path):
    model = trained(adam=True, graph=True)
    save_model(model, tmp_path / "a")
    save_model(model.to(memory_format=torch.channels_last), tmp_path / "b")
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_composed_model_cannot_be_saved(tmp_path):
    model = build_model("hrnet_tiny")
    composed = DagPose(model.backbone, model.head)
    with pytest.raises(UserError, match="model without options; build it with build_model"):
        save_model(composed, tmp_path / "pose")
    assert not (tmp_path / "pose").exists()


@pytest.mark.parametrize(
    "text", ["{}", '{"model": {"input_wh": [1, 2], "colour": 3}}', '{"model": {"input_wh": 4}}', "[]"]
)
def test_invalid_options(tmp_path, text):
    save_model(trained(), tmp_path)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config.json: invalid model options: got .*; train again"):
        load_model(tmp_path)


def test_missing_folder(tmp_path):
    with pytest.raises(UserError, match=r"config.json: no such file"):
        load_model(tmp_path / "nowhere")


OFFICIAL = {
    "hrnet_w32": ("pose_hrnet_w32", 28_536_113),
    "hrnet_w48": ("pose_hrnet_w48", 63_595_745),
    "resnet50": ("pose_resnet_50", 33_999_697),
    "resnet101": ("pose_resnet_101", 52_991_825),
    "resnet152": ("pose_resnet_152", 68_635_473),
}
"""Names and parameter counts of the official networks (leoxiaobin/deep-high-resolution-net.pytorch), 17 joints."""


@pytest.mark.parametrize("name", OFFICIAL)
def test_parameter_counts_equal_the_official_ones(name):
    assert sum(parameter.numel() for parameter in build_model(name).parameters()) == OFFICIAL[name][1]


@pytest.mark.parametrize(("name", "official"), [(name, official) for name, (official, _) in OFFICIAL.items()])
def test_official_names(tmp_path, real_data, name, official):
    save_weights(build_model(name), tmp_path / "w.safetensors", names="official")
    golden = json.loads(gzip.decompress((real_data / "golden/official_state_dicts.json.gz").read_bytes()))[official]
    assert {key: list(value.shape) for key, value in load_file(tmp_path / "w.safetensors").items()} == golden


@pytest.mark.parametrize("names", ["own", "official"])
def test_weights_round_trip(tmp_path, names):
    model, other = trained(0), trained(1)
    save_weights(model, tmp_path / "w.safetensors", names=names)
    report = load_weights(other, tmp_path / "w.safetensors")
    assert str(report) == f"{len(model.state_dict())} entries loaded, {names} names"
    assert_same(model, other)


def test_official_names_require_a_plain_network(tmp_path):
    with pytest.raises(UserError, match=r"without official names: got \['attention', 'graph', 'multi_person_head'\]"):
        save_weights(trained(adam=True, graph=True), tmp_path / "w.safetensors", names="official")
    assert list(tmp_path.iterdir()) == []


def official_state(model: DagPose) -> dict[str, torch.Tensor]:
    return {name.partition(".")[2]: value for name, value in model.state_dict().items()}


@pytest.mark.parametrize(
    "wrap", [lambda s: s, lambda s: {"state_dict": s, "epoch": 210}, lambda s: {f"module.{k}": v for k, v in s.items()}]
)
def test_pytorch_checkpoints(tmp_path, wrap):
    model, other = trained(0), trained(1)
    torch.save(wrap(official_state(model)), tmp_path / "pose.pth")
    assert load_weights(other, tmp_path / "pose.pth").names == "official"
    assert_same(model, other)


def test_files_without_batch_counters_load_strictly(tmp_path):
    model, other = trained(0), trained(1)
    state = {name: value for name, value in official_state(model).items() if "num_batches" not in name}
    torch.save(state, tmp_path / "pose.pth")
    load_weights(other, tmp_path / "pose.pth")
    assert_same(model, other)


def test_mismatches_are_listed_and_nothing_is_loaded(tmp_path):
    state = official_state(trained(0))
    del state["bn1.weight"]
    state["surplus.weight"] = torch.zeros(3)
    state["final_layer.weight"] = torch.zeros(14, 16, 1, 1)
    save_file(state, tmp_path / "w.safetensors")
    model = trained(1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(UserError) as error:
        load_weights(model, tmp_path / "w.safetensors")
    expected = (
        "weights do not fit the model: got 571 entries loaded, official names, 1 missing (backbone.bn1.weight), "
        "1 extra (backbone.surplus.weight), 1 of another shape "
        "(head.final_layer.weight: expected (17, 16, 1, 1), got (14, 16, 1, 1))"
    ).replace("571", str(len(before) - 2))
    assert expected in str(error.value)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_plain_network_initialises_dag(tmp_path):
    plain, dag = trained(0), trained(1, adam=True, graph=True)
    save_weights(plain, tmp_path / "w.safetensors", names="official")
    report = load_weights(dag, tmp_path / "w.safetensors", strict=False)
    assert {name.partition(".")[0] for name in report.missing} == {"attention", "graph", "multi_person_head"}
    assert report.extra == report.mismatched == ()
    assert torch.equal(dag.backbone.conv1.weight, plain.backbone.conv1.weight)


def test_no_entry_matches(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(
        UserError, match=r"no weights of this model: expected names such as .*conv1.*, got names such as backbone.a"
    ):
        load_weights(trained(), tmp_path / "w.safetensors", strict=False)


class Evil:
    """Executes code when it is unpickled."""

    def __init__(self, path: str):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("writer", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_a_pickle_that_runs_code_is_refused(tmp_path, writer):
    path = tmp_path / "evil.pth"
    writer({"conv1.weight": Evil(str(tmp_path / "owned"))}, path)
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"evil.pth: refused: not plain tensors"):
        load_weights(trained(), path)
    assert path.read_bytes() == before
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("cut.safetensors", b"\x10\x00\x00\x00\x00\x00\x00\x00{}", "not a checkpoint"),
        ("cut.pth", b"PK\x03\x04 and then nothing", "not a checkpoint"),
        ("empty.pth", b"", "not a checkpoint"),
        ("text.pth", b"hello", "not a checkpoint: expected safetensors or a PyTorch checkpoint; download it again"),
    ],
)
def test_broken_files(tmp_path, name, content, text):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=text):
        load_weights(trained(), tmp_path / name)


@pytest.mark.parametrize("name", ["none.pth", "none.safetensors"])
def test_no_file(tmp_path, name):
    with pytest.raises(UserError, match=f"{name}: no such file"):
        load_weights(trained(), tmp_path / name)


def test_checkpoint_without_a_state_dict(tmp_path):
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(UserError, match="expected a state dict, got list"):
        load_weights(trained(), tmp_path / "list.pth")


def mmpose_state(model: DagPose) -> dict[str, torch.Tensor]:
    """State dict as mmpose 1.x writes it: transposed convolutions in the head, and entries of the preprocessor."""
    state = {name.replace("backbone.deconv_layers", "head.deconv_layers"): v for name, v in model.state_dict().items()}
    return {**state, "data_preprocessor.mean": torch.zeros(3, 1, 1)}


@pytest.mark.parametrize("prefix", ["head", "keypoint_head"])
def test_mmpose_names(tmp_path, prefix):
    torch.manual_seed(0)
    model, other = build_model("resnet50"), build_model("resnet50")
    state = {name.replace("head.", f"{prefix}.", 1): value for name, value in mmpose_state(model).items()}
    torch.save({"meta": {"epoch": 210}, "state_dict": state}, tmp_path / "sbl.pth")
    report = load_weights(other, tmp_path / "sbl.pth")
    assert str(report) == f"{len(model.state_dict())} entries loaded, mmpose names"
    assert_same(model, other)


@pytest.mark.parametrize(
    ("backbone", "classifier"),
    [
        ("resnet50", {"fc.weight": (1000, 2048), "fc.bias": (1000,)}),
        (
            "hrnet_w32",
            {
                "classifier.weight": (1000, 2048),
                "final_layer.0.weight": (2048, 1024, 1, 1),
                "incre_modules.0.0.conv1.weight": (32, 32, 1, 1),
                "downsamp_modules.0.0.weight": (256, 128, 3, 3),
                "stage4.2.fuse_layers.1.0.0.0.weight": (64, 32, 3, 3),
            },
        ),
    ],
)
def test_imagenet_checkpoints_initialise_the_backbone(tmp_path, backbone, classifier):
    torch.manual_seed(0)
    model, other = build_model(backbone), build_model(backbone)
    backbone = {n: v for n, v in model.backbone.state_dict().items() if not n.startswith("deconv_layers")}
    extra = {name: torch.zeros(shape) for name, shape in classifier.items()}
    torch.save({**backbone, **extra}, tmp_path / "imagenet.pth")
    head = other.head.final_layer.weight.clone()
    report = load_weights(other, tmp_path / "imagenet.pth")
    assert str(report) == f"{len(backbone)} entries loaded, imagenet names"
    for name, value in backbone.items():
        assert torch.equal(other.backbone.state_dict()[name], value), name
    assert torch.equal(other.head.final_layer.weight, head)
    del backbone["conv1.weight"]
    torch.save({**backbone, **extra}, tmp_path / "imagenet.pth")
    with pytest.raises(UserError, match=r"1 missing \(backbone.conv1.weight\)"):
        load_weights(other, tmp_path / "imagenet.pth")


def test_inspection_describes_a_file(tmp_path):
    save_weights(build_model("resnet50"), tmp_path / "a.safetensors", names="official")
    assert inspect_weights(tmp_path / "a.safetensors") == [
        "official names, 338 entries, 33,999,697 parameters",
        "backbone: resnet50, complete",
        "head: 2 entries",
        "joints: 17",
        f"loads with train.weights: {tmp_path / 'a.safetensors'} and model.backbone: resnet50",
    ]
    save_weights(trained(adam=True, graph=True, skeleton="crowdpose14"), tmp_path / "b.safetensors")
    lines = inspect_weights(tmp_path / "b.safetensors")
    assert lines[1] == "backbone: hrnet_tiny, complete"
    assert {"joints: 14"} < set(lines)
    assert [line.partition(":")[0] for line in lines[2:6]] == ["attention", "graph", "head", "multi_person_head"]
    save_file({"a": torch.zeros(2)}, tmp_path / "c.safetensors")
    assert inspect_weights(tmp_path / "c.safetensors")[1].startswith("no known backbone (hrnet_tiny, hrnet_w32")
