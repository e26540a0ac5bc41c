"""Other people's folders: as found on disks, in archives, and as they break."""

import os
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.image_folders import as_set, everything, fill, learned_from, load, picture, refused, save, zipped
from PIL import Image

from bench import data

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def no_unexpected_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# what is found


def test_every_image_is_found_at_any_depth_in_any_format_and_nothing_else(tmp_path):
    fill(tmp_path, train=1, test=1)
    wanted = [picture(0)]
    for i, name in enumerate(
        ["a/b/c/deep.bmp", "UPPER.PNG", "x.y.tif", "a/lossless.webp", "Spaces and ünicode.ppm"], 1
    ):
        image = picture(i)
        path = tmp_path / "train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, lossless=True) if path.suffix == ".webp" else image.save(path)
        wanted.append(image)
    for name in [".hidden.png", "a/.cache/x.png", "__MACOSX/train/._x.png"]:
        save(tmp_path, f"train/{name}", picture(99))
    (tmp_path / "train/labels.csv").write_text("a,b")
    (tmp_path / "train/noise.npy").write_bytes(b"123")
    dataset = load(tmp_path)
    expected = {np.asarray(image).transpose(2, 0, 1).tobytes() for image in wanted}
    assert as_set(learned_from(dataset)) == expected
    assert len(learned_from(dataset)) == len(wanted)
    assert dataset.provenance["not_images"] == {"train": {".csv": 1, ".npy": 1}, "test": {}}


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_is_the_same_dataset_as_its_directory(tmp_path, compression):
    fill(tmp_path / "faces")
    here, there = load(tmp_path / "faces"), load(zipped(tmp_path / "faces", tmp_path / "faces.ZIP", compression))
    assert torch.equal(everything(here.train), everything(there.train))
    assert torch.equal(everything(here.test), everything(there.test))
    assert here.fingerprint == there.fingerprint
    assert here.name == there.name == "folder:faces"


def test_the_fingerprint_sees_a_changed_pixel_in_a_file_of_the_same_size(tmp_path):
    fill(tmp_path)
    path = save(tmp_path, "train/x.bmp", picture(7))
    before, size = load(tmp_path).fingerprint, path.stat().st_size
    changed = picture(7)
    changed.putpixel((0, 0), (1, 2, 3))
    changed.save(path)
    assert path.stat().st_size == size
    assert load(tmp_path).fingerprint != before


def test_the_fingerprint_sees_the_image_size(tmp_path):
    fill(tmp_path)
    assert len({load(tmp_path, image_size=n).fingerprint for n in (None, 4, 5)}) == 3


@pytest.mark.parametrize("test", ["test", "TEST", "val", "Valid", "validation"])
@pytest.mark.parametrize("wrapping", ["", "release-1.0/"])
@pytest.mark.parametrize("as_zip", [False, True])
def test_splits_are_found_by_any_of_their_names_below_one_wrapping_folder(tmp_path, test, wrapping, as_zip):
    root = tmp_path / "root"
    save(root, f"{wrapping}Train/a.png", picture(0))
    save(root, f"{wrapping}Train/d.png", picture(3))
    save(root, f"{wrapping}{test}/b.png", picture(1))
    save(root, f"{wrapping}{test}/c.png", picture(2))
    (root / "README.txt").write_text("hello")
    dataset = load(zipped(root, tmp_path / "a.zip") if as_zip else root)
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (1, 1, 2)


def test_a_folder_with_val_and_test_keeps_all_it_has_to_learn_from(tmp_path):
    fill(tmp_path, train=20, test=2)
    chosen_by = [picture(5000 + i) for i in range(3)]
    for i, image in enumerate(chosen_by):
        save(tmp_path, f"val/{i}.png", image)
    dataset = load(tmp_path)
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (20, 3, 2)
    assert as_set(everything(dataset.validation)) == {np.asarray(x).transpose(2, 0, 1).tobytes() for x in chosen_by}
    assert dataset.provenance["validation_split"] == "val/ in a fixed mixed order"


