"""The assembled model: outputs, errors, and equivariance under horizontal flips."""

import itertools

import pytest
import torch
from torch import nn

from dag.attention import AdaptiveDiscriminativeAttention
from dag.errors import UserError
from dag.graph import FeatureGuidedMultiHopGCN
from dag.models.heads.coordinates import local_integration
from dag.models.heads.heatmap import HeatmapHead
from dag.models.pose import BACKBONES, HEADS, DagPose, build_model
from dag.skeleton import COCO17, CROWDPOSE14, get_skeleton


def images(batch: int = 2, height: int = 128, width: int = 96) -> torch.Tensor:
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("adam", "graph"), list(itertools.product([False, True], repeat=2)))
@pytest.mark.parametrize("skeleton", ["coco17", "crowdpose14"])
def test_outputs_depend_on_the_modules(adam, graph, skeleton):
    model = build_model("hrnet_tiny", skeleton=skeleton, adam=adam, graph=graph).eval()
    joints = len(get_skeleton(skeleton))
    output = model(images())
    assert output.heatmaps.shape == (2, joints, 32, 24)
    assert (output.multi_person_heatmaps is not None) == adam
    assert (output.refined_xy is not None) == graph
    if adam:
        assert output.multi_person_heatmaps.shape == (2, joints, 32, 24)
    if graph:
        assert output.refined_xy.shape == (2, joints, 2)


def test_hrnet_w32_at_the_input_size_of_the_paper():
    with torch.inference_mode():
        output = build_model("hrnet_w32", head="heatmap", skeleton="coco17", adam=True, graph=True).eval()(
            images(1, 256, 192)
        )
    assert output.heatmaps.shape == (1, 17, 64, 48)
    assert output.refined_xy.shape == (1, 17, 2)


def test_graph_is_initialised_at_the_heatmaps_keypoints_in_input_pixels():
    torch.manual_seed(0)
    model = build_model("hrnet_tiny", graph=True).eval()
    output = model(images())
    expected = local_integration(output.heatmaps)[0] * 4
    assert (output.refined_xy - expected).abs().max() < 2


@pytest.mark.parametrize("backbone", ["hrnet_tiny", "hrnet_w32"])
def test_attention_nearly_preserves_a_loaded_network(backbone):
    # In training mode, as the running statistics of a new network do not match its features.
    without, with_attention = build_model(backbone), build_model(backbone, adam=True, center_jitter=0)
    with_attention.load_state_dict(without.state_dict(), strict=False)
    with torch.inference_mode():
        before, after = without(images()).heatmaps, with_attention(images()).heatmaps
    assert (after - before).norm() < 0.1 * before.norm()


def test_options_are_passed_to_the_modules():
    options = {
        "fusion": "series",
        "residual": True,
        "center_jitter": 2,
        "hops": 2,
        "width": 16,
        "blocks": 1,
        "detach": True,
    }
    model = build_model("hrnet_tiny", adam=True, graph=True, decode="soft", **options)
    assert (model.attention.series, model.attention.residual, model.center_jitter) == (True, True, 2)
    assert model.graph.blocks[0][0].convolution.hop_weights.shape == (2, 16, 17)
    assert (len(model.graph.blocks), model.graph.detach, model.soft) == (1, True, True)
    assert model.options["width"] == 16
    assert build_model(**model.options).options == model.options


def test_parameter_counts_of_attention_and_graph():
    def count(**modules: bool) -> int:
        return sum(parameter.numel() for parameter in build_model("hrnet_w32", **modules).parameters())

    c, j = 32, 17
    convolutions = 3 * (c * c + c) + (9 * c * c + c) + (2 * c * c + c)  # Q, K, second of V; first of V; fuse
    assert count(adam=True) - count() == (c * c + c) + convolutions + (c * j + j)
    graph = sum(parameter.numel() for parameter in FeatureGuidedMultiHopGCN(c, COCO17).parameters())
    assert count(graph=True) - count() == graph


def test_jitter_is_random_in_training_only_and_depends_on_the_generator():
    model = build_model("hrnet_tiny", adam=True)
    assert model.eval().draw_center_offsets(4, torch.Generator()) is None
    offsets = [model.train().draw_center_offsets(64, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(offsets[0], offsets[1])
    assert not torch.equal(offsets[0], offsets[2])
    assert build_model("hrnet_tiny", adam=True, center_jitter=0).draw_center_offsets(4, torch.Generator()) is None
    assert build_model("hrnet_tiny", adam=False).draw_center_offsets(4, torch.Generator()) is None


def test_jitter_changes_the_heatmaps():
    model = build_model("hrnet_tiny", adam=True).eval()
    nn.init.normal_(model.attention.channel.linear.weight)
    centers = [torch.full((2, 2), offset) for offset in (0, 1)]
    centred, jittered = (model(images(), offsets).heatmaps for offsets in centers)
    assert torch.equal(model(images()).heatmaps, centred)
    assert not torch.equal(jittered, centred)


def test_training_without_offsets_is_refused():
    model = build_model("hrnet_tiny", adam=True).train()
    with pytest.raises(UserError, match="training with centre jitter but no offsets; pass draw_center_offsets"):
        model(images())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"backbone": "vgg"}, f"unknown backbone: expected one of {', '.join(BACKBONES)}, got 'vgg'"),
        ({"head": "lines"}, f"unknown head: expected one of {', '.join(HEADS)}, got 'lines'"),
        ({"skeleton": "horse"}, "unknown skeleton: expected one of coco17, crowdpose14, got 'horse'"),
        ({"decode": "hard"}, "unknown decode: expected one of local, soft, got 'hard'"),
        ({"adam": True, "fusion": "both"}, "unknown fusion: expected one of parallel, series, got 'both'"),
    ],
)
def test_unknown_names_list_the_known_ones(arguments, text):
    with pytest.raises(UserError, match=text):
        build_model(**{"backbone": "hrnet_tiny", **arguments})


