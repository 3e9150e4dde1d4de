"""A device that only has a name: what would fail or wait on a GPU is found without one.

``python tests/pretended.py [CASE ...]`` prints a line of JSON for each case: what went wrong, and where the host read
numbers from the device. It is a process of its own, since a device that is made up stays for good.

Tensors of the host are real. Those of the device know their shape, type and device and hold no numbers (PyTorch's
FakeTensorMode), so that an operation that mixes the two fails as on a GPU. Where the host reads a number it would wait
for a GPU: within a step it fails, elsewhere it is noted, and the number is made up: True or 0. The recurrence runs step
by step, because `torch.lstm` without biases has no function that tells the shape of its result. bfloat16 is left out:
autocast has nothing for a device that is made up.
"""

import json
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import hyperlearn as hl
from hyperlearn import replicas, training
from hyperlearn.data import Batch
from hyperlearn.hypernets import Hypernetwork
from hyperlearn.methods import METHODS, Finetune, FinetuneConfig, configuration

PACKAGE = Path(hl.__file__).parent
NAME = "pretended"
PRESENT = hasattr(backend_registration, "_setup_privateuseone_for_python_backend")
"""Whether this version of PyTorch can make a device up."""
aten = torch.ops.aten


class HostRead(Exception):
    """The host reads a number from the device in a step."""


class Pretended(TorchDispatchMode):
    """Within, there is the device. ``reads`` counts where the host has read a number from it."""

    def __init__(self) -> None:
        super().__init__()
        self.fake = FakeTensorMode(allow_non_fake_inputs=True)
        self.reads: Counter[str] = Counter()
        self.stepping = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        there = any(isinstance(leaf, FakeTensor) for leaf in tree_leaves((args, kwargs)))
        onto = None if kwargs.get("device") is None else torch.device(kwargs["device"]).type
        if not there and onto != NAME:
            return func(*args, **kwargs)  # of the host alone
        if func is aten._local_scalar_dense.default:
            return self.read(args[0]).item()
        if func in (aten.equal.default, aten.allclose.default, aten.is_nonzero.default):
            return bool(self.read(args[0].new_ones((), dtype=torch.bool)))
        if func is aten._to_copy.default and onto == "cpu":
            return self.read(args[0]).to(kwargs.get("dtype") or args[0].dtype)
        if func is aten.copy_.default and not isinstance(args[0], FakeTensor):
            return args[0].copy_(self.read(args[1]))
        with self.fake:
            if func is aten._to_copy.default and not there:  # from the host
                like, dtype = args[0], kwargs.get("dtype") or args[0].dtype
                return torch.empty_strided(like.shape, like.stride(), dtype=dtype, device=NAME)
            return func(*args, **kwargs)

    def read(self, tensor: Tensor) -> Tensor:
        """What the host gets where it reads ``tensor``."""
        if self.stepping:
            raise HostRead(f"{place()} reads from the device in a step")
        self.reads[place()] += 1
        return torch.full(tensor.shape, tensor.dtype == torch.bool, dtype=tensor.dtype, device="cpu")


def place() -> str:
    """The innermost function of the library that is at work."""
    frame = sys._getframe()
    while frame.f_back is not None and PACKAGE not in Path(frame.f_code.co_filename).parents:
        frame = frame.f_back
    path = Path(frame.f_code.co_filename)
    if PACKAGE not in path.parents:
        return "elsewhere"
    module = path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")
    return f"{module}.{frame.f_code.co_qualname.partition('.<')[0]}"


def benchmark(shape: tuple[int, ...] = (8, 8), classes: int = 2) -> hl.benchmarks.Benchmark:
    """Three tasks of images that mean nothing."""
    draw = torch.Generator().manual_seed(0)

    def examples(n: int) -> hl.data.Examples:
        images = torch.randint(256, (n, *shape), generator=draw, dtype=torch.uint8)
        return hl.data.Examples(images, torch.arange(n) % classes, torch.zeros(n, dtype=torch.int64))

    names = tuple(map(str, range(classes)))
    tasks = [hl.benchmarks.Task(examples(24), examples(0), examples(6), names) for _ in range(3)]
    return hl.benchmarks.Benchmark("pretended", tuple(tasks))


SMALL: dict[str, Any] = {"iterations": 2, "batch_size": 4}
"""Of every training: two steps a task."""


def fit(method: Any, shape: tuple[int, ...] = (8, 8), **options: Any) -> None:
    """Train and measure, then ask what was trained."""
    tasks = benchmark(shape)
    trained = hl.fit(method, tasks, **SMALL, **options)
    images = tasks.tasks[0].test[:].images
    for task in (0, None) if trained.learner.serves else (0,):
        trained.predict(images, task)
        trained.predict_proba(images, task)
    trained.export(0)(hl.data.as_float(images).to(NAME))


def of_method(method: str) -> Callable[[], object]:
    """A network of two small layers; a generated one in some chunks."""
    fields = set(METHODS[method].__dataclass_fields__)
    small: dict[str, Any] = {
        "target": "mlp-20",
        "chunk_size": 400,
        "encoder_hidden": "20",
        "decoder_hidden": "20",
        "latent": 5,
    }
    return lambda: fit(method, **{name: value for name, value in small.items() if name in fields})