def test_the_cut_is_the_same_for_a_directory_its_zip_and_images_too_many_to_keep(tmp_path, monkeypatch):
    fill(tmp_path / "x", train=30)
    first = load(tmp_path / "x")
    assert len(first.validation) == 3
    again = load(zipped(tmp_path / "x", tmp_path / "x.zip"))
    monkeypatch.setattr("bench.data.folder.free_memory", lambda device: 0)
    streamed = load(tmp_path / "x")
    assert torch.equal(everything(first.validation), everything(again.validation))
    assert torch.equal(everything(first.validation), everything(streamed.validation))
    assert not as_set(everything(first.train)) & as_set(everything(first.validation))


def test_the_same_picture_in_train_and_test_is_counted_whatever_its_file(tmp_path):
    fill(tmp_path, train=10, test=2)
    save(tmp_path, "test/copy.bmp", picture(3))
    counts = load(tmp_path).provenance
    assert counts["test_images_in_train"] + counts["test_images_in_validation"] == 1


def test_home_and_relative_paths_work(tmp_path, monkeypatch):
    fill(tmp_path / "faces")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "faces")
    fingerprints = {
        data.load(f"folder:{path}").fingerprint for path in ("~/faces", ".", "../faces/", tmp_path / "faces")
    }
    assert len(fingerprints) == 1
    assert data.load("folder:.").name == data.load("folder:../faces").name == "folder:faces"
    assert data.load("folder:.").provenance["path"] == str(tmp_path / "faces")


@pytest.mark.parametrize("prefix", ["./", "data\\"])
def test_zips_written_by_other_tools_are_read(tmp_path, prefix):
    fill(tmp_path / "x", train=2, test=1)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        for name in ("train/000.png", "train/001.png", "test/000.png"):
            inner = f"{prefix}{name if prefix == './' else name.replace('/', prefix[-1])}"
            file.writestr(inner, (tmp_path / "x" / name).read_bytes())
    assert torch.equal(everything(load(tmp_path / "a.zip").train), everything(load(tmp_path / "x").train))


def test_the_first_test_images_come_from_every_class(tmp_path):
    save(tmp_path, "train/x.png", Image.new("RGB", (2, 2)))
    save(tmp_path, "train/y.png", Image.new("RGB", (2, 2)))
    for label in range(4):
        for i in range(30):
            save(tmp_path, f"test/class{label}/{i}.png", Image.new("RGB", (2, 2), (label, 0, 0)))
    first = everything(load(tmp_path).test)[:20, 0, 0, 0]
    assert set(first.tolist()) == {0, 1, 2, 3}


# links


def test_links_are_followed_and_loops_end(tmp_path):
    fill(tmp_path / "elsewhere", train=3, test=2)
    root = tmp_path / "root"
    root.mkdir()
    (root / "train").symlink_to(tmp_path / "elsewhere/train")
    (root / "test").symlink_to(tmp_path / "elsewhere/test")
    (tmp_path / "elsewhere/train/loop").symlink_to(tmp_path / "elsewhere/train")
    (tmp_path / "elsewhere/train/again").symlink_to(tmp_path / "elsewhere/train")
    (tmp_path / "elsewhere/test/up").symlink_to(tmp_path / "elsewhere")
    dataset = load(root)
    assert len(learned_from(dataset)) == 3
    assert len(dataset.test) == 2 + 3  # through the link upwards, once


def test_a_link_to_nothing_is_an_unreadable_image(tmp_path):
    fill(tmp_path)
    (tmp_path / "train/gone.png").symlink_to(tmp_path / "nowhere.png")
    message = refused(tmp_path)
    assert "1 of 5 images" in message
    assert "'train/gone.png' (No such file or directory)" in message


# sizes and channels


def test_images_of_several_sizes_are_listed_most_common_first(tmp_path):
    fill(tmp_path, train=5, test=3)
    for i in range(3):
        save(tmp_path, f"test/wide{i}.png", picture(i, (8, 20)))
    save(tmp_path, "train/z.png", picture(0, (30, 31)))
    message = refused(tmp_path)
    assert "6x8 (8), 20x8 (3), 31x30 (1)" in message
    assert "--image-size N" in message
    assert load(tmp_path, image_size=7).shape == (3, 7, 7)


