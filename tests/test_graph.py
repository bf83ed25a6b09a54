"""Hop rings against breadth-first search, dag.graph against a literal Eq. 3, and the refinement of keypoints."""

from collections import deque

import numpy as np
import pytest
import torch

from dag.graph import FeatureGuidedMultiHopGCN, MultiHopGraphConv, hop_rings, sample_features
from dag.skeleton import COCO17, CROWDPOSE14, Skeleton

SKELETONS = [COCO17, CROWDPOSE14]
ISOLATED = Skeleton("isolated", ("a", "b", "c", "d"), (), (("a", "b"), ("b", "c")), (0.1,) * 4)


def distances(skeleton: Skeleton) -> np.ndarray:
    """Number of bones between joints by breadth-first search, -1 for unconnected joints."""
    neighbours = {joint: set() for joint in skeleton.joints}
    for a, b in skeleton.bones:
        neighbours[a].add(b)
        neighbours[b].add(a)
    distance_of = np.full((len(skeleton), len(skeleton)), -1)
    for start, name in enumerate(skeleton.joints):
        queue = deque([(name, 0)])
        while queue:
            joint, distance = queue.popleft()
            index = skeleton.joints.index(joint)
            if distance_of[start, index] < 0:
                distance_of[start, index] = distance
                queue.extend((other, distance + 1) for other in sorted(neighbours[joint]))
    return distance_of


@pytest.mark.parametrize("skeleton", [*SKELETONS, ISOLATED])
def test_rings_connect_joints_exactly_k_bones_apart(skeleton):
    expected = distances(skeleton)
    for k, ring in enumerate(hop_rings(skeleton, 6), start=1):
        np.testing.assert_array_equal(ring.numpy() > 0, expected == k)


