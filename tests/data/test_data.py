import itertools
import threading
import time

import numpy as np
import pytest
import torch
from helpers.configs import TINY
from sklearn.datasets import load_digits

from bench import data, speed
from bench.config import Preset
from bench.data import embedded, images
from bench.data.images import map_ahead
from bench.machine import devices

CPU = torch.device("cpu")


def everything(split: data.Images) -> torch.Tensor:
    return torch.cat(list(split.batches(torch.arange(len(split)).split(256))))


def test_digits_are_scaled_to_the_full_range_and_every_fifth_is_held_out():
    dataset = data.load("digits")
    levels = load_digits().images
    assert everything(dataset.test).shape == (360, 1, 8, 8)
    for i in (0, 1, 7):
        expected = np.floor(levels[5 * i] * 255 / 16 + 0.5)
        assert np.array_equal(everything(dataset.test)[i, 0].numpy(), expected)
    assert everything(dataset.train).max() == 255
    assert sum(len(split) for split in (dataset.train, dataset.validation, dataset.test)) == len(levels)


def test_validation_is_a_tenth_of_train_and_takes_nothing_from_the_test():
    dataset = data.load("digits")
    train, validation, test = (everything(split) for split in (dataset.train, dataset.validation, dataset.test))
    everyone = load_digits().images
    learned = [image for i, image in enumerate(everyone) if i % 5]
    scaled = {np.floor(image * 255 / 16 + 0.5).astype(np.uint8).tobytes() for image in learned}
    assert {image.numpy().tobytes() for image in (*train, *validation)} == scaled
    assert len(validation) == len(learned) // 10
    assert len(test) == len(everyone) - len(learned)


@pytest.mark.parametrize(("n", "held_out"), [(2, 1), (19, 1), (20, 2), (49_990, 4999), (60_000, 5000)])
def test_the_cut_takes_every_image_once_and_at_most_5000(n, held_out):
    learned, validation = images.cut(n)
    assert sorted([*learned, *validation]) == list(range(n))
    assert learned == sorted(learned)
    assert len(validation) == held_out
    assert images.cut(n) == (learned, validation)
    # spread over all of a folder that is sorted by class
    assert n < 1000 or max(validation) - min(validation) > 0.95 * n


def test_one_image_is_not_enough_to_learn_from_and_to_validate_on():
    with pytest.raises(ValueError, match="at least 3"):
        images.cut(1)


