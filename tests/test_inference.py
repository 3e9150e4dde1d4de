from itertools import permutations

import pytest
import torch
from torch import nn

import hyperlearn as hl
from hyperlearn.inference import entropy, evaluating, infer_by_entropy, task_logits


def test_entropy_agrees_with_torch_and_is_never_nan() -> None:
    logits = 5 * torch.randn(50, 7)
    torch.testing.assert_close(entropy(logits), torch.distributions.Categorical(logits=logits).entropy())
    assert entropy(torch.tensor([1e4, 0.0, -1e4])) == 0


def test_a_masked_class_counts_nothing() -> None:
    masked = torch.tensor([[0.5, float("-inf"), -1.0], [0.0, float("-inf"), float("-inf")]])
    torch.testing.assert_close(entropy(masked)[0], entropy(torch.tensor([0.5, -1.0])))
    assert entropy(masked)[1] == 0


def test_the_surest_task_is_taken() -> None:
    unsure, sure = torch.tensor([[0.1, 0.0]]), torch.tensor([[-9.0, 9.0]])
    predicted = infer_by_entropy(torch.stack([unsure, sure, unsure]))
    assert predicted.tasks.tolist() == [1]
    assert predicted.labels.tolist() == [1]


def test_of_networks_that_leave_no_doubt_the_one_with_the_largest_margin_is_taken() -> None:
    """Their entropies are 0 to the last digit; the first task would be taken by its place alone."""
    sure = torch.tensor([[-200.0, 200.0, 0.0], [300.0, 0.0, -5.0], [0.0, 0.0, 250.0], [5.0, 4.0, 3.0]])  # [T, classes]
    assert entropy(sure).tolist()[:3] == [0, 0, 0]
    for order in permutations(range(4)):
        predicted = infer_by_entropy(sure[list(order), None])
        assert (predicted.tasks.tolist(), predicted.labels.tolist()) == ([order.index(1)], [0])
    # Neither the size of the logits nor a margin without certainty counts.
    high = torch.tensor([[[1000.0, 850.0]], [[200.0, 0.0]], [[60.0, 0.0]]])
    assert infer_by_entropy(high).tasks.tolist() == [1]


def test_without_ties_the_least_entropy_decides() -> None:
    torch.manual_seed(0)
    for classes in (2, 3, 10):
        logits = 3 * torch.randn(6, 2000, classes)
        assert torch.equal(infer_by_entropy(logits).tasks, entropy(logits).argmin(0))


def test_of_equal_networks_the_first_is_taken() -> None:
    for logits in (torch.zeros(3, 2, 4), torch.full((3, 2, 4), 7.0), torch.randn(3, 2, 1), torch.randn(1, 2, 4)):
        assert infer_by_entropy(logits).tasks.tolist() == [0, 0]


def test_masked_classes_do_not_stand_in_the_way() -> None:
    inf = float("inf")
    masked = torch.tensor([[[0.0, 1.0, -inf]], [[9.0, -inf, -inf]], [[-inf, 3.0, 0.0]]])
    predicted = infer_by_entropy(masked)
    assert (predicted.tasks.tolist(), predicted.labels.tolist()) == ([1], [0])


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@pytest.mark.parametrize("at", [(0, 0, 0), (1, 2, 1), (2, 1, 1)])
def test_logits_from_which_nothing_follows_are_refused(value: float, at: tuple[int, int, int]) -> None:
    logits = torch.randn(3, 4, 2)
    logits[at] = value
    with pytest.raises(hl.InputError, match=f"task {at[0]} gives logits that are NaN, "):
        infer_by_entropy(logits)


def test_an_image_without_any_class_is_refused() -> None:
    logits = torch.randn(3, 4, 2)
    logits[1, 2] = float("-inf")
    with pytest.raises(hl.InputError, match=r"task 1 gives logits that are .* -inf for all classes"):
        infer_by_entropy(logits)


@pytest.mark.parametrize("method", ["scratch", "hnet"])
def test_a_target_with_an_infinite_logit_ends_in_one_line(method: str) -> None:
    class Infinite(nn.Module):
        def __init__(self, outputs: int) -> None:
            super().__init__()
            self.layer = nn.Linear(64, outputs)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits = self.layer(images.flatten(1))
            return logits if self.training else logits + torch.tensor([float("inf"), 0.0])

    tasks = hl.benchmarks.first(hl.benchmarks.split_digits(), 2)
    sizes = {"chunk_size": 50} if method == "hnet" else {}
    with pytest.raises(hl.InputError, match="from which no task can be inferred"):
        hl.run(method, tasks, scenario="cl3", target=Infinite, iterations=2, device="cpu", **sizes)


def test_all_tasks_at_once_equal_one_by_one() -> None:
    target = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 2)).eval()
    layout = hl.ParamLayout.of(target)
    flat, images = torch.randn(3, layout.numel), torch.rand(6, 2, 2)
    buffers = {name: torch.stack([buffer + n for n in range(3)]) for name, buffer in target.named_buffers()}
    together = task_logits(target, {**layout.unflatten(flat), **buffers}, images)
    for task in range(3):
        one = {**layout.unflatten(flat[task]), **{name: buffer[task] for name, buffer in buffers.items()}}
        torch.testing.assert_close(together[task], torch.func.functional_call(target, one, (images,)))


class _Carrier(nn.Module):
    """Has a network that is none of its parts, and a part that is never in training mode, as learners do."""

    def __init__(self) -> None:
        super().__init__()
        self.carried = (nn.Dropout(),)
        self.teacher = nn.Sequential(nn.Dropout())
        self.part = nn.Sequential(nn.Dropout(), nn.Dropout())
        self.train()
        self.part[1].eval()

    def train(self, mode: bool = True) -> "_Carrier":
        self.carried[0].train(mode)
        super().train(mode)
        self.teacher.eval()
        return self

    def modes(self) -> list[bool]:
        return [part.training for part in (*self.modules(), *self.carried)]


@pytest.mark.parametrize("training", [True, False])
def test_every_mode_comes_back_after_evaluation(training: bool) -> None:
    module = _Carrier()
    if not training:
        module.eval()
        module.part[0].train()
    before = module.modes()
    assert True in before
    assert False in before
    with evaluating(module):
        assert not any(module.modes())
    assert module.modes() == before
    with pytest.raises(ZeroDivisionError), evaluating(module):
        1 / 0  # noqa: B018
    assert module.modes() == before
