"""The growing hypernetwork: its equations, that it forgets exactly nothing, and its checkpoints."""

from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hyperlearn as hl
from hyperlearn.data import draw_indices
from hyperlearn.methods import HypernetLearner, LSTMNetGrowConfig

DIGITS = hl.benchmarks.split_digits()
TARGET = hl.nets.MLP(5, [4], 2)
N = hl.count(TARGET)
Head = Literal["per-task", "shared"]
every_head = pytest.mark.parametrize("head", ["per-task", "shared"])


def make(head: Head = "per-task", tasks: int = 1, **options: Any) -> hl.GrowingLSTMHypernet:
    torch.manual_seed(0)
    hypernet = hl.GrowingLSTMHypernet(
        TARGET, chunk_size=9, task_dim=3, chunk_dim=2, hidden_size=4, head=head, **options
    )
    for _ in range(tasks - 1):
        hypernet.add_task()
    return hypernet


def train_a_little(hypernet: nn.Module) -> None:
    """A few steps of Adam on all that has a gradient."""
    assert isinstance(hypernet, hl.GrowingLSTMHypernet)
    optimizer = torch.optim.Adam([p for p in hypernet.parameters() if p.requires_grad], lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        hypernet.flat(hypernet.tasks - 1).square().sum().backward()
        optimizer.step()


def by_hand(hypernet: hl.GrowingLSTMHypernet, task: int) -> Tensor:
    """Section 3.3, equation by equation, for one task: [N]."""
    w_i, w_f, w_g, w_o = hypernet.input_weights[task].chunk(4)
    u_i, u_f, u_g, u_o = hypernet.recurrent_weight.chunk(4)
    h = s = torch.zeros(4)
    chunks = []
    for c in hypernet.chunk_embeddings:
        x = torch.cat([hypernet.task_embeddings[task], c])
        i, f, o = (w_i @ x + u_i @ h).sigmoid(), (w_f @ x + u_f @ h).sigmoid(), (w_o @ x + u_o @ h).sigmoid()
        g = (w_g @ x + u_g @ h).tanh()
        s = f * s + i * g
        h = o * s.tanh()
        chunks.append(hypernet.heads[min(task, len(hypernet.heads) - 1)] @ h)
    return torch.cat(chunks)[:N]


@every_head
def test_it_is_section_3_3(head: Head) -> None:
    hypernet = make(head, tasks=3)
    for task in range(3):
        torch.testing.assert_close(hypernet.flat(task)[0], by_hand(hypernet, task))


@every_head
@pytest.mark.parametrize("warm_start", [False, True])
def test_a_new_task_leaves_earlier_ones_as_they_are_to_the_bit(head: Head, warm_start: bool) -> None:
    hypernet = make(head, warm_start=warm_start)
    train_a_little(hypernet)
    for task in range(1, 4):
        before = hypernet.flat(range(task)).clone()
        assert hypernet.add_task() == task
        assert torch.equal(hypernet.flat(range(task)), before)
        train_a_little(hypernet)
        assert torch.equal(hypernet.flat(range(task)), before)
        assert not torch.equal(hypernet.flat(task), hypernet.flat(task - 1))


@every_head
def test_what_is_learnt_when(head: Head) -> None:
    """With the first task everything; then the embedding, w^t and, where each task has its own, W^t."""
    hypernet = make(head)
    hypernet.flat(0).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in hypernet.parameters())
    hypernet.add_task()
    hypernet.zero_grad()
    hypernet.flat([0, 1]).sum().backward()
    learnt = {name for name, p in hypernet.named_parameters() if p.requires_grad}
    own = {"task_embeddings.1", "input_weights.1"} | ({"heads.1"} if head == "per-task" else set())
    assert learnt == own
    assert {name for name, p in hypernet.named_parameters() if p.grad is not None} == own


def test_a_warm_start_writes_what_the_last_task_wrote() -> None:
    hypernet = make(warm_start=True)
    train_a_little(hypernet)
    hypernet.add_task()
    assert torch.equal(hypernet.flat(1), hypernet.flat(0))


def test_several_tasks_at_once() -> None:
    hypernet = make(tasks=3)
    one_by_one = torch.cat([hypernet.flat(task) for task in (2, 0)])
    assert torch.equal(hypernet.flat([2, 0]), one_by_one)
    assert torch.equal(hypernet.flat(torch.tensor([2, 0])), one_by_one)
    assert {name: p.shape for name, p in hypernet(1).items()} == {n: p.shape for n, p in TARGET.named_parameters()}
    for wrong in (3, [0, 3], torch.tensor(3)):
        with pytest.raises(hl.InputError, match="no task 3: the hypernetwork has tasks 0 to 2"):
            hypernet.flat(wrong)


