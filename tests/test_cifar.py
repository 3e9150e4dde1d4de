"""CIFAR-10/100 from its files to a row of Table 3, on a few images that the tests draw themselves."""

import io
import json
import os
import pickle
import shutil
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from loading import load
from narrowing import narrow
from PIL import Image
from test_data import NO_FILES
from test_training import stopped
from torch import Tensor
from torchvision import datasets
from torchvision.transforms import v2

import hyperlearn as hl
from hyperlearn import checkpoints, cifar, cli, recipes, results, sweeps, tables, training
from hyperlearn.data import Source, flip_and_crop, flipped_and_cropped

IMAGES = {"train": 3, "test": 2}
"""Of each class."""

TABLE_3 = ["finetune", "scratch", "hnet", "hnet-iwr", "lstm-net", "lstm-net-iwr", "lstm-net-grow"]

TINY: dict[str, Any] = {"target": "resnet-8", "epochs": 1, "batch_size": 8, "images_per_class": 2}


def pixels(name: str, part: str, label: int, number: int) -> "np.ndarray[Any, Any]":
    """An image ``[32, 32, 3]`` of noise, another one for each argument."""
    key = [len(name), len(part), label, number]
    return np.random.default_rng(key).integers(256, size=(32, 32, 3), dtype=np.uint8)


def write_folder(root: Path, name: str) -> Path:
    for part, count in IMAGES.items():
        for label, kind in enumerate(cifar.CLASSES[name]):
            folder = root / part / kind
            folder.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(pixels(name, part, label, number)).save(folder / f"{number}.png")
    return root