@pytest.mark.parametrize(("height", "width"), [(120, 96), (128, 100)])
def test_input_size(height, width):
    with pytest.raises(
        UserError, match=f"input size: expected width and height divisible by 32, got {width} x {height}"
    ):
        build_model("hrnet_tiny").eval()(images(1, height, width))


def test_joint_counts_of_graph_and_head_must_agree():
    graph = FeatureGuidedMultiHopGCN(16, CROWDPOSE14)
    with pytest.raises(UserError, match="graph and head differ in joints: expected 17, got 14"):
        DagPose(build_model("hrnet_tiny").backbone, HeatmapHead(16, 17), graph=graph)


def test_a_single_crop_equals_the_crop_in_a_batch():
    model = build_model("hrnet_tiny", adam=True, graph=True).eval()
    batch = images(3)
    batched, single = model(batch), model(batch[1:2])
    torch.testing.assert_close(batched.heatmaps[1:2], single.heatmaps, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(batched.refined_xy[1:2], single.refined_xy, rtol=1e-4, atol=1e-3)


def test_memory_format_does_not_change_the_output():
    model = build_model("hrnet_tiny", adam=True, graph=True).eval()
    expected = model(images()).heatmaps
    model = model.to(memory_format=torch.channels_last)
    heatmaps = model(images().contiguous(memory_format=torch.channels_last)).heatmaps
    torch.testing.assert_close(heatmaps, expected, rtol=1e-3, atol=1e-6)


def make_mirror_symmetric(model: DagPose) -> None:
    """Make the weights symmetric. Stride 2 pairs pixels 2i and 2i + 1, so the first column of kernels is zero."""
    flip_index = torch.from_numpy(COCO17.flip_index)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight.copy_((layer.weight + layer.weight.flip(-1)) / 2)
                if layer.stride == (2, 2):
                    layer.weight[..., 0] = 0
                    layer.weight[..., 1:] = layer.weight[..., 1:].mean(-1, keepdim=True)
        for head in (model.head, model.multi_person_head):
            head.final_layer.weight.copy_((head.final_layer.weight + head.final_layer.weight[flip_index]) / 2)
        nn.init.zeros_(model.attention.channel.linear.weight)  # on an even width, the centre is not symmetric
        model.graph.embed.weight[:, 0] = 0
        for block in model.graph.blocks:
            for layer in block:
                weights = layer.convolution.hop_weights
                weights.copy_((weights + weights[..., flip_index]) / 2)
        for offset in model.graph.offsets:
            nn.init.normal_(offset.weight, std=0.05)
            offset.weight[0] = 0


def test_a_symmetric_model_is_equivariant_under_flips():
    torch.manual_seed(0)
    model = build_model("hrnet_tiny", adam=True, graph=True).double().eval()
    for name, buffer in model.named_buffers():
        if name.endswith("running_var"):
            buffer.copy_(torch.rand(buffer.shape) + 0.5)
    make_mirror_symmetric(model)
    flip_index = torch.from_numpy(COCO17.flip_index)
    original, flipped = model(images().double()), model(images().double().flip(-1))
    for name in ("heatmaps", "multi_person_heatmaps"):
        expected = getattr(original, name).flip(-1)[:, flip_index]
        torch.testing.assert_close(getattr(flipped, name), expected, rtol=1e-9, atol=1e-12)
    x, y = (original.refined_xy / 4)[:, flip_index].unbind(-1)
    assert original.heatmaps.std() > 1e-4
    assert (original.refined_xy / 4 - local_integration(original.heatmaps)[0]).abs().max() > 0.01
    torch.testing.assert_close(flipped.refined_xy / 4, torch.stack([24 - 1 - x, y], -1), rtol=1e-4, atol=1e-4)


class ForeignBackbone(nn.Module):
    """A backbone that is not part of DAG."""

    channels, stride, multiple = 12, 4, 4

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 12, 4, stride=4)

    def forward(self, x):
        return self.layer(x)


def test_a_foreign_backbone_with_attention_and_graph():
    model = DagPose(
        ForeignBackbone(),
        HeatmapHead(12, 17),
        AdaptiveDiscriminativeAttention(12),
        FeatureGuidedMultiHopGCN(12, COCO17),
    )
    output = model(images(2, 60, 44))
    assert output.heatmaps.shape == (2, 17, 15, 11)
    assert output.refined_xy.shape == (2, 17, 2)
    assert output.multi_person_heatmaps is None
