"""The lines of `bench list` and `bench doctor`."""

import inspect
import typing
from collections.abc import Iterator

import estimators as registry
from bench import config, data
from bench.machine.devices import free_memory
from bench.machine.provenance import hardware, package_versions
from bench.metrics import weights
from bench.metrics.catalogue import METRICS


def estimators() -> Iterator[str]:
    for name, cls in sorted(registry.available().items()):
        arguments = ", ".join(_argument(option) for _, option in sorted(registry.options(cls).items()))
        about = (inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " ")
        posteriors = "both posteriors" if cls.causal_ok else "factorised only"
        yield f"{name:18} {about} [{posteriors}] ({arguments})"


def groups() -> Iterator[str]:
    for name, group in registry.GROUPS.items():
        yield f"{name:15} {group.about}: {', '.join(registry.members(name))}"


def spaces() -> Iterator[str]:
    from bench import tuning

    for key, factor in tuning.SHARED.items():
        yield f"{'all':18} {key}: the preset's / {factor:.3g} to the preset's x {factor:.3g} (log)"
    for name in sorted(registry.available()):
        if words := tuning.in_words(registry.space(name)):
            yield f"{name:18} {'; '.join(f'{key}: {one}' for key, one in words.items())}"


def _argument(option: inspect.Parameter) -> str:
    """`key=default`, with the other choices where there are a few."""
    default = str(option.default).lower()
    others = [choice for choice in typing.get_args(option.annotation) if isinstance(choice, str)]
    return f"{option.name}={'|'.join([default, *(choice for choice in others if choice != default)])}"


def datasets() -> Iterator[str]:
    for info in data.DATASETS.values():
        shape = "x".join(map(str, info.shape)) if info.shape else "any size"
        count = f"{' + '.join(map(str, info.counts))} images; " if info.counts else ""
        yield f"{info.spec:15} {info.summary} ({shape}; {count}{info.source})"


def presets() -> Iterator[str]:
    for dataset in data.DATASETS:
        for name in config.presets(dataset):
            preset = config.Preset(dataset, name)
            s = preset.settings
            size = f"L={s['length'] or 'by size'} V={s['vocab']} d={s['width']}"
            yield (
                f"{dataset:14} {name:11} steps={s['steps']} batch_size={s['batch_size']} lr={s['lr']:g} {size} "
                f"beta={s['beta']:g}->{s['beta_end']:g} {s['likelihood']} seeds={preset.seeds}"
            )


def metrics() -> Iterator[str]:
    for info in METRICS.values():
        needs = f"; needs {info.weights} weights" if info.weights else ""
        unit = "no unit" if info.unit == "1" else info.unit
        better = f", {info.better} is better" if info.better else ""
        yield f"{info.name:21} {info.summary} [{unit}{better}{needs}]"


def ablations() -> Iterator[str]:
    from bench import ablation

    yield from ablation.lines()


def doctor() -> Iterator[str]:
    import torch

    yield from (f"{name:24} {value}" for name, value in {**package_versions(), **hardware()}.items())
    yield f"{'device':24} {'cuda' if torch.cuda.is_available() else 'cpu'} (what --device auto takes)"
    yield f"{'free memory':24} {free_memory(torch.device('cpu')) / 2**30:.1f} GiB"
    if torch.cuda.is_available():
        yield f"{'free GPU memory':24} {free_memory(torch.device('cuda')) / 2**30:.1f} GiB"
    for info in data.DATASETS.values():
        here = "here" if info.present else "missing"
        size = f"{info.bytes / 2**20:.0f} MiB in memory; " if info.bytes else ""
        yield f"dataset {info.spec:16} {here:8} {size}{info.where}"
    for item in weights.WEIGHTS.values():
        yield f"weights {item.name:16} {item.state:8} {item.path} (for {item.used_by})"
