"""Folders of images that do not fit the memory."""

import pytest
import torch
from helpers.image_folders import everything, fill, load, zipped

pytestmark = pytest.mark.filterwarnings("error")
CPU = torch.device("cpu")


@pytest.fixture
def no_memory(monkeypatch):
    monkeypatch.setattr("bench.data.folder.free_memory", lambda device: 0)
    monkeypatch.setattr("bench.data.images.free_memory", lambda device: 0)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("as_zip", [False, True])
def test_streamed_batches_are_bitwise_those_of_resident_images(tmp_path, request, mode, as_zip):
    fill(tmp_path / "x", train=99, mode=mode)
    (tmp_path / "x/train/bad.png").write_text("")
    path = zipped(tmp_path / "x", tmp_path / "x.zip") if as_zip else tmp_path / "x"
    drawn = torch.randint(0, 90, (7, 16), generator=torch.Generator().manual_seed(0))
    order = [*drawn, torch.tensor([], dtype=torch.int64)]
    with pytest.warns(UserWarning, match="left out 1"):
        held = load(path, image_size=5).to(CPU)
    request.getfixturevalue("no_memory")
    with pytest.warns(UserWarning, match="left out 1"):
        streamed = load(path, image_size=5).to(CPU)
    assert type(streamed.train) is not type(held.train)
    assert (streamed.shape, streamed.fingerprint) == (held.shape, held.fingerprint)
    assert len(streamed.train) == len(held.train) == 90
    assert torch.equal(everything(streamed.validation), everything(held.validation))
    for a, b in zip(streamed.train.batches(order), held.train.batches(iter(order)), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(everything(streamed.test), everything(held.test))


def test_what_does_not_fit_the_host_is_held_where_it_does_fit(tmp_path, no_memory, monkeypatch):
    streamed = load(fill(tmp_path))
    monkeypatch.setattr("bench.data.images.free_memory", lambda device: 2**30)
    held = streamed.to(CPU)
    pixels = everything(streamed.train)
    for path in tmp_path.glob("*/*.png"):
        path.unlink()
    assert torch.equal(everything(held.train), pixels)


def test_an_image_that_vanishes_during_a_run_is_named(tmp_path, no_memory):
    streamed = load(fill(tmp_path))
    (tmp_path / "train/002.png").unlink()
    with pytest.raises(ValueError, match=r"'train/002\.png' was an image when the run began"):
        everything(streamed.train)