def together(method: str) -> None:
    """Two seeds at once."""
    spec = hl.recipes.specify(method, benchmark(), target="mlp-20", chunk_size=400, **SMALL)
    replicas.train_replicas(spec, [0, 1])


MLP: dict[str, Any] = {"target": "mlp-20", "chunk_size": 400}
IMAGES = (3, 32, 32)
RESNET: dict[str, Any] = {"shape": IMAGES, "target": "resnet-32", "augmentation": "flip-crop", "chunk_size": 60_000}

CASES: dict[str, Callable[[], object]] = {
    **{method: of_method(method) for method in METHODS},
    "several seeds of hnet": lambda: together("hnet"),
    "several seeds of lstm-net": lambda: together("lstm-net"),
    "resnet-32, finetune": lambda: fit("finetune", IMAGES, target="resnet-32", augmentation="flip-crop"),
    "resnet-32, hnet": lambda: fit("hnet", **RESNET),
    "resnet-32, lstm-net-iwr": lambda: fit("lstm-net-iwr", **RESNET),
    "direct form": lambda: fit("lstm-net", **MLP, regularizer_form="direct"),
    "no lookahead": lambda: fit("hnet", **MLP, lookahead=False),
    "all importances": lambda: fit("hnet-iwr", **MLP, exact=True),
    "part of a target": lambda: fit("hnet", target="mlp-20", chunk_size=20, generate="layers.1.*", base="target"),
    "a head for each task": lambda: fit("hnet", **MLP, output_heads="per-task"),
    "shared head of growth": lambda: fit("lstm-net-grow", **MLP, head="shared"),
    "clipped gradients": lambda: fit("hnet", **MLP, clip_norm=1.0),
    "weight decay": lambda: fit("lstm-net", **MLP, weight_decay=0.01),
    "observed labels": lambda: fit("ewc", target="mlp-20", fisher_labels="observed"),
}
"""What has to run."""


def wrong(step: Callable[[Finetune, Batch, Tensor], Any]) -> Callable[[], object]:
    """Fine-tuning whose step does something more."""

    class Wrong(Finetune):
        replicable = False

        def loss(self, batch: Batch) -> Tensor:
            made = super().loss(batch)
            step(self, batch, made)
            return made

    @configuration
    class WrongConfig(FinetuneConfig):
        learner_class = Wrong

    return lambda: hl.fit(WrongConfig(target="mlp-20"), benchmark(), **SMALL)


WRONG: dict[str, tuple[str, Callable[[], object]]] = {
    "item": ("reads from the device in a step", wrong(lambda _, batch, loss: loss.item())),
    "bool": ("reads from the device in a step", wrong(lambda _, batch, loss: bool(loss > 0))),
    "cpu": ("reads from the device in a step", wrong(lambda _, batch, loss: batch.images.cpu())),
    "print": ("reads from the device in a step", wrong(lambda _, batch, loss: batch.labels.tolist())),
    "host": ("reads from the device in a step", wrong(lambda _, batch, loss: torch.zeros(4).copy_(batch.labels))),
    "mask": ("DynamicOutputShape", wrong(lambda _, batch, loss: batch.images[batch.labels == 0])),
    "mixed": ("found at least two devices", wrong(lambda _, batch, loss: batch.images + torch.zeros(4, 8, 8))),
    "module": ("found at least two devices", wrong(lambda _, batch, loss: nn.Linear(8, 1)(batch.images))),
}
"""What must not, and what is said of it."""


@contextmanager
def device() -> Iterator[Pretended]:
    """Within, runs are on the device, and none of their steps may read from it."""
    mode, learn, learn_together = Pretended(), training.Run.learn_task, replicas._learn_task

    def stepping(learn: Callable[..., None]) -> Callable[..., None]:
        def made(*args: Any) -> None:
            mode.stepping = True
            try:
                learn(*args)
            finally:
                mode.stepping = False

        return made

    training.Run.learn_task = stepping(learn)  # type: ignore[method-assign]
    replicas._learn_task = stepping(learn_together)
    try:
        with mode:
            yield mode
    finally:
        training.Run.learn_task = learn  # type: ignore[method-assign]
        replicas._learn_task = learn_together


def main(names: list[str]) -> None:
    class Backend(backend_registration._DummyBackendModule):
        @staticmethod
        def get_amp_supported_dtype() -> list[torch.dtype]:
            return [torch.float16, torch.bfloat16]

    warnings.simplefilter("ignore")
    backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=Backend())
    training.pick_device = lambda _: torch.device(NAME, 0)  # type: ignore[assignment,attr-defined]
    Hypernetwork.stepwise = True
    every = CASES | {name: run for name, (_, run) in WRONG.items()}
    for name in names or every:
        error = ""
        with device() as mode:
            try:
                every[name]()
            except Exception as caught:  # whatever it is, it is what a GPU would have said
                error = f"{type(caught).__name__}: {caught} ({place_of(caught)})"
        print(json.dumps({"case": name, "error": error, "reads": mode.reads}), flush=True)


def place_of(error: BaseException) -> str:
    """The last line of the library on the way to ``error``."""
    found, trace = "elsewhere", error.__traceback__
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        if PACKAGE in path.parents:
            found = f"{path.name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