def test_images_need_not_be_square_if_all_are_alike(tmp_path):
    assert load(fill(tmp_path, size=(5, 9))).shape == (3, 5, 9)


def test_images_that_had_to_be_made_larger_are_counted(tmp_path):
    fill(tmp_path, train=2, test=2, size=(6, 8))
    save(tmp_path, "train/big.png", picture(0, (20, 20)))
    assert load(tmp_path, image_size=10).provenance["smaller_than_image_size"] == 4


def test_there_is_one_channel_only_if_every_image_is_grey(tmp_path):
    fill(tmp_path, mode="L")
    grey = load(tmp_path)
    assert grey.shape == (1, 8, 6)
    save(tmp_path, "test/zz.png", picture(5))
    mixed = load(tmp_path)
    assert mixed.shape == (3, 8, 6)
    assert torch.equal(everything(mixed.train), everything(grey.train).expand(-1, 3, -1, -1))


# damage


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_truncated_jpeg_is_named_and_left_out(tmp_path):
    fill(tmp_path, train=99)
    cut_short(save(tmp_path, "train/bad.jpg", picture(0)))
    with pytest.warns(UserWarning, match=r"left out 1 of 100 images in train/ .*'train/bad.jpg' \(") as caught:
        dataset = load(tmp_path)
    assert len(caught) == 1
    assert len(learned_from(dataset)) == 99
    assert dataset.provenance["unreadable"]["train"] == {"count": 1, "first": ["train/bad.jpg"]}
    whole = everything(dataset.train)
    (tmp_path / "train/bad.jpg").unlink()
    assert torch.equal(whole, everything(load(tmp_path).train))


def test_more_than_one_percent_of_damage_stops_with_the_list(tmp_path):
    fill(tmp_path, train=98)
    for name in ("bad1.jpg", "bad2.jpg"):
        cut_short(save(tmp_path, f"train/{name}", picture(0)))
    message = refused(tmp_path)
    assert "2 of 100 images in train/" in message
    assert "bad1.jpg" in message
    assert "bad2.jpg" in message


def test_a_long_list_of_damage_is_cut_at_ten_names(tmp_path):
    fill(tmp_path)
    for i in range(25):
        (tmp_path / f"test/broken{i:02}.png").write_text("<html>404</html>")
    message = refused(tmp_path)
    assert "25 of 28 images in test/" in message
    assert message.count("(not an image)") == 10
    assert "and 15 more" in message


def test_a_damaged_member_of_a_zip_is_one_unreadable_image(tmp_path):
    fill(tmp_path / "x", train=100)
    archive = zipped(tmp_path / "x", tmp_path / "x.zip", zipfile.ZIP_STORED)
    raw = archive.read_bytes()
    victim = (tmp_path / "x/train/050.png").read_bytes()
    at = raw.index(victim) + len(victim) // 2
    archive.write_bytes(raw[:at] + bytes([raw[at] ^ 255]) + raw[at + 1 :])
    with pytest.warns(UserWarning, match="'train/050.png'"):
        assert len(learned_from(load(archive))) == 99


def test_floating_point_images_are_refused_with_the_reason(tmp_path):
    fill(tmp_path)
    save(tmp_path, "train/f.tif", Image.fromarray(np.ones((8, 6), np.float32)))
    assert "'train/f.tif' (floating-point pixels" in refused(tmp_path)


# what cannot be a dataset


def test_the_home_of_nobody():
    with pytest.raises(ValueError, match="somebody not known here"):
        data.load("folder:~nobody-of-this-name/images")


def test_a_path_that_is_not_there(tmp_path):
    assert "nothing at" in refused(tmp_path / "missing")


def test_an_empty_folder(tmp_path):
    assert "no train/ and test/; found no folder" in refused(tmp_path)