def zip_of(folder: Path, file: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cifar")
    for name in cifar.CLASSES:
        write_folder(root / name.replace("-", ""), name)
    return root


@pytest.fixture
def home(folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder of its own, with an ImageFolder of CIFAR-10 and a zip of CIFAR-100."""
    root = tmp_path / "data"
    root.mkdir()
    shutil.copytree(folders / "cifar10", root / "cifar10")
    zip_of(folders / "cifar100", root / "cifar100-first50.zip")
    monkeypatch.setenv("HYPERLEARN_DATA", str(root))
    cifar.load.cache_clear()
    yield root
    cifar.load.cache_clear()


# Sources


def same(a: Source, b: Source) -> bool:
    return all(map(torch.equal, a, b))


def test_images_are_as_they_were_drawn(home: Path) -> None:
    for name, classes in cifar.CLASSES.items():
        source = cifar.load(name)
        assert source.train_labels.tolist() == [label for label in range(len(classes)) for _ in range(3)]
        assert source.test_images.shape == (2 * len(classes), 3, 32, 32)
        drawn = {pixels(name, "train", 7, number).tobytes() for number in range(3)}
        found = source.train_images[source.train_labels == 7].permute(0, 2, 3, 1)
        assert {image.contiguous().numpy().tobytes() for image in found} == drawn


def write_torchvision(root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files in the form in which torchvision has them, images in an order of their own, of 51 classes."""
    kind = datasets.CIFAR10 if name == "cifar-10" else datasets.CIFAR100
    key = "labels" if name == "cifar-10" else "fine_labels"
    folder = root / kind.base_folder
    folder.mkdir()
    classes = [*cifar.CLASSES[name], *(["mouse"] if name == "cifar-100" else [])]
    for part, files in (("train", kind.train_list), ("test", kind.test_list)):
        all_of = [(label, number) for number in range(IMAGES[part]) for label in reversed(range(len(classes)))]
        for i, (file, _) in enumerate(files):
            mine = all_of[i :: len(files)]
            flat = np.stack([pixels(name, part, *one).transpose(2, 0, 1).reshape(-1) for one in mine])
            (folder / file).write_bytes(pickle.dumps({"data": flat, key: [label for label, _ in mine]}))
    (folder / kind.meta["filename"]).write_bytes(pickle.dumps({kind.meta["key"]: classes}))
    # Their MD5 sums are those of the real files.
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda path, md5: os.path.exists(path))


@pytest.mark.parametrize("name", cifar.CLASSES)
def test_all_forms_give_the_same_images_in_the_same_order(
    name: str, home: Path, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = name.replace("-", "")
    there = cifar.load(name)
    other = home.parent / "other"
    other.mkdir()
    monkeypatch.setenv("HYPERLEARN_DATA", str(other))

    zip_of(folders / short, other / f"{short}.zip")
    cifar.load.cache_clear()
    assert same(cifar.load(name), there)
    shutil.copytree(folders / short, other / short)
    cifar.load.cache_clear()
    assert cifar.find(name) == other / short
    assert same(cifar.load(name), there)
    write_torchvision(other, name, monkeypatch)
    cifar.load.cache_clear()
    assert cifar.find(name) == other / f"{name}-{'batches-py' if name == 'cifar-10' else 'python'}"
    assert same(cifar.load(name), there)


def test_the_zip_of_cifar_100_is_not_taken_for_that_of_cifar_10(home: Path) -> None:
    shutil.rmtree(home / "cifar10")
    assert cifar.find("cifar-10") is None
    assert cifar.find("cifar-100") == home / "cifar100-first50.zip"


def test_what_is_no_image_is_passed_over(home: Path) -> None:
    before = cifar.load("cifar-10")
    for extra in ("train/bird/._0.png", "train/bird/Thumbs.db", "train/readme.txt", "validation/bird/0.png"):
        (home / "cifar10" / extra).parent.mkdir(parents=True, exist_ok=True)
        (home / "cifar10" / extra).write_bytes(b"no image")
    cifar.load.cache_clear()
    assert same(cifar.load("cifar-10"), before)


# Decoded images


def fail(*_: object) -> Any:
    raise AssertionError("decoded again")


@pytest.mark.parametrize("name", cifar.CLASSES)
def test_images_are_decoded_once(name: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = cifar.load(name)
    cifar.load.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(cifar, "_decode", fail)
        assert same(cifar.load(name), before)


def test_a_damaged_file_of_decoded_images_is_made_anew(home: Path) -> None:
    before, file = cifar.load("cifar-10"), cifar.cached("cifar-10")
    whole = file.read_bytes()
    middle = len(whole) // 2
    for damaged in (whole[:middle], b"", whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]):
        file.write_bytes(damaged)
        cifar.load.cache_clear()
        assert same(cifar.load("cifar-10"), before)
        assert cifar._read_cache(file, cifar._list_images(home / "cifar10").fingerprint) is not None


def test_other_images_are_decoded_anew(home: Path) -> None:
    before = cifar.load("cifar-10")
    Image.fromarray(pixels("another", "train", 0, 0)).save(home / "cifar10" / "train" / "cat" / "0.png")
    cifar.load.cache_clear()
    after = cifar.load("cifar-10")
    assert (after.train_images != before.train_images).flatten(1).any(1).sum() in (1, 2, 3)  # of the cats alone
    assert torch.equal(after.test_images, before.test_images)


def test_a_folder_that_cannot_be_written_into(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root writes everywhere, so the answer of the operating system is given for it."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    assert len(cifar.load("cifar-10").train_labels) == 30
    assert not cifar.cached("cifar-10").exists()


# Bad input


def save(array: "np.ndarray[Any, Any]") -> Callable[[Path], None]:
    return lambda path: Image.fromarray(array).save(path)


DAMAGE: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "size": (
        "train/cat/1.png",
        save(np.zeros((32, 31, 3), np.uint8)),
        "train/cat/1.png has 31 x 32 pixels in mode RGB",
    ),
    "gray": ("test/dog/0.png", save(np.zeros((32, 32), np.uint8)), "test/dog/0.png has 32 x 32 pixels in mode L"),
    "alpha": (
        "test/dog/0.png",
        save(np.zeros((32, 32, 4), np.uint8)),
        "test/dog/0.png has 32 x 32 pixels in mode RGBA",
    ),
    "cut": ("train/ship/2.png", lambda p: p.write_bytes(p.read_bytes()[:900]), "train/ship/2.png is no readable image"),
    "empty": ("train/ship/2.png", lambda p: p.write_bytes(b""), "train/ship/2.png is no readable image"),
    "text": ("train/ship/2.png", lambda p: p.write_text("<html>"), "train/ship/2.png is no readable image"),
    "class": ("train/bird", shutil.rmtree, "no images in train/bird; 9 of 10 classes are there"),
    "part": ("test", shutil.rmtree, "no images in test/airplane; 0 of 10 classes are there"),
    "image": ("test/truck/1.png", Path.unlink, "1 images in test/truck, other classes have 2"),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("zipped", [False, True])
def test_what_is_wrong_is_named_and_nothing_is_kept(damage: str, zipped: bool, home: Path, folders: Path) -> None:
    where, change, message = DAMAGE[damage]
    change(home / "cifar10" / where)
    if zipped:
        zip_of(home / "cifar10", home / "cifar10.zip")
        shutil.rmtree(home / "cifar10")
    before = set(home.rglob("*"))
    for _ in range(2):
        with pytest.raises(hl.DataError) as caught:
            cifar.load("cifar-10")
        assert message in str(caught.value)
        assert str(cifar.find("cifar-10")) in str(caught.value)
    assert set(home.rglob("*")) == before
    shutil.rmtree(home / "cifar10", ignore_errors=True)
    shutil.copytree(folders / "cifar10", home / "cifar10")
    assert len(cifar.load("cifar-10")) == 4


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("where", ["cifar10/train/ship/2.png", "cifar100-first50.zip", "cifar-100-python.tar.gz"])
def test_what_is_no_file_is_not_read(kind: str, where: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / where).unlink(missing_ok=True)
    if where.endswith(".tar.gz"):
        (home / "cifar100-first50.zip").unlink()  # so that it is downloaded
    NO_FILES[kind](home / where)
    name = "cifar-10" if "cifar10/" in where else "cifar-100"
    with pytest.raises(hl.DataError, match=f"{where} is no regular file"):
        cifar.load(name)


@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_file_in_the_place_of_decoded_images(kind: str, home: Path) -> None:
    NO_FILES[kind](cifar.cached("cifar-10"))
    assert len(cifar.load("cifar-10").train_labels) == 30
    assert cifar.cached("cifar-10").is_file() == (kind != "folder")


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\nshowpage\n"


def encoded(kind: str) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels("cifar-10", "train", 0, 0)).save(content, kind)
    return content.getvalue()


@pytest.mark.parametrize("ending", [".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"])
@pytest.mark.parametrize("zipped", [False, True])
def test_an_ending_says_which_decoder_reads_the_image(
    ending: str, zipped: bool, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostScript would be given to Ghostscript, a program of its own; no decoder but the named one sees a file."""
    kind = Image.registered_extensions()[ending]
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", fail)
    (home / "cifar10" / "train" / "ship" / "2.png").unlink()
    file = home / "cifar10" / "train" / "ship" / f"2{ending.upper()}"
    foreign = [EPS, b"GIF89a", encoded("PNG" if kind != "PNG" else "BMP")]
    for content in (*foreign, encoded(kind)):
        file.write_bytes(content)
        if zipped:
            zip_of(home / "cifar10", home / "cifar10.zip")
            (home / "cifar10").rename(home / "aside")
        cifar.load.cache_clear()
        if content in foreign:
            with pytest.raises(
                hl.DataError, match=rf"2{ending.upper()} is no readable image \(its content is not {kind}"
            ):
                cifar.load("cifar-10")
        else:
            assert len(cifar.load("cifar-10").train_labels) == 30
        if zipped:
            (home / "aside").rename(home / "cifar10")


@pytest.mark.parametrize("zipped", [False, True])
def test_an_image_that_is_too_large_is_not_read(zipped: bool, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros: a zip of some kilobytes unpacks to any size."""
    file = home / "cifar10" / "train" / "ship" / "2.png"
    content = file.read_bytes()
    file.write_bytes(content + bytes(2**20 - len(content)))  # as large as may be
    assert len(cifar.load("cifar-10").train_labels) == 30
    file.write_bytes(content + bytes(2**20 + 1 - len(content)))
    if zipped:
        with zipfile.ZipFile(home / "cifar10.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in (home / "cifar10").rglob("*.png"):
                archive.write(path, path.relative_to(home / "cifar10"))
        shutil.rmtree(home / "cifar10")
        read = zipfile.ZipFile.read
        monkeypatch.setattr(
            zipfile.ZipFile, "read", lambda self, path: fail() if "ship/2" in path else read(self, path)
        )
    cifar.load.cache_clear()
    with pytest.raises(
        hl.DataError, match=r"train/ship/2.png (unpacks to|has) 1,048,577 bytes, more than the 1,048,576"
    ):
        cifar.load("cifar-10")


def test_an_image_of_many_pixels_is_not_decoded(home: Path, recwarn: pytest.WarningsRecorder) -> None:
    """Nor does the decoder's warning come beside the one line."""
    file = home / "cifar10" / "train" / "ship" / "2.png"
    for side, message in ((10_000, "has 10000 x 10000 pixels in mode RGB"), (20_000, "is no readable image")):
        header = b"IHDR" + side.to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
        chunks = [header, b"IDAT" + zlib.compress(b"")]
        file.write_bytes(
            b"\x89PNG\r\n\x1a\n"
            + b"".join((len(c) - 4).to_bytes(4, "big") + c + zlib.crc32(c).to_bytes(4, "big") for c in chunks)
        )
        cifar.load.cache_clear()
        with pytest.raises(hl.DataError, match=f"train/ship/2.png {message}"):
            cifar.load("cifar-10")
    assert not recwarn.list


def test_fewer_classes_of_cifar_100_than_fifty(home: Path, folders: Path) -> None:
    (home / "cifar100-first50.zip").unlink()
    shutil.copytree(folders / "cifar100", home / "cifar100", ignore=shutil.ignore_patterns("mountain"))
    with pytest.raises(hl.DataError, match="no images in train/mountain; 49 of 50 classes are there"):
        hl.benchmarks.cifar_10_100()


def test_a_damaged_zip(home: Path) -> None:
    file = home / "cifar100-first50.zip"
    whole = bytearray(file.read_bytes())
    whole[2000] ^= 1  # within the first image
    file.write_bytes(whole)
    with pytest.raises(hl.DataError, match=r"test/apple/0.png is no readable image \(Bad CRC-32"):
        cifar.load("cifar-100")
    file.write_bytes(whole[:5000])
    with pytest.raises(hl.DataError, match=r"cifar100-first50.zip cannot be read \(File is not a zip file"):
        cifar.load("cifar-100")


def test_damaged_files_of_torchvision(home: Path) -> None:
    shutil.copytree(home / "cifar10", home / "cifar-10-batches-py")
    with pytest.raises(hl.DataError, match=r"cifar-10-batches-py holds a damaged .* remove the folder to download"):
        cifar.load("cifar-10")


def test_no_network_where_a_download_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYPERLEARN_DATA", str(tmp_path))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    cifar.load.cache_clear()
    with pytest.raises(
        hl.DataError, match=r"CIFAR10 is not in .* could not be downloaded .* or a zip of one, cifar10.z"
    ):
        cifar.load("cifar-10")


def test_data_says_what_is_there(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["data"]) == 0
    out = capsys.readouterr().out
    assert f"cifar-10: ready, 30 training and 20 test images in {home}/cifar10, decoded into {home}/cifar-10.pt" in out
    assert "cifar-100: ready, 150 training and 100 test images in" in out
    shutil.rmtree(home / "cifar10" / "train" / "frog")
    (home / "cifar100-first50.zip").unlink()
    cifar.load.cache_clear()
    assert cli.main(["data"]) == 2
    out, err = capsys.readouterr()
    assert f"cifar-10: damaged, in {home}/cifar10" in out
    assert f"cifar-100: not there; downloaded into {home} on first use, or put torchvision's folder cifar-100-py" in out
    assert "no images in train/frog" in err


# The benchmark


def test_six_tasks(home: Path) -> None:
    benchmark = hl.benchmarks.cifar_10_100()
    assert [task.classes for task in benchmark.tasks] == [
        cifar.CLASSES["cifar-10"],
        *(cifar.CLASSES["cifar-100"][first : first + 10] for first in range(0, 50, 10)),
    ]
    for number, task in enumerate(benchmark.tasks):
        assert task.train.labels.bincount().tolist() == [3] * 10
        assert task.test.tasks.unique().tolist() == [number]
    (bear,) = (
        cifar.load("cifar-100").test_images[cifar.load("cifar-100").test_labels == 13],
    )  # beaver, bed, ... from 10 on
    assert torch.equal(benchmark.tasks[2].test.images[benchmark.tasks[2].test.labels == 3], bear)


def test_a_limit_takes_the_first_of_each_class(home: Path) -> None:
    whole = hl.benchmarks.cifar_10_100()
    one, three = (hl.benchmarks.limited(whole, n) for n in (1, 9))
    for a, b, c in zip(whole.tasks, one.tasks, three.tasks, strict=True):
        images = narrow(Tensor, a.train.images)
        assert torch.equal(narrow(Tensor, b.train.images), images[::3])
        assert torch.equal(b.test.labels, torch.arange(10))
        assert torch.equal(narrow(Tensor, c.train.images), images)


def test_cl1_only(home: Path) -> None:
    assert hl.benchmarks.cifar_10_100().scenarios == hl.benchmarks.MADE_FOR["cifar-10-100"] == ("cl1",)
    for scenario in ("cl2", "cl3"):
        with pytest.raises(hl.InputError, match=f"cifar-10-100 is made for cl1 alone, not for {scenario}"):
            hl.run("hnet", hl.benchmarks.cifar_10_100(), scenario)
    assert cli.main(["run", "cifar-10-100", "hnet", "--scenario", "cl3"]) == 2


# Augmentation


def test_augmentation_is_that_of_torchvision() -> None:
    """The same flips and crops forced on both give the same pixels, whatever the type."""
    torch.manual_seed(0)
    images = torch.randint(256, (40, 3, 32, 32), dtype=torch.uint8)
    flips, (tops, lefts) = torch.rand(40) < 0.5, torch.randint(9, (2, 40))
    expected = []
    for image, flip, top, left in zip(images, flips, tops.tolist(), lefts.tolist(), strict=True):
        turned = v2.functional.horizontal_flip(image) if flip else image
        expected.append(v2.functional.crop(v2.functional.pad(turned, [4]), top, left, 32, 32))
    for kind in (torch.uint8, torch.float32):
        made = flipped_and_cropped(images.to(kind), flips, tops, lefts, padding=4)
        assert made.dtype == kind
        assert torch.equal(made, torch.stack(expected).to(kind))


def test_every_crop_and_both_sides_are_drawn() -> None:
    """The image tells its rows and columns, so that what came out tells what was drawn."""
    torch.manual_seed(0)
    row, column = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    made = flip_and_crop(torch.stack([row, column, torch.zeros(32, 32)])[None].expand(20_000, 3, 32, 32))
    flipped = made[:, 1, 16, 16] > made[:, 1, 16, 17]
    down = made[:, 0, 16, 16] - 16  # from -4 to 4
    right = torch.where(flipped, 15 - made[:, 1, 16, 16], made[:, 1, 16, 16] - 16)
    counts = torch.histogramdd(torch.stack([flipped.float(), down, right], 1), [2, 9, 9], [0, 2, -4, 5, -4, 5]).hist
    expected = 20_000 / 162
    assert counts.sum() == 20_000
    assert ((counts - expected).square().sum() / expected) < 220  # chi-squared with 161 degrees: 1 in 1,000 is above


# Training


def test_epochs_and_schedule(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks of different size: as many steps as passes take, each task with the whole schedule."""
    rates: list[float] = []

    class Spy(torch.optim.Adam):
        def step(self, closure: Any = None) -> Any:
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    monkeypatch.setattr("hyperlearn.methods.base.Adam", Spy)
    whole = hl.benchmarks.cifar_10_100()
    small = hl.benchmarks.limited(whole, 1)
    benchmark = hl.benchmarks.Benchmark("cifar-10-100", (whole.tasks[0], small.tasks[1]))
    ends: dict[int, int] = {}
    settings = {**TINY, "epochs": 10, "batch_size": 6, "images_per_class": None}

    class Ends(hl.callbacks.Callback):
        def on_task(self, run: Any) -> None:
            ends[run.task] = run.step

    hl.run("finetune", benchmark, callbacks=[Ends()], **settings)
    assert ends == {0: 50, 1: 17}  # 10 x 30 / 6 and 10 x 10 / 6
    factors = [1.0] * 20 + [0.1] * 10 + [0.01] * 10 + [1e-3] * 5 + [5e-4] * 5
    assert rates[:50] == pytest.approx([1e-3 * factor for factor in factors])
    assert rates[50:] == pytest.approx([1e-3 * factors[int(step / 17 * 50)] for step in range(17)])


@pytest.mark.parametrize("method", TABLE_3)
def test_the_whole_path_to_table_3(method: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {
        "hnet": ["--chunk-size", "3000"], "hnet-iwr": ["--chunk-size", "3000"],
        "lstm-net": ["--chunk-size", "3000"], "lstm-net-iwr": ["--chunk-size", "3000"],
        "lstm-net-grow": ["--chunk-size", "3000"],
    }.get(method, [])  # fmt: skip
    words = [word for name, value in TINY.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    assert cli.main(["run", "cifar-10-100", method, *words, *sizes, "--results", str(tmp_path)]) == 0, (
        capsys.readouterr()
    )
    (record,) = results.read_all(tmp_path)
    assert (record.scenario, record.config["images_per_class"], record.config["epochs"]) == ("cl1", 2, 1)
    assert record.config["schedule"] == [[0.4, 0.1], [0.6, 0.01], [0.8, 1e-3], [0.9, 5e-4]]
    cells = {(cell.method, cell.task): cell.mean for cell in tables.table(3, [record])}
    assert cells[method, "cifar10"] == pytest.approx(100 * narrow(float, record.accuracy_matrix[5][0]))
    if method == "lstm-net":
        assert cells["lstm-net-during", "cifar10"] == pytest.approx(100 * narrow(float, record.accuracy_matrix[0][0]))
        assert cells["lstm-net-during", "all"] == pytest.approx(100 * record.metrics.during_accuracy)


def test_short_and_full_runs_are_never_in_one_table(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(recipes.SCHEDULES["short"], "cifar-10-100", lambda method: TINY)

    def cells(*arguments: str) -> dict[tuple[str, str], dict[str, Any]]:
        assert cli.main(["table", "3", "--json", "--results", str(tmp_path), *arguments]) == 0
        return {(cell["method"], cell["task"]): cell for cell in json.loads(capsys.readouterr().out)}

    for planned in sweeps.trainings("table3", tmp_path, seeds=1, schedule="short"):
        if planned.method == "finetune":
            planned.run()
    (record,) = results.read_all(tmp_path / "short")
    measured = {key: cell for key, cell in cells("--short").items() if cell["n"]}
    assert len(measured) == 7
    assert measured["finetune", "cifar100-s5"]["mean"] == pytest.approx(
        100 * narrow(float, record.accuracy_matrix[5][5])
    )
    assert all(cell["short"] == TINY and "verdict" not in cell for cell in measured.values())
    assert {cell["verdict"] for cell in cells().values()} == {"not run"}

    results.write(record, tmp_path)  # by hand, among the full runs
    assert cli.main(["table", "3", "--results", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert "Table 3: average accuracy, %, mean ± std (n)" in out
    assert out.count("not run") == 56
    assert f"left out of {tmp_path}, not as in the recipe: finetune on cifar-10-100, cl1: " in err
    assert "epochs 1" in err
    assert cli.main(["table", "3", "--short", "--results", str(tmp_path)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert (
        "short schedule (target resnet-8, epochs 1, batch size 8, images per class 2 in training and test), accuracy"
        in out
    )
    assert out.count("not run") == 49
    assert "below" not in out


@pytest.mark.parametrize(("method", "stop"), [("finetune", (0, 4)), ("lstm-net-iwr", (2, 8))])
def test_an_interrupted_run_goes_on_to_the_same_record(
    method: str, stop: tuple[int, int], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With batch norm's statistics, augmentation and the learning rate as they would have been."""
    monkeypatch.setattr(checkpoints, "EVERY", 4)
    settings = {**TINY, "epochs": 10, "images_per_class": 1, **({"chunk_size": 3000} if method != "finetune" else {})}
    benchmark = hl.benchmarks.first(hl.benchmarks.cifar_10_100(), 3)
    run = partial(hl.run, method, benchmark, "cl1", 1, **settings)
    whole = run()
    with stopped(*stop):
        run(checkpoint=tmp_path / "checkpoints")
    assert run(checkpoint=tmp_path / "checkpoints").same_measurement(whole)


def test_augmentation_is_what_it_says(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []

    def spy(images: Tensor) -> Tensor:
        seen.append(images)
        return flip_and_crop(images)

    monkeypatch.setattr(training, "flip_and_crop", spy)
    run = partial(hl.run, "scratch", hl.benchmarks.cifar_10_100(), **TINY)
    plain = run(augmentation="none")
    assert not seen
    assert not run().same_measurement(plain)
    assert len(seen) == 6 * 3
    assert all(float(images.min()) >= 0 and float(images.max()) <= 1 for images in seen)


# Recipes


def test_records_of_other_benchmarks_are_as_they_were() -> None:
    """What a recipe does without is left out, so that no run of before has to be run again."""
    for path in sorted((Path(__file__).parents[1] / "results" / "split-mnist").glob("*-seed0.json")):
        record = results.read(path)
        config = recipes.configure(record.method, "split-mnist", record.scenario).record()
        assert set(record.config) == set(config)
    assert set(recipes.configure("scratch", "cifar-10-100").record()) == {
        "target", "epochs", "batch_size", "learning_rate", "schedule", "augmentation",
    }  # fmt: skip


def test_lengths_and_schedules_as_text() -> None:
    configure = partial(recipes.configure, "scratch")
    assert configure("cifar-10-100").steps(50_000) == 312_500
    short = configure("cifar-10-100", iterations="7", schedule="0.5:0.1,0.75:1e-2", augmentation="none")
    assert (short.iterations, short.epochs, short.steps(99), short.augmentation) == (7, None, 7, None)
    assert short.schedule == ((0.5, 0.1), (0.75, 0.01))
    assert configure("cifar-10-100", schedule="none").schedule is None
    long = configure("split-mnist", epochs="2", schedule="0.5:0.1")
    assert (long.iterations, long.epochs, long.steps(128), long.schedule) == (None, 2, 2, ((0.5, 0.1),))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"epochs": "0"}, "epochs: input should be greater than or equal to 1, got '0'"),
        ({"epochs": "many"}, "epochs: input should be a valid integer"),
        ({"epochs": "2", "iterations": "3"}, "give either iterations or epochs"),
        ({"epochs": "none"}, "give either iterations or epochs"),
        ({"schedule": "0.5"}, "schedule: "),
        ({"schedule": "1.5:0.1"}, "schedule: input should be less than or equal to 1"),
        ({"schedule": "0.5:0"}, "schedule: input should be greater than 0"),
        ({"schedule": "0.5:0.1,0.5:0.2"}, r"the fractions of a schedule have to rise, got [0.5, 0.5]"),
        ({"augmentation": "mixup"}, "augmentation: input should be 'flip-crop'"),
        ({"images_per_class": "-1"}, "images_per_class: input should be greater than or equal to 1"),
    ],
)
def test_a_wrong_value_is_named(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(hl.InputError) as caught:
        recipes.configure("scratch", "cifar-10-100", **changed)
    assert str(caught.value).startswith(message)


def test_methods_without_a_recipe() -> None:
    assert set(TABLE_3) < set(recipes.methods("cifar-10-100"))
    with pytest.raises(hl.InputError, match="ewc has no recipe for cifar-10-100; these have one: finetune, scratch"):
        recipes.configure("ewc", "cifar-10-100")


# The script for a GPU


def test_the_script_for_a_gpu(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a CPU: speeds of every task, then rows until the time is up, and from there on at the next call.

    Without time there is no speed, and one step of the first row.
    """
    gpu = load(Path(__file__).parents[1] / "speed" / "gpu.py")
    monkeypatch.setattr(gpu, "STEPS", 1)
    monkeypatch.setattr(gpu, "BATCHES", (2, 4))
    command = ["gpu.py", f"--out={tmp_path}", "--device=cpu", "--methods", "scratch", "finetune", "--compile=auto"]
    command += ["--set", "epochs=2"]
    monkeypatch.setattr("sys.argv", [*command, "target=resnet-8", "images_per_class=1", "batch_size=5", "--seconds=0"])
    gpu.main()
    assert "scratch on cifar-10-100, cl1, seed 0" in (out := capsys.readouterr().out)
    assert "scratch: no time" in out
    assert "stopped in task 1, step 1" in out
    assert not list(tmp_path.rglob("*seed0.json"))
    assert json.loads((tmp_path / "speed.json").read_text())["complete"] is False
    monkeypatch.setattr("sys.argv", [*sys.argv[:-1], "--seconds=600"])
    gpu.main()
    assert [record.method for record in results.read_all(tmp_path / "results")] == ["finetune", "scratch"]
    speeds = json.loads((tmp_path / "speed.json").read_text())
    assert speeds["complete"] is True
    apart = speeds["losses_apart_from_a_processors"]
    drawing = {method for method in gpu.EVERY if "dgr" in method or method.endswith("-r")}
    assert {method for method, one in apart.items() if one is None} == drawing
    assert {one for one in apart.values() if one is not None} == {0.0}  # this one is a processor
    ways = [f"compile {how}, {precision}" for how in ("off", "auto") for precision in ("float32", "bfloat16")]
    assert {size: list(by) for size, by in speeds["lstm_net_images_per_second_by_batch"].items()} == {
        "2": ways,
        "4": ways,
    }
    rows = speeds["protocol"]["finetune"]
    assert rows["seconds"] == pytest.approx([20 / rate for rate in rows["images_per_second"]])


def test_the_script_for_a_gpu_takes_half_of_its_time_to_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by a second at each look: what is not measured in time is null, and no part of a sum."""
    gpu = load(Path(__file__).parents[1] / "speed" / "gpu.py")
    monkeypatch.setattr(gpu, "STEPS", 1)
    monkeypatch.setattr(gpu, "BATCHES", ())
    ticks = iter(range(10_000))
    monkeypatch.setattr(gpu.time, "monotonic", lambda: next(ticks))
    tasks = [hl.benchmarks.split_digits().tasks[0]] * 2
    benchmark = hl.benchmarks.Benchmark("digits", tuple(tasks))
    monkeypatch.setattr(gpu, "EVERY", {})
    found = gpu.measure(
        ["finetune"], benchmark, torch.device("cpu"), "off", gpu.Limit(2.5), {"target": "mlp-5", "augmentation": "none"}
    )
    assert found["complete"] is False
    assert [rate is None for rate in found["protocol"]["finetune"]["images_per_second"]] == [False, True]
    assert len(found["protocol"]["finetune"]["seconds"]) == 1