@pytest.mark.parametrize(
    ("skeleton", "sizes"), [(COCO17, [19, 26, 33, 32, 20, 6]), (CROWDPOSE14, [15, 20, 24, 20, 10, 2])]
)
def test_ring_sizes(skeleton, sizes):
    assert [int((ring > 0).sum()) // 2 for ring in hop_rings(skeleton, 6)] == sizes


@pytest.mark.parametrize("skeleton", [*SKELETONS, ISOLATED])
def test_rings_are_normalised_symmetrically(skeleton):
    for ring in hop_rings(skeleton, 6).double().numpy():
        degree = (ring > 0).sum(1)
        inverse = np.array([1 / np.sqrt(d) if d else 0 for d in degree])
        np.testing.assert_allclose(ring, np.diag(inverse) @ (ring > 0) @ np.diag(inverse), atol=1e-7)
        assert np.isfinite(ring).all()


def random_convolution(skeleton: Skeleton, hops: int, inputs: int = 3, outputs: int = 4) -> MultiHopGraphConv:
    convolution = MultiHopGraphConv(inputs, outputs, hop_rings(skeleton, hops))
    generator = torch.Generator().manual_seed(hops)
    for parameter in convolution.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return convolution


def literal_multi_hop(convolution: MultiHopGraphConv, nodes: torch.Tensor, rings: torch.Tensor) -> torch.Tensor:
    """sum_k w_k o (W0 M + W1 M A_k), with M [D, N], one element at a time."""
    crops = []
    for crop in nodes:
        M = crop.T
        result = []
        for d in range(len(convolution.own.weight)):
            for n in range(M.shape[1]):
                total = torch.zeros(())
                for k, ring in enumerate(rings):
                    own = convolution.own.weight[d] @ M[:, n]
                    others = sum((convolution.others.weight[d] @ M[:, i]) * ring[i, n] for i in range(M.shape[1]))
                    total = total + convolution.hop_weights[k, d, n] * (own + others)
                result.append(total)
        crops.append(torch.stack(result).reshape(-1, M.shape[1]).T)
    return torch.stack(crops)


@pytest.mark.parametrize("hops", range(1, 7))
@pytest.mark.parametrize("skeleton", [*SKELETONS, ISOLATED])
def test_multi_hop_convolution_is_equation_3(skeleton, hops):
    convolution = random_convolution(skeleton, hops)
    nodes = torch.randn(1, len(skeleton), 3, generator=torch.Generator().manual_seed(9)).requires_grad_()
    fast = convolution(nodes)
    literal = literal_multi_hop(convolution, nodes, hop_rings(skeleton, hops))
    torch.testing.assert_close(fast, literal, rtol=1e-5, atol=1e-5)
    grad_outputs = torch.randn(fast.shape, generator=torch.Generator().manual_seed(8))
    inputs = [nodes, *convolution.parameters()]
    gradients = torch.autograd.grad(fast, inputs, grad_outputs)
    for gradient, expected in zip(gradients, torch.autograd.grad(literal, inputs, grad_outputs)):
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("skeleton", SKELETONS)
def test_one_hop_with_unit_weights_is_the_plain_graph_convolution(skeleton):
    convolution = random_convolution(skeleton, 1)
    torch.nn.init.ones_(convolution.hop_weights)
    nodes = torch.randn(2, len(skeleton), 3)
    ring = hop_rings(skeleton, 1)[0]
    expected = nodes @ convolution.own.weight.T + ring @ nodes @ convolution.others.weight.T
    torch.testing.assert_close(convolution(nodes), expected, rtol=1e-5, atol=1e-5)


def test_hop_weights_are_initialised_equally():
    assert torch.equal(MultiHopGraphConv(3, 4, hop_rings(COCO17, 5)).hop_weights, torch.full((5, 4, 17), 1 / 5))


def test_permuting_the_joints_permutes_the_result():
    convolution = random_convolution(COCO17, 3)
    order = torch.randperm(17, generator=torch.Generator().manual_seed(0))
    permuted = MultiHopGraphConv(3, 4, hop_rings(COCO17, 3)[:, order][:, :, order])
    permuted.own, permuted.others = convolution.own, convolution.others
    permuted.hop_weights.data = convolution.hop_weights.data[:, :, order]
    nodes = torch.randn(2, 17, 3)
    torch.testing.assert_close(permuted(nodes[:, order]), convolution(nodes)[:, order], rtol=1e-5, atol=1e-5)


def test_features_are_sampled_in_the_pixel_index_frame():
    y, x = torch.meshgrid(torch.arange(6.0), torch.arange(9.0), indexing="ij")
    xy = torch.rand(2, 5, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([8.0, 5.0])
    torch.testing.assert_close(sample_features(torch.stack([x, y]).expand(2, 2, 6, 9), xy), xy)


def test_the_border_is_replicated_outside():
    features = torch.arange(6.0).reshape(1, 1, 2, 3)
    xy = torch.tensor([[[-5.0, 0.0], [9.0, 9.0]]])
    assert sample_features(features, xy).flatten().tolist() == [0, 5]


def case(**options) -> tuple[FeatureGuidedMultiHopGCN, torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    graph = FeatureGuidedMultiHopGCN(6, COCO17, width=16, **options)
    xy = torch.rand(3, 17, 2) * torch.tensor([11.0, 15.0])
    return graph, torch.randn(3, 6, 16, 12).requires_grad_(), xy.requires_grad_(), torch.rand(3, 17)


def test_refinement_is_initialised_near_the_input_coordinates():
    graph, features, xy, peak = case()
    offset = (graph(features, xy, peak) - xy).abs()
    assert 0 < offset.max() < 0.2


def test_every_parameter_has_a_gradient():
    graph, features, xy, peak = case()
    (graph(features, xy, peak) ** 2).sum().backward()
    without = [name for name, parameter in graph.named_parameters() if not parameter.grad.abs().sum() > 0]
    assert without == []


def test_detach_stops_the_gradient_to_the_inputs():
    graph, features, xy, peak = case(detach=True)
    graph(features, xy, peak).sum().backward()
    assert features.grad is None
    assert xy.grad is None
    graph, features, xy, peak = case(detach=False)
    graph(features, xy, peak).sum().backward()
    assert features.grad.abs().sum() > 0
    assert xy.grad.abs().sum() > 0


def test_features_are_sampled_at_the_moved_joints():
    graph, features, xy, peak = case(blocks=3)
    for offset in graph.offsets:
        torch.nn.init.zeros_(offset.weight)
        offset.bias.data = torch.tensor([1.5, -2.0])
    sampled = []
    for gate in graph.gates:
        gate.register_forward_pre_hook(lambda _, inputs: sampled.append(inputs[1]))
    refined = graph(features, xy, peak)
    torch.testing.assert_close(refined, xy + 3 * torch.tensor([1.5, -2.0]))
    for block, features_of_block in enumerate(sampled, start=1):
        torch.testing.assert_close(features_of_block, sample_features(features, xy + block * torch.tensor([1.5, -2.0])))
    assert len(sampled) == 2


def test_parameter_count():
    graph = FeatureGuidedMultiHopGCN(32, COCO17, hops=3, width=128, blocks=4)
    embed, offsets = (3 + 32 + 1) * 128, 4 * (128 + 1) * 2
    layers = 8 * (2 * 128 * 128 + 3 * 128 * 17 + 2 * 128)
    gates = 3 * ((32 + 1) * 128 + (128 + 32 + 1) * 128)
    assert sum(parameter.numel() for parameter in graph.parameters()) == embed + offsets + layers + gates
