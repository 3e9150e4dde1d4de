"""The trained thing: to ask it, to keep it in a file, to take a network out of it, to teach it a further task."""

import json
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from packaging.version import Version
from pydantic import TypeAdapter
from torch import Tensor, nn

from . import checkpoints
from .benchmarks import Benchmark, Task, numbered
from .callbacks import Callbacks, progress_bar
from .data import as_float, draw_rows, flip_and_crop
from .errors import InputError
from .evaluation import at_once
from .inference import Prediction, evaluating
from .methods import METHODS, PARTS, Config, Learner, Parts, Scenario, Setting
from .processor import flush_denormals
from .recipes import Method, specify
from .results import Result
from .spec import RunSpec, method_name, pick_device
from .streams import RandomStream
from .tensor_files import digest, load_tensors, save_tensors
from .training import Run, fit_task, not_finite, set_rate
from .version import __version__

FORMAT = 1


class Trained:
    """A learner that has learnt, as `fit` returns it or `load` reads it.

    Attributes:
        learner: the method's module, with all its state.
        results: what was measured, by scenario.
        classes: for each task the names of its classes.
    """

    def __init__(self, learner: Learner, results: dict[Scenario, Result], classes: Sequence[tuple[str, ...]]) -> None:
        self.learner, self.results = learner.eval(), results
        self.classes = [tuple(names) for names in classes]

    @property
    def result(self) -> Result:
        """The first scenario's result."""
        return next(iter(self.results.values()))

    def name(self, label: int, task: int) -> str | None:
        """What the class of ``label`` in ``task`` is called; None where the task, -1, is not known."""
        names = self.classes[task] if 0 <= task < len(self.classes) else ()
        return names[label] if label < len(names) else None

    @property
    def tasks(self) -> int:
        """How many tasks it has learnt."""
        return self.learner.learned

    def predict(self, images: Tensor, task: int | None = None, scenario: Scenario | None = None) -> Prediction:
        """Labels within the task, and tasks, ``[B]`` each.

        Args:
            images: ``[B, *image]``, bytes from 0 to 255 or floats as they were learnt, on any device.
            task: the images' task, from 0. None: it is inferred.
            scenario: ``"cl2"`` or ``"cl3"`` where no task is given; default: the last of those that it was trained for.

        Raises:
            InputError: images of another shape, a task that was not learnt, or no task where the method needs one.

        Example:
            >>> import hyperlearn as hl
            >>> benchmark = hl.benchmarks.split_digits()
            >>> trained = fit("hnet", benchmark, iterations=20)
            >>> trained.predict(benchmark.tasks[1].test.images[:3], task=1).tasks
            tensor([1, 1, 1])
        """
        scenario = self._scenario(task, scenario)
        found = [self.learner.predict(batch, task, scenario) for batch in self._batches(images, task)]
        return Prediction(torch.cat([each.labels for each in found]), torch.cat([each.tasks for each in found]))

    def predict_proba(self, images: Tensor, task: int | None = None, scenario: Scenario | None = None) -> Tensor:
        """Probabilities of the labels within the task, ``[B, K]``; in CL3 of all tasks' classes, ``[B, tasks * K]``.

        Where the task is inferred, a hypernetwork's probabilities are those of the network that is believed: classes of
        other tasks have 0. The arguments are those of `predict`.
        """
        self.learner.setting.objective.check_classes("a probability")
        scenario = self._scenario(task, scenario)
        return torch.cat([self.learner.probabilities(each, task, scenario) for each in self._batches(images, task)])

    def _scenario(self, task: int | None, scenario: Scenario | None) -> Scenario:
        trained: tuple[Scenario, ...] = self.learner.setting.scenarios
        if task is not None:
            if scenario not in (None, "cl1"):
                raise InputError(f"in {scenario} no task is given; leave task or scenario out")
            if not self.learner.serves and "cl1" not in trained:
                raise InputError(f"this was trained for {trained[0]}, where no task is given")
            return "cl1"
        possible = [each for each in self.learner.serves or trained if each != "cl1"]
        if scenario is None and not possible:
            raise InputError("this was trained for cl1: give the images' task")
        chosen = scenario or possible[-1]
        if chosen not in possible:
            raise InputError(f"without a task this predicts in {', '.join(possible) or 'no scenario'}, not in {chosen}")
        return chosen

    def _batches(self, images: Tensor, task: int | None) -> Iterator[Tensor]:
        setting, device = self.learner.setting, next(self.learner.parameters()).device
        if tuple(images.shape[1:]) != tuple(setting.image_shape) or images.dim() == 0:
            raise InputError(
                f"images of shape {tuple(images.shape)}; [B, {', '.join(map(str, setting.image_shape))}] is needed"
            )
        if len(images) == 0:
            raise InputError("there are no images")
        if task is not None:
            self._check_learnt(task)
        with torch.no_grad(), evaluating(self.learner), flush_denormals():
            for batch in images.split(at_once(self.learner)):
                yield as_float(batch.to(device))

    def _check_learnt(self, task: int) -> None:
        if not 0 <= task < self.tasks:
            raise InputError(f"task {task} was not learnt; there are 0 to {self.tasks - 1}")

    def export(self, task: int) -> nn.Module:
        """An ordinary network for ``task``, in evaluation mode: images ``[B, *image]``, floats, to logits ``[B, K]``.

        It is a copy: nothing that is done to it changes what was trained. Raises `InputError` for an unknown task.
        """
        self._check_learnt(task)
        return self.learner.export(task).requires_grad_(False)

    def learn(self, task: Task) -> None:
        """Learn a further task: continual learning goes on.

        The method does what it would have done with a task more from the start, with two differences: the optimizer is
        a new one in any case, and random numbers are those of the task's number alone. What is in ``results`` stays as
        it was measured.

        Raises:
            InputError: a method that needs the images of earlier tasks, or whose outputs are for the tasks that it was
                made for; images of another shape, another number of classes, or NaN.
        """
        learner, config = self.learner, self.learner.config
        setting, number = learner.setting, learner.learned
        shape = tuple(task.train.images.shape[1:])
        if shape != tuple(setting.image_shape) or len(task.classes) != setting.classes:
            raise InputError(
                f"a further task has images {tuple(setting.image_shape)} of {setting.classes} classes, as the others; "
                f"this one has {shape} and {len(task.classes)}"
            )
        if learner.needs_past:
            raise InputError(f"{type(learner).__name__} trains on the images of all tasks, which are not kept")
        device = next(learner.parameters()).device
        with RandomStream(number, device).current(), flush_denormals():
            if number == setting.tasks:
                learner.extend()
            data = learner.training_data([numbered(task, number).train]).to(device)
            steps = learner.steps(len(data))
            order = draw_rows(len(data), config.batch_size, steps, torch.Generator().manual_seed(number), 0, device)
            learner.begin_task(number)
            never_finite = not_finite(learner)  # an attention mask, say
            learner.train()
            optimizer = config.optimizer(learner.trainable())

            def after_step(step: int, loss: Tensor | None) -> bool:
                set_rate(optimizer, config, step / steps)
                return False

            set_rate(optimizer, config, 0.0)
            fit_task(
                learner,
                optimizer,
                data,
                order,
                after_step=after_step,
                augment=flip_and_crop if config.augmentation else None,
                clip_norm=config.clip_norm,
            )
            if bad := not_finite(learner) - never_finite:
                raise InputError(f"{min(bad)} became NaN or infinite; a smaller learning rate may help")
            learner.end_task(number, numbered(task, number).train.to(device))
        learner.eval()
        self.classes.append(task.classes)

    def save(self, path: Path | str) -> None:
        """Write all of it into one file, of tensors and plain data, that `load` reads.

        A target, a hypernetwork, a regularizer and a rule of your own are named in it and not kept: code is no data.
        Raises `InputError` where the file cannot be written, and for regression, whose loss is code too.
        """
        learner = self.learner
        learner.setting.objective.check_classes("a file")
        state = {
            "format": FORMAT,
            "hyperlearn": __version__,
            "method": method_name(type(learner.config)),
            "config": json.dumps(asdict(learner.config)),
            "parts": learner.setting.parts.names(),
            "setting": {name: getattr(learner.setting, name) for name in _SETTING},
            "classes": self.classes,
            "results": [result.to_json() for result in self.results.values()],
            "learner": learner.state_dict(),
        }
        save_tensors(Path(path), state | {"digest": digest(state)})