@pytest.mark.parametrize("wrapping", ["", "holiday/"])
def test_images_without_a_split_get_one_by_a_fixed_rule(tmp_path, wrapping):
    root = tmp_path / "mine"
    pictures = [picture(i) for i in range(40)]
    for i, image in enumerate(pictures):
        save(root, f"{wrapping}{['', 'cats/', 'dogs/'][i % 3]}{i:02}.png", image)
    dataset = load(root)
    splits = (dataset.train, dataset.validation, dataset.test)
    assert tuple(map(len, splits)) == (33, 3, 4)
    found = [as_set(everything(split)) for split in splits]
    assert set.union(*found) == {np.asarray(image).transpose(2, 0, 1).tobytes() for image in pictures}
    assert data.remarks(dataset) == [
        "folder:mine: no train/ and test/: one in ten of all images is held out for the test, the first of a fixed "
        "mixed order; held out are 4 for test and 3 for validation, 33 are to learn from"
    ]
    again = load(zipped(root, tmp_path / "again.zip"))
    assert as_set(everything(again.test)) == found[2]


@pytest.mark.parametrize("names", [("training", "testing"), ("Train_images", "x"), ("dev", "x"), ("x", "holdout")])
def test_what_looks_like_a_split_is_not_mixed_into_one(tmp_path, names):
    for i, name in enumerate(names):
        save(tmp_path, f"{name}/{i}.png", picture(i))
    assert f"found {names[0] + '/'!r}" in refused(tmp_path) or f"{names[1] + '/'!r}" in refused(tmp_path)


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_images_for_three_splits_are_one_line(tmp_path, count):
    for i in range(count):
        save(tmp_path, f"{i}.png", picture(i))
    assert "at least 3 are needed" in refused(tmp_path)


def test_one_split_only(tmp_path):
    save(tmp_path, "train/a.png", picture(0))
    save(tmp_path, "tests/b.png", picture(0))
    message = refused(tmp_path)
    assert "has no test/ (or val/)" in message
    assert "'tests/'" in message


@pytest.mark.parametrize("content", [[], ["notes.txt", "photo.heic", "raw.heic"]])
def test_a_split_without_images(tmp_path, content):
    fill(tmp_path, test=0)
    (tmp_path / "test").mkdir()
    for name in content:
        (tmp_path / "test" / name).write_text("")
    message = refused(tmp_path)
    assert "no images in test/" in message
    assert ("found 2 .heic, 1 .txt" if content else "found nothing") in message


@pytest.mark.skipif(Path("/TMP").exists(), reason="this file system does not tell upper from lower case")
def test_two_folders_for_one_split(tmp_path):
    fill(tmp_path)
    save(tmp_path, "Train/a.png", picture(0))
    assert "both Train/ and train/" in refused(tmp_path)


def test_a_file_that_is_no_zip(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"ustar" * 100)
    assert "no .zip that can be opened" in refused(tmp_path / "a.tar")


def test_a_zip_that_was_not_copied_whole(tmp_path):
    archive = zipped(fill(tmp_path / "x"), tmp_path / "x.zip")
    cut_short(archive)
    assert "copy it again" in refused(archive)


def test_a_zip_with_a_password(tmp_path):
    archive = zipped(fill(tmp_path / "x"), tmp_path / "x.zip")
    raw = bytearray(archive.read_bytes())
    entry = raw.index(b"PK\x01\x02")
    (flags,) = struct.unpack_from("<H", raw, entry + 8)
    struct.pack_into("<H", raw, entry + 8, flags | 1)
    archive.write_bytes(raw)
    assert "has a password" in refused(archive)


@pytest.mark.parametrize("name", ["", "train/inner"])
def test_a_folder_that_may_not_be_read(tmp_path, monkeypatch, name):
    """The refusal is staged: whoever runs this as root may read everything."""
    fill(tmp_path)
    locked = tmp_path / name
    locked.mkdir(exist_ok=True)
    scandir = os.scandir

    def refuse(path):
        if Path(path) == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert f"cannot read {str(locked)!r}: Permission denied" in refused(tmp_path)
