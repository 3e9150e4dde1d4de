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