_SETTING = ("tasks", "classes", "scenarios", "image_shape", "class_counts")
"""What of a `Setting` is data."""


def fit(
    method: Method,
    benchmark: Benchmark,
    seed: int = 0,
    *,
    scenarios: Sequence[Scenario] | None = None,
    checkpoint: Path | None = None,
    callbacks: Callbacks = (),
    progress: bool = True,
    **options: Any,
) -> Trained:
    """Train ``method`` on ``benchmark`` by its recipe, measure it, and return what was trained.

    Args:
        method: a name in `METHODS`, or a configuration of your own.
        benchmark: the tasks.
        seed: of initialisation and of the order of images.
        scenarios: what to measure; default: all that one training serves, or CL1 where the method trains differently in
            each.
        checkpoint: a folder to leave checkpoints in, and to go on from.
        callbacks: called as the run goes on, see `hyperlearn.callbacks`.
        progress: whether a terminal or a notebook shows a bar meanwhile.
        options: as for `hyperlearn.recipes.specify`: ``device``, ``evaluate``, ``compile``, parts of your own
            such as ``target``, and fields of the method's configuration that differ from the recipe.

    Raises:
        InputError: as `specify` and `hyperlearn.training.train`.

    Example:
        >>> import hyperlearn as hl
        >>> trained = fit("lstm-net", hl.benchmarks.split_digits(), iterations=5)
        >>> sorted(trained.results), trained.tasks
        (['cl1', 'cl2', 'cl3'], 5)
        >>> trained.export(task=1)(torch.zeros(1, 8, 8)).shape
        torch.Size([1, 2])
    """
    spec = specify(method, benchmark, scenarios, seed, **options)
    with progress_bar() if progress else nullcontext(()) as bar:
        return train(spec, checkpoint, [*callbacks, *bar])


