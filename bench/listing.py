"""The lines of `bench list` and `bench doctor`."""

import inspect
from collections.abc import Iterator

import estimators as registry
from bench import config, data, metrics, weights
from bench.provenance import hardware, package_versions


def estimators() -> Iterator[str]:
    for name, cls in sorted(registry.available().items()):
        arguments = ", ".join(f"{key}={option.default}" for key, option in sorted(registry.options(cls).items()))
        about = (inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " ")
        posteriors = "both posteriors" if cls.causal_ok else "factorised only"
        yield f"{name:18} {about} [{posteriors}] ({arguments})"


def datasets() -> Iterator[str]:
    for info in data.catalogue():
        shape = "x".join(map(str, info.shape)) if info.shape else "any size"
        count = f"{info.n_train} + {info.n_test}" if info.n_train else "yours"
        yield f"{info.name:15} {info.summary} ({shape}; {count} images; {info.source})"


def presets() -> Iterator[str]:
    for family in config.families():
        for name in config.PRESETS:
            preset = config.Preset(family, name)
            s = preset.settings
            size = f"L={s['length'] or 'by size'} V={s['vocab']} d={s['width']}"
            yield (
                f"{family:14} {name:9} steps={s['steps']} batch_size={s['batch_size']} lr={s['lr']:g} {size} "
                f"beta={s['beta']:g}->{s['beta_end']:g} {s['likelihood']} seeds={preset.seeds}"
            )


def metric_lines() -> Iterator[str]:
    for info in metrics.METRICS.values():
        needs = f"; needs {info.weights} weights" if info.weights else ""
        yield f"{info.name:21} {info.summary} [{info.unit or 'no unit'}, {info.better} is better{needs}]"


def doctor() -> Iterator[str]:
    import torch

    yield from (f"{name:24} {value}" for name, value in package_versions().items())
    yield from (f"{name:24} {value}" for name, value in hardware().items())
    yield f"{'device':24} {'cuda' if torch.cuda.is_available() else 'cpu'} (what --device auto takes)"
    yield f"{'free memory':24} {data.free_memory(torch.device('cpu')) / 2**30:.1f} GiB"
    if torch.cuda.is_available():
        yield f"{'free GPU memory':24} {data.free_memory(torch.device('cuda')) / 2**30:.1f} GiB"
    for info in data.catalogue():
        here = "here" if info.present else "missing"
        size = f"{info.bytes / 2**20:.0f} MiB in memory; " if info.bytes else ""
        yield f"dataset {info.name:16} {here:8} {size}{info.where}"
    for item in weights.status():
        yield f"weights {item.name:16} {item.state:8} {item.path} (for {item.used_by})"
