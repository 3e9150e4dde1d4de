import pytest
import torch
from torch import nn

import hyperlearn as hl


def test_flatten_and_unflatten_are_inverse() -> None:
    layout = hl.ParamLayout.of(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(3, 1, bias=False)))
    flat = torch.randn(4, 5, layout.numel)
    assert torch.equal(layout.flatten(layout.unflatten(flat)), flat)


def test_a_vector_and_a_batch_have_the_same_layout() -> None:
    layout = hl.ParamLayout.of(nn.Linear(3, 2))
    flat = torch.arange(16.0).view(2, 8)
    assert torch.equal(layout.unflatten(flat)["weight"][1], layout.unflatten(flat[1])["weight"])


def test_tied_parameters_are_generated_once() -> None:
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    assert hl.ParamLayout.of(tied).names == ("0.weight", "0.bias", "1.bias")


def test_scalar_parameters_have_a_place() -> None:
    module = nn.Module()
    module.scale = nn.Parameter(torch.tensor(2.0))
    layout = hl.ParamLayout.of(module)
    assert layout.unflatten(torch.tensor([3.0]))["scale"].shape == ()


def test_wrong_length_and_wrong_names_are_refused() -> None:
    layout = hl.ParamLayout.of(nn.Linear(3, 2))
    with pytest.raises(hl.InputError, match="expected 8 values in the last dimension, got 7"):
        layout.unflatten(torch.zeros(7))
    with pytest.raises(hl.InputError, match=r"missing \['bias'\]"):
        layout.flatten({"weight": torch.zeros(2, 3)})
    with pytest.raises(hl.InputError, match=r"weight has shape \(3, 2\), expected \(2, 3\)"):
        layout.flatten({"weight": torch.zeros(3, 2), "bias": torch.zeros(2)})


def test_parameters_of_different_numbers_of_networks_are_refused() -> None:
    layout = hl.ParamLayout.of(nn.Linear(4, 2))
    with pytest.raises(hl.InputError, match=r"weights: of different numbers of networks, \[\(\), \(3,\)\]"):
        layout.flatten({"weight": torch.zeros(2, 4), "bias": torch.zeros(3, 2)}, "weights")


def test_a_layer_that_has_no_shape_yet_is_named() -> None:
    with pytest.raises(hl.InputError, match=r"Sequential: 1.weight has no shape yet; run the module on a batch first"):
        hl.ParamLayout.of(nn.Sequential(nn.Flatten(), nn.LazyLinear(2)))


def test_compression_ratio_counts_what_is_trained() -> None:
    target = nn.Linear(4, 2)  # 10 parameters
    hypernet = hl.ChunkedHypernet(target, 1, chunk_size=5, task_dim=2, chunk_dim=1)
    assert hl.count(hypernet, trainable=True) == 2 + 2 + 3 * 5 + 5
    assert hl.compression_ratio(hypernet, target) == 2.4
    hypernet.head.requires_grad_(False)
    assert hl.compression_ratio(hypernet, target) == 0.4