def test_images_that_stand_in_two_splits_are_counted_and_said():
    pixels = torch.randint(0, 256, (40, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    train, validation, test = pixels[:20].clone(), pixels[20:30].clone(), pixels[30:].clone()
    test[3], test[4], test[5] = train[7], train[7], validation[2]
    validation[9] = train[0]
    dataset = images.in_memory("twins", train, test, validation)
    assert dataset.provenance["test_images_in_train"] == 2
    assert data.remarks(dataset) == [
        "1 of 10 validation images stand in train too, pixel by pixel",
        "2 of 10 test images stand in train too, pixel by pixel",
        "1 of 10 test images stand in validation too, pixel by pixel",
    ]
    assert data.remarks(images.in_memory("none", pixels[:20], pixels[30:], pixels[20:30])) == []


@pytest.mark.parametrize("name", ["digits", "photos"])
def test_the_catalogue_says_what_loading_gives(name):
    info = next(info for info in data.DATASETS.values() if info.name == name)
    dataset = data.load(name)
    splits = (dataset.train, dataset.validation, dataset.test)
    assert (info.shape, info.counts) == (dataset.shape, tuple(map(len, splits)))
    assert info.bytes == sum(everything(split).numel() for split in splits)


def noise_images() -> data.Dataset:
    pixels = torch.randint(0, 256, (12, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return images.in_memory("noise", pixels[:8], pixels[8:], source="embedded")


def test_a_new_dataset_is_one_entry(bench, monkeypatch):
    """Then everything that speaks of datasets knows it."""
    entry = data.Entry(
        "noise", "no picture", (1, 8, 8), (7, 1, 4), "digits", "embedded", "nowhere", f"{__name__}:noise_images"
    )
    monkeypatch.setitem(data.DATASETS, "noise", entry)
    assert data.load("noise").train.shape == (1, 8, 8)
    assert "no picture (1x8x8; 7 + 1 + 4 images; embedded)" in bench("list", "datasets")[1]
    assert "noise          quick" in bench("list", "presets")[1]
    assert Preset("noise", "quick").settings == Preset("digits", "quick").settings
    assert "dataset noise            here" in bench("doctor")[1]
    assert speed.size("noise").shape == (1, 8, 8)
    assert "noise: comes with nowhere" in data.fetch("noise")
    with pytest.raises(ValueError, match=r"did you mean noise\?"):
        data.load("nois")
    code, _, err = bench("run", "-e", "fsq", "--dataset", "noise", *TINY, "--seeds", "1", "--set", "batch_size=4")
    assert code == 0, err


def test_a_new_download_is_one_entry(monkeypatch, tmp_path):
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    entry = data.Entry(
        "kmnist", "", (1, 28, 28), (55_000, 5000, 10_000), "mnist", "download", "KMNIST", "torchvision.datasets:KMNIST"
    )
    monkeypatch.setitem(data.DATASETS, "kmnist", entry)
    assert "kmnist" in data.downloads()
    assert not entry.present
    with pytest.raises(ValueError, match=f"kmnist is not in {tmp_path / 'KMNIST'}.*bench fetch kmnist"):
        data.load("kmnist", download=False)


@pytest.mark.parametrize("across", [0, 1])
def test_no_pixel_of_a_photograph_reaches_two_splits(across):
    """Found by experiment: invert a row or column of a noise photograph, within the bands of one split or of the other,
    and see which splits' crops change."""
    noise = np.random.default_rng(0).integers(0, 256, (260, 243, 3), dtype=np.uint8)
    parts = {
        "train": (embedded._TRAIN_BANDS, embedded._TRAIN_ROWS, 1),
        "validation": (embedded._TRAIN_BANDS, embedded._VALIDATION_ROWS, 1),
        "test": (embedded._TEST_BANDS, embedded._ALL_ROWS, 1),
    }
    line = (slice(None), slice(0, 60)) if across == 0 else (slice(0, 90), slice(None))
    before = {split: embedded._crops({"noise": noise}, *part) for split, part in parts.items()}
    reached = {split: set() for split in parts}
    for place in range(0, noise.shape[across], 2):
        changed = noise.copy()
        view = changed[line]
        (view[place] if across == 0 else view[:, place])[:] ^= 255
        for split, part in parts.items():
            if not torch.equal(before[split], embedded._crops({"noise": changed}, *part)):
                reached[split].add(place)
    train, validation, test = reached.values()
    if across == 0:
        # columns of train and validation alone: the same columns, other rows
        assert not test
        assert not train & validation
        assert len(train) > 60
        assert len(validation) > 15
    else:
        # rows of train and test alone: the same rows, other columns
        assert not validation
        assert not train & test
        assert len(train) > 50
        assert len(test) > 30


def test_photos_are_the_same_every_time():
    assert data.load("photos").fingerprint == data.load("photos").fingerprint


def test_the_first_photos_of_the_test_split_come_from_nearly_all_photographs():
    first = {image.numpy().tobytes() for image in everything(data.load("photos").test)[:50]}
    seen = 0
    for name, photograph in embedded._photographs().items():
        crops = embedded._crops({name: photograph}, embedded._TEST_BANDS, embedded._ALL_ROWS, embedded._TEST_STRIDE)
        seen += not first.isdisjoint(crop.numpy().tobytes() for crop in crops)
    assert seen >= 6


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("cifar", "did you mean cifar10?"),
        ("Fashion-MNIST", "did you mean fashion_mnist?"),
        ("", "valid: cifar10, cifar100, digits, fashion_mnist, folder:PATH, mnist, photos"),
        ("./images", "type folder:./images"),
        ("images.ZIP", "type folder:images.ZIP"),
        ("folder:", "folder: needs a path"),
    ],
)
def test_an_unknown_dataset_is_answered_with_what_to_type(spec, said):
    with pytest.raises(ValueError, match=r"^[^\n]+$") as error:
        data.load(spec)
    assert said in str(error.value)


def test_a_directory_given_without_folder_is_recognised(tmp_path, monkeypatch):
    (tmp_path / "faces").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="type folder:faces"):
        data.load("faces")


@pytest.mark.parametrize(("spec", "size"), [("digits", 16), ("folder:.", 0), ("folder:.", -3)])
def test_an_image_size_that_cannot_be_is_refused(spec, size):
    with pytest.raises(ValueError, match="--image-size"):
        data.load(spec, image_size=size)


def test_statistics_are_those_of_all_pixels():
    pixels = torch.randint(0, 256, (700, 3, 5, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pixels[:, 1] //= 3
    mean, std = data.pixel_statistics(data.resident(pixels))
    by_channel = pixels.double().transpose(0, 1).flatten(1)
    torch.testing.assert_close(mean, by_channel.mean(dim=1).float())
    torch.testing.assert_close(std, by_channel.std(dim=1, correction=0).float())


def test_the_deviation_of_a_constant_channel_can_be_divided_by():
    mean, std = data.pixel_statistics(data.resident(torch.full((4, 1, 2, 2), 7, dtype=torch.uint8)))
    assert (mean.item(), std.item()) == (7.0, 1.0)


def test_the_fingerprint_follows_the_pixels():
    train, test = torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.zeros(2, 1, 2, 2, dtype=torch.uint8)
    changed = test.clone()
    changed[1, 0, 1, 1] = 1
    prints = [
        images.in_memory("x", *splits).fingerprint
        for splits in ((train, test), (train.clone(), test), (train, changed), (test, train))
    ]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


def test_work_ahead_keeps_the_order_and_goes_at_most_two_batches_ahead(monkeypatch):
    monkeypatch.setattr("bench.data.images.cores", lambda: 4)
    taken = []

    def batches():
        for start in itertools.count(0, 10):
            taken.append(start)
            yield list(range(start, start + 10))

    def slow_when_early(i):
        time.sleep(0.002 * (9 - i % 10))
        return -i

    threads = threading.active_count()
    results = map_ahead(slow_when_early, batches())
    assert [next(results) for _ in range(3)] == [[-i for i in range(s, s + 10)] for s in (0, 10, 20)]
    assert len(taken) == 5
    results.close()
    assert threading.active_count() == threads


def test_an_error_in_work_ahead_is_raised_where_it_is_awaited():
    results = map_ahead(lambda i: 1 // i, [[1, 2], [1, 0], [3]])
    assert next(results) == [1, 0]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_a_batch_job_sees_the_memory_of_its_control_group(tmp_path):
    groups = {"": None, "slurm": "max", "slurm/job": "1000", "slurm/job/task": "max"}
    for name, limit in groups.items():
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        if limit:
            (folder / "memory.max").write_text(f"{limit}\n")
            (folder / "memory.current").write_text("400\n")
    membership = tmp_path / "membership"
    membership.write_text("1:name=systemd:/\n0::/slurm/job/task\n")
    assert devices._control_group_memory(membership, tmp_path) == [600]
    assert 0 < devices.free_memory(CPU) < 2**50


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("free", [2**40, 0])
def test_batches_arrive_on_the_gpu_whether_the_images_fit_there_or_not(monkeypatch, free):
    monkeypatch.setattr("bench.data.images.free_memory", lambda device: free)
    dataset = data.load("digits")
    moved = dataset.to(torch.device("cuda"))
    order = [torch.tensor([5, 3, 3]), torch.tensor([0])]
    for here, there in zip(dataset.train.batches(order), moved.train.batches(order), strict=True):
        assert there.device.type == "cuda"
        assert torch.equal(here, there.cpu())
    torch.testing.assert_close(data.pixel_statistics(dataset.train), data.pixel_statistics(moved.train))
