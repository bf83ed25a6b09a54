"""Initial weights from a checkpoint of the network or its backbone, and no other."""

from pathlib import Path

import pytest
import torch

from dag.errors import UserError
from dag.models.pose import build_model
from dag.models.weights import save_weights
from dag.training.initialisation import initialise


def checkpoint(folder: Path, *arguments: str, **options: object) -> Path:
    torch.manual_seed(5)
    save_weights(build_model(*arguments, **options), folder / "start.safetensors", names="own")  # type: ignore[arg-type]
    return folder / "start.safetensors"


def test_a_plain_network_initialises_one_with_attention_and_graph(tmp_path: Path) -> None:
    path, model = checkpoint(tmp_path, "hrnet_tiny"), build_model("hrnet_tiny", adam=True, graph=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    report = initialise(model, path)
    plain = build_model("hrnet_tiny")
    initialise(plain, path)
    after = model.state_dict()
    for name, value in plain.state_dict().items():
        if name.startswith(("backbone.", "head.")):
            assert torch.equal(after[name], value), name
    assert any(name.startswith("graph.") for name in after)
    assert all(torch.equal(after[name], before[name]) for name in after if name.startswith(("graph.", "attention.")))
    assert "entries loaded, own names" in report


def test_another_skeleton_is_refused(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, "hrnet_tiny", skeleton="crowdpose14")
    text = "weights of another network: expected this backbone, head and number of joints"
    with pytest.raises(UserError, match=text):
        initialise(build_model("hrnet_tiny"), path)


def test_another_backbone_is_refused(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, "hrnet_tiny")
    with pytest.raises(UserError, match=r"weights of another (network|backbone): .*(entries|shape)"):
        initialise(build_model("resnet50"), path)