def test_tasks_are_named_as_in_other_hypernetworks() -> None:
    hypernet = make(tasks=2)
    assert torch.equal(hypernet.flat(np.int64(1)), hypernet.flat(1))  # type: ignore[arg-type]
    assert torch.equal(hypernet.flat(torch.tensor([1, 0])), hypernet.flat([1, 0]))
    assert hypernet.flat([]).shape == (0, hypernet.layout.numel)
    for wrong in (2, [0, -1], 0.9):
        with pytest.raises(hl.InputError, match=r"no task .*: the hypernetwork has tasks 0 to 1"):
            hypernet.flat(wrong)  # type: ignore[arg-type]


def test_growth_is_counted() -> None:
    for head in ("per-task", "shared"):
        hypernet = make(head)
        before = hl.count(hypernet)
        hypernet.add_task()
        expected = 3 + 16 * 5 + (9 * 4 if head == "per-task" else 0)  # e_t, w^t, W^t
        assert hl.count(hypernet) - before == hypernet.stored_per_task == expected


@every_head
def test_a_saved_hypernetwork_of_more_tasks_can_be_loaded(head: Head) -> None:
    grown = make(head, tasks=3)
    train_a_little(grown)
    fresh = make(head)
    fresh.load_state_dict(grown.state_dict())
    assert torch.equal(fresh.flat(range(3)), grown.flat(range(3)))
    learnt = [{n for n, p in h.named_parameters() if p.requires_grad} for h in (fresh, grown)]
    assert learnt[0] == learnt[1]
    parent = nn.Sequential(make(head))
    parent.load_state_dict(nn.Sequential(grown).state_dict())
    assert torch.equal(parent[0].flat(2), grown.flat(2))  # type: ignore[operator]


def test_sizes_out_of_range() -> None:
    sizes = {"chunk_size": 9, "task_dim": 3, "chunk_dim": 2, "hidden_size": 4}
    for name in sizes:
        with pytest.raises(hl.InputError):
            hl.GrowingLSTMHypernet(TARGET, **(sizes | {name: 0}))  # type: ignore[arg-type]
    with pytest.raises(hl.InputError, match="no head 'both'; there are per-task and shared"):
        make("both")  # type: ignore[arg-type]


SHORT: dict[str, Any] = {"iterations": 12, "batch_size": 16, "target": "mlp-20", "chunk_size": 100}


@every_head
def test_grow_forgets_exactly_nothing(head: Head, seeds: range) -> None:
    """On each seed, in CL1, every accuracy is to the end what it was right after the task."""
    for seed in seeds:
        result = hl.run("lstm-net-grow", DIGITS, "cl1", seed, iterations=100, head=head)
        assert result.forgetting == 0
        for later, row in enumerate(result.accuracy_matrix):
            assert row[: later + 1] == [result.accuracy_matrix[j][j] for j in range(later + 1)]
        assert result.average_accuracy > 0.96
        assert result.parameters.stored_per_task == 32 + 64 * 64 + (660 * 16 if head == "per-task" else 0)


def test_all_tasks_weights_count_as_trained() -> None:
    parameters = hl.run("lstm-net-grow", DIGITS, **SHORT).parameters
    chunks = -(-parameters.target // 100)
    assert parameters.trainable == chunks * 32 + 64 * 16 + 5 * parameters.stored_per_task


def test_a_task_cannot_begin_while_another_is_unfinished() -> None:
    config = hl.recipes.configure("lstm-net-grow", "split-digits")
    assert isinstance(config, LSTMNetGrowConfig)
    learner = HypernetLearner(config, config.setting(DIGITS, "cl1"))
    train = DIGITS.tasks[0].train
    batch = train[draw_indices(len(train), 8, 1, torch.Generator())[0]]
    learner.begin_task(0)
    with pytest.raises(hl.InputError, match="task 1 cannot begin: task 0 is not finished"):
        learner.begin_task(1)
    assert isinstance(learner.hypernet, hl.GrowingLSTMHypernet)
    learner.hypernet.add_task()  # behind the learner's back
    with pytest.raises(hl.InputError, match="a task was added to the hypernetwork while task 0 is not finished"):
        learner.backward(batch, torch.optim.Adam(learner.trainable()))