def train(spec: RunSpec, checkpoint: Path | None = None, callbacks: Callbacks = ()) -> Trained:
    """What `fit` does, for a specification.

    Args:
        spec: the method, the benchmark, and all else that decides what comes out.
        checkpoint: a folder; the run leaves a checkpoint there and goes on from its own if it finds one.
        callbacks: called as the run goes on.
    """
    run = Run(spec, callbacks)
    run.go(checkpoint)
    return Trained(run.learner, run.results(), [task.classes for task in run.benchmark.tasks])


def run(
    method: Method,
    benchmark: Benchmark,
    scenario: Scenario = "cl1",
    seed: int = 0,
    **options: Any,
) -> Result:
    """What `fit` measures in one scenario; ``options`` are those of `fit`.

    Example:
        >>> from hyperlearn import benchmarks
        >>> result = run("finetune", benchmarks.split_digits(), iterations=5)
        >>> len(result.accuracy_matrix)
        5
    """
    return fit(method, benchmark, seed, scenarios=[scenario], **options).results[scenario]


def load(path: Path | str, *, method: type[Config] | None = None, device: str = "auto", **parts: Any) -> Trained:
    """What `Trained.save` wrote. Nothing in the file is executed.

    Args:
        path: the file.
        method: the class of its configuration, where it is your own.
        device: ``auto``, ``cpu`` or ``cuda``.
        parts: ``target``, ``hypernet``, ``regularizer``, ``infer``: those of your own that it was trained with.

    Raises:
        InputError: no file, a damaged or foreign one, one of a newer version, or one that was trained with other parts
            than those that are given; the message names the file.

    Example:
        >>> import tempfile
        >>> import hyperlearn as hl
        >>> benchmark = hl.benchmarks.split_digits()
        >>> images = benchmark.tasks[0].test.images
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     trained = hl.fit("hnet", benchmark, iterations=5)
        ...     trained.save(f"{folder}/m.pt")
        ...     again = hl.load(f"{folder}/m.pt")
        >>> torch.equal(again.predict_proba(images), trained.predict_proba(images))
        True
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        state = load_tensors(path)
        newer = Version(state["hyperlearn"]) > Version(__version__) or state["format"] > FORMAT
        intact = state.pop("digest") == digest(state)
    except Exception as error:  # a file may hold anything, and so torch may raise anything
        raise InputError(f"{path} is no file of Trained.save, or is damaged") from error
    if newer:
        raise InputError(f"{path} was written by hyperlearn {state['hyperlearn']}; this is {__version__}: update it")
    if not intact:
        raise InputError(f"{path} is damaged: its content is not what was written")
    given = _parts(path, state["parts"], parts)
    kind = _kind(path, state["method"], method)
    try:
        return _rebuild(state, kind, given, pick_device(device))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:  # a class of your own may have changed since
        raise InputError(f"{path} does not fit {kind.__name__} as it is now ({error})") from error


def _parts(path: Path, names: dict[str, str], parts: dict[str, Any]) -> Parts:
    """Parts that are given to `load`; raises `InputError` unless they are those that the file names."""
    if unknown := sorted(parts.keys() - set(PARTS)):
        raise InputError(f"no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    given = Parts(**parts)
    for name, of in (names | given.names()).items():
        if name not in names:
            raise InputError(f"{path} was trained without a {name} of your own")
        if name not in parts:
            raise InputError(f"{path} was trained with a {name} of your own, {of}: give {name}=")
        if (now := given.names()[name]) != names[name] and now.rpartition(".")[2] != names[name].rpartition(".")[2]:
            raise InputError(f"{path} was trained with {name}={names[name]}, and this is {now}")
    return given


def _kind(path: Path, method: str, kind: type[Config] | None) -> type[Config]:
    """The class of the configuration; raises `InputError` where it is another, or your own and not given."""
    if kind is None and method in METHODS:
        return METHODS[method]
    if kind is None:
        raise InputError(f"{path} was trained by a method of your own, {method}: give the class of its configuration")
    if (now := method_name(kind)) != method:
        raise InputError(f"{path} was trained by {method}, and {kind.__name__} is {now}")
    return kind


def _rebuild(state: dict[str, Any], kind: type[Config], parts: Parts, device: torch.device) -> Trained:
    """The learner that the file describes, with its state."""
    config = TypeAdapter(kind).validate_json(state["config"])
    setting = Setting(**state["setting"], make_target=config.target_maker(state["setting"]["image_shape"], parts))
    setting = replace(setting, parts=parts)
    with RandomStream(0, torch.device("cpu")).current():
        learner = config.learner_class(config, setting)
    never_finite = not_finite(learner)
    checkpoints.restore_module(learner, state["learner"])
    learner.check_state(learner.learned, learner.learned)
    if bad := not_finite(learner) - never_finite:
        raise InputError(f"{min(bad)} is NaN or infinite")
    results = [_RESULT.validate_json(text, strict=True) for text in state["results"]]
    if {result.scenario for result in results} != set(setting.scenarios):
        raise InputError("results are missing")
    return Trained(learner.to(device), {result.scenario: result for result in results}, state["classes"])


_RESULT = TypeAdapter(Result)
