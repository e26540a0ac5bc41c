"""The real download code against a server on this machine, with small archives in the published formats."""

import gzip
import hashlib
import io
import pickle
import socket
import struct
import tarfile
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from bench import data
from bench.data.images import cut

RNG = np.random.default_rng(0)


class Server(ThreadingHTTPServer):
    """Serves `files`; `cut` names those whose connection ends half way, `altered` those that come changed."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.cut: set[str] = set()
        self.altered: set[str] = set()
        self.requests: Counter[str] = Counter()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        self.server.requests[name] += 1
        if name not in self.server.files:
            self.send_error(404)
            return
        body = self.server.files[name]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if name in self.server.cut:
            body = body[: len(body) // 2]
        if name in self.server.altered:
            body = bytes(len(body))
        self.wfile.write(body)

    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("BENCH_OFFLINE", raising=False)
    return tmp_path / "data"


def md5(raw: bytes) -> str:
    return hashlib.md5(raw).hexdigest()


@pytest.fixture
def cifar(server, monkeypatch) -> dict[str, np.ndarray]:
    """Publishes a CIFAR-10 of 6 + 4 images; returns their pixels."""
    rows = {"data_batch_1": 4, "data_batch_2": 2, "test_batch": 4}
    pixels = {name: RNG.integers(0, 256, (n, 3072), dtype=np.uint8) for name, n in rows.items()}
    content = {name: pickle.dumps({"data": x, "labels": [0] * len(x)}) for name, x in pixels.items()}
    content["batches.meta"] = pickle.dumps({"label_names": ["thing"]})
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, raw in content.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(raw)
            tar.addfile(member, io.BytesIO(raw))
    server.files["cifar-10-python.tar.gz"] = buffer.getvalue()
    cls = torchvision.datasets.CIFAR10
    monkeypatch.setattr(cls, "url", f"{server.url}cifar-10-python.tar.gz")
    monkeypatch.setattr(cls, "tgz_md5", md5(buffer.getvalue()))
    monkeypatch.setattr(cls, "train_list", [[name, md5(content[name])] for name in ("data_batch_1", "data_batch_2")])
    monkeypatch.setattr(cls, "test_list", [["test_batch", md5(content["test_batch"])]])
    monkeypatch.setattr(cls, "meta", {**cls.meta, "md5": md5(content["batches.meta"])})
    return {
        "train": np.concatenate([pixels["data_batch_1"], pixels["data_batch_2"]]).reshape(-1, 3, 32, 32),
        "test": pixels["test_batch"].reshape(-1, 3, 32, 32),
    }


@pytest.fixture
def mnist(server, monkeypatch) -> dict[str, np.ndarray]:
    """Publishes an MNIST of 5 + 3 images on the second of two mirrors; returns their pixels."""
    pixels = {"train": 5, "t10k": 3}
    pixels = {split: RNG.integers(0, 256, (n, 28, 28), dtype=np.uint8) for split, n in pixels.items()}
    resources = []
    for split, x in pixels.items():
        for kind, array in (("images-idx3", x), ("labels-idx1", x[:, 0, 0] % 10)):
            header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            name, raw = f"{split}-{kind}-ubyte.gz", gzip.compress(header + array.tobytes())
            server.files[f"second/{name}"] = raw
            resources.append((name, md5(raw)))
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", resources)
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [f"{server.url}first/", f"{server.url}second/"])
    return {"train": pixels["train"][:, None], "test": pixels["t10k"][:, None]}


def everything(split: data.Images) -> torch.Tensor:
    return torch.cat(list(split.batches(torch.arange(len(split)).split(256))))


def assert_same(dataset: data.Dataset, published: dict[str, np.ndarray]) -> None:
    learned, held_out = cut(len(published["train"]))
    assert np.array_equal(everything(dataset.train), published["train"][learned])
    assert np.array_equal(everything(dataset.validation), published["train"][held_out])
    assert np.array_equal(everything(dataset.test), published["test"])


def refused(name: str, **kwargs) -> str:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as error:
        data.load(name, **kwargs)
    return str(error.value)


def present(name: str) -> bool:
    return next(info.present for info in data.DATASETS.values() if info.name == name)


def test_a_dataset_is_downloaded_once(server, cifar, root):
    assert not present("cifar10")
    assert_same(data.load("cifar10"), cifar)
    assert_same(data.load("cifar10"), cifar)
    assert server.requests == {"cifar-10-python.tar.gz": 1}
    assert present("cifar10")
    assert [path.name for path in root.iterdir()] == ["cifar-10-batches-py"]
    assert data.load("cifar10").provenance["archives_md5"] == {
        "cifar-10-python.tar.gz": md5(server.files["cifar-10-python.tar.gz"])
    }


def test_a_mirror_that_fails_is_followed_by_the_next(server, mnist):
    assert_same(data.load("mnist"), mnist)
    assert server.requests["first/train-images-idx3-ubyte.gz"] == 1
    assert data.load("mnist").shape == (1, 28, 28)


def test_files_already_there_in_torchvisions_layout_are_used(server, cifar, root):
    torchvision.datasets.CIFAR10(str(root), download=True)
    server.files.clear()
    assert_same(data.load("cifar10"), cifar)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("cut", "the connection ended after"),
        ("altered", "wrong checksum"),
        ("missing", "404"),
    ],
)
def test_a_failed_download_says_where_and_leaves_nothing_behind(server, cifar, root, how, said):
    published = dict(server.files)
    if how == "missing":
        server.files.clear()
    else:
        getattr(server, how).update(server.files)
    message = refused("cifar10")
    assert said in message
    assert f"127.0.0.1:{server.server_port}" in message
    assert "bench fetch cifar10" in message
    assert str(root / "cifar-10-batches-py") in message
    assert list(root.iterdir()) == []
    server.files, server.cut, server.altered = published, set(), set()
    assert_same(data.load("cifar10"), cifar)


def test_all_mirrors_are_named_when_none_delivers(server, mnist, root):
    server.cut.add("second/t10k-labels-idx1-ubyte.gz")
    message = refused("mnist")
    assert "404" in message
    assert "the connection ended after" in message
    assert list(root.iterdir()) == []


def test_a_host_that_does_not_answer_is_one_line(monkeypatch, root):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setattr(torchvision.datasets.CIFAR100, "url", f"http://127.0.0.1:{port}/x.tar.gz")
    assert f"cannot download cifar100: 127.0.0.1:{port}: Connection refused" in refused("cifar100")


@pytest.mark.parametrize("off", ["argument", "environment"])
def test_without_permission_nothing_is_downloaded(server, cifar, root, monkeypatch, off):
    if off == "environment":
        monkeypatch.setenv("BENCH_OFFLINE", "1")
    message = refused("cifar10", download=off == "environment")
    assert "bench fetch cifar10" in message
    assert str(root) in message
    assert not server.requests
    assert not root.exists()


def test_a_truncated_copy_is_not_taken_for_good(server, cifar, mnist, root):
    data.load("cifar10")
    data.load("mnist")
    for path in (root / "cifar-10-batches-py/data_batch_2", root / "MNIST/raw/t10k-images-idx3-ubyte"):
        path.write_bytes(path.read_bytes()[:-100])
    for name, published in (("cifar10", cifar), ("mnist", mnist)):
        assert "damaged in" in refused(name, download=False)
        assert_same(data.load(name), published)
    aside = sorted(path.name for path in root.iterdir())
    assert aside == ["MNIST", "MNIST.damaged-1", "cifar-10-batches-py", "cifar-10-batches-py.damaged-1"]


def test_a_data_folder_that_cannot_be_made_is_one_line(server, cifar, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "file"))
    message = refused("cifar10")
    assert f"cannot write cifar10 to {tmp_path / 'file'}" in message
    assert "BENCH_DATA" in message


def test_two_processes_that_download_at_once_both_get_the_data(server, cifar, root, monkeypatch):
    """The slower one finds the folder in place when it comes to put its own there."""
    original = torchvision.datasets.CIFAR10.download

    def overtaken(self):
        original(self)
        if Path(self.root) != root and not (root / "cifar-10-batches-py").exists():
            torchvision.datasets.CIFAR10(str(root), download=True)

    monkeypatch.setattr(torchvision.datasets.CIFAR10, "download", overtaken)
    assert_same(data.load("cifar10"), cifar)
    assert server.requests["cifar-10-python.tar.gz"] >= 1
    assert not [path for path in root.iterdir() if path.name.startswith(".")]


def test_fetch_says_what_it_did(server, cifar, root, monkeypatch):
    monkeypatch.setenv("BENCH_OFFLINE", "1")  # whoever types fetch means it
    first, second = data.fetch("cifar10"), data.fetch("cifar10")
    assert first == f"cifar10: downloaded, 6 train and 4 test images, checked: {root / 'cifar-10-batches-py'}"
    assert second == first.replace("downloaded", "already here")
    assert "nothing to fetch" in data.fetch("digits")


@pytest.mark.parametrize("name", ["folder:x", "cifar", ""])
def test_fetch_refuses_what_cannot_be_downloaded(name):
    with pytest.raises(ValueError, match="valid: cifar10, cifar100, fashion_mnist, mnist"):
        data.fetch(name)


def test_the_published_addresses_are_those_torchvision_has():
    """No network here: at least every dataset names an address, a file and a checksum for each archive."""
    from bench.data.downloads import _archives

    for name, count in {"mnist": 4, "fashion_mnist": 4, "cifar10": 1, "cifar100": 1}.items():
        archives = _archives(data.DATASETS[name])
        assert len(archives) == count
        for urls, target, checksum in archives:
            assert urls
            assert all(url.startswith("http") and url.endswith(Path(target).name) for url in urls)
            assert len(checksum) == 32
