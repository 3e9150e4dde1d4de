"""The key: the task whose mean and principal directions leave least of an image."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from narrowing import narrow
from sklearn.decomposition import PCA

import hyperlearn as hl
from hyperlearn.subspaces import NearestSubspace, principal_directions

DIGITS = hl.benchmarks.split_digits()
FAST: dict[str, Any] = {"target": "mlp-20", "iterations": 10, "device": "cpu"}
CHUNKED = {"hnet": {"chunk_size": 300}}


def learnt(**options: object) -> NearestSubspace:
    key = NearestSubspace(**options)  # type: ignore[arg-type]
    for number, task in enumerate(DIGITS.tasks):
        key.remember(number, task.train)
    return key


def test_directions_are_those_of_scikit_learn() -> None:
    rows = DIGITS.tasks[0].train[:].images.flatten(1)
    expected = PCA(6, svd_solver="full").fit(rows.numpy()).components_
    found = principal_directions(rows, 6).numpy()
    np.testing.assert_allclose(np.abs((found * expected).sum(1)), 1.0, atol=1e-5)
    np.testing.assert_allclose(found @ found.T, np.eye(6), atol=1e-5)
    assert all(each[np.abs(each).argmax()] > 0 for each in found)


@pytest.mark.parametrize("number", [0, 4])
def test_more_directions_than_dimensions_are_refused(number: int) -> None:
    with pytest.raises(hl.InputError, match=f"1 to 3 directions, not {number}"):
        principal_directions(torch.rand(5, 3), number)


def test_the_distance_is_what_a_reconstruction_leaves() -> None:
    key, images = learnt(directions=4), DIGITS.tasks[2].test[:].images
    for number, task in enumerate(DIGITS.tasks):
        pca = PCA(4, svd_solver="full").fit(task.train[:].images.flatten(1).numpy())
        rows = images.flatten(1).numpy()
        left = ((rows - pca.inverse_transform(pca.transform(rows))) ** 2).sum(1)
        np.testing.assert_allclose(key.distances(images)[number].numpy(), left, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("per_class", "stored"), [(False, 5 * 64), (True, 2 * 5 * 64)])
def test_it_finds_the_digits_and_says_what_it_stores(per_class: bool, stored: int) -> None:
    key = learnt(directions=4, per_class=per_class)
    assert key.stored_per_task == stored
    kept = sum(each.numel() for each in (key.means, key.axes))
    assert kept == 5 * stored
    right = [
        (key(torch.zeros(5, len(task.test), 2), task.test[:].images) == number).float().mean().item()
        for number, task in enumerate(DIGITS.tasks)
    ]
    assert sum(right) / 5 > 0.93


@pytest.mark.parametrize("method", ["hnet", "scratch", "basis-growth"])
def test_beside_a_method_its_numbers_count_and_its_file_holds_it(method: str, tmp_path: Path) -> None:
    options = FAST | CHUNKED.get(method, {})
    plain = hl.fit(method, DIGITS, **options)
    made = hl.fit(method, DIGITS, **options, infer=NearestSubspace(4))
    assert made.result.parameters.stored_per_task == plain.result.parameters.stored_per_task + 5 * 64
    assert made.result.config["infer"] == "hyperlearn.subspaces.NearestSubspace"
    # Nothing of what is trained depends on the rule, and the rule not on what is trained.
    assert made.results["cl1"].accuracy_matrix == plain.results["cl1"].accuracy_matrix
    assert narrow(float, made.results["cl2"].metrics.task_inference_accuracy) > 0.93
    made.save(tmp_path / "m.pt")
    again = hl.load(tmp_path / "m.pt", infer=NearestSubspace(4), device="cpu")
    images = DIGITS.tasks[3].test[:].images
    assert torch.equal(again.predict(images).tasks, made.predict(images).tasks)


def test_a_further_task_gets_a_subspace_of_its_own() -> None:
    made = hl.fit("scratch", hl.benchmarks.first(DIGITS, 4), **FAST, infer=NearestSubspace(4))
    made.learn(DIGITS.tasks[4])
    found = made.predict(DIGITS.tasks[4].test[:].images).tasks
    assert (found == 4).float().mean() > 0.8


def test_no_directions_are_refused() -> None:
    with pytest.raises(hl.InputError, match="at least one direction, got 0"):
        NearestSubspace(0)
