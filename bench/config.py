"""What a run is: RunConfig, frozen and hashed; and how presets, rules and the command line resolve to one, checked."""

import functools
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

import estimators
from bench.data import DATASETS, find
from bench.machine.files import digest_of
from bench.machine.provenance import PROTOCOL
from bench.text import nearest

Posterior = Literal["factorised", "causal"]
Split = Literal["validation", "test"]
Precision = Literal["float32", "bfloat16"]
Positive = Annotated[int, Field(ge=1)]


class Identity(BaseModel):
    """What a run is a run of: all that the command line has options of their own for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    estimator: str
    """Canonical form: `name:key=value,...`, preset and constructor defaults dropped."""
    arguments: dict[str, object]
    """Every constructor argument, defaults included."""
    posterior: Posterior
    dataset: str
    fingerprint: str
    """Of the dataset's content."""
    preset: str
    seed: int
    device: Literal["cpu", "cuda"]
    budget: str = ""
    """That `steps` follow from and schedules end with, such as `decodes=8000000`; empty where the steps were chosen."""
    metrics: tuple[str, ...]
    """Image metrics asked for; those that could not be had are listed, with the reason, in config.json."""
    protocol: int = PROTOCOL
    final_split: Split = "test"
    """Where it is measured what the run came to. A run by which something is chosen never reads a test image."""


class Settings(BaseModel):
    """What presets and `--set key=value` may set."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    steps: Positive
    batch_size: Positive
    precision: Precision = "float32"
    """What the networks multiply in; parameters, heads, likelihoods and estimators are float32 anyway."""
    lr: Annotated[float, Field(gt=0)]
    lr_schedule: Literal["constant", "cosine"] = "constant"
    lr_end: Annotated[float, Field(ge=0, le=1)] = 0.0
    """What a cosine schedule ends at, as a fraction of lr."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    clip: Literal["norm", "adaptive"] = "norm"
    """What grad_clip bounds: the norm of the whole gradient, or every unit's relative to its parameters' norm
    (Brock et al. 2021, arXiv:2102.06171)."""
    grad_clip: Annotated[float, Field(gt=0)] = 1.0
    skip_non_finite: bool = False
    """Leave an update out whose loss or gradient is not finite, and count it as the term `skipped_updates`, instead of
    ending the run as diverged; a run that makes no update between two logs has diverged anyway. What an estimator keeps
    besides parameters is updated still."""
    beta: Annotated[float, Field(ge=0)]
    """Weight of the KL term at the first step; decays exponentially to beta_end."""
    beta_end: Annotated[float, Field(ge=0)]

    length: Positive
    """L, latent positions: one per image patch."""
    vocab: Annotated[int, Field(ge=2)]
    """V, codes per position."""
    width: Annotated[int, Field(ge=2)]
    """Width of features and code embeddings."""
    heads: Positive
    layers: Positive
    """Encoder blocks of the factorised posterior."""
    mlp_ratio: Positive
    causal_encoder_layers: Positive
    causal_layers: Positive
    causal_mlp_ratio: Positive
    decoder: Literal["conv", "mlp"]
    decoder_widths: tuple[Positive, Positive]
    """Hidden widths of the mlp decoder; the conv decoder uses the first."""
    likelihood: Literal["gaussian", "bernoulli"]
    min_var: Annotated[float, Field(gt=0)] = 1e-3
    """Of the Gaussian likelihood, in standardised pixel units."""
    max_var: Annotated[float, Field(gt=0)] = 1e3
    variance: Literal["smooth", "clipped"] = "smooth"
    """How it is kept between the two. Clipped, as published, a pixel under min_var is left without a gradient."""

    log_every: Positive
    eval_every: Positive
    eval_batch: Positive
    eval_images: Positive | None = None
    """Images of a split measured: the first so many; None: all."""
    eval_beta: Annotated[float, Field(ge=0)] | None = None
    """Weight of the KL in the beta-ELBO that is measured. None: the preset's own beta_end, whatever rules give an
    estimator and whatever is set, so that one number is compared with another."""

    @model_validator(mode="after")
    def _fit(self) -> "Settings":
        if self.width % self.heads:
            raise ValueError(f"width={self.width} does not divide into heads={self.heads}; try --set heads=1")
        if (self.beta == 0) != (self.beta_end == 0):
            raise ValueError(
                f"beta={self.beta} cannot decay exponentially to beta_end={self.beta_end}; "
                "try a small positive number, or both 0"
            )
        if self.lr_end and self.lr_schedule == "constant":
            raise ValueError(f"lr_end={self.lr_end:g} ends no constant schedule; try --set lr_schedule=cosine")
        return self


class RunConfig(Settings, Identity):
    """Everything that determines a run's numbers. Its digest is the run."""

    def measured_images(self, available: int) -> int:
        """How many images of a split are measured."""
        return min(available, self.eval_images or available)

    def reference_key(self, split: Split) -> str:
        """Names the images that reconstructions are measured against, for caches of their features."""
        return f"{self.fingerprint}-{self.likelihood}-{split}"

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that name the run and its folder."""
        return digest_of(self.model_dump(mode="json"))


SETTABLE = tuple(Settings.model_fields)
PRESETS = resources.files("bench.presets")
"""A YAML file per family of datasets."""


@functools.cache
def preset_file(family: str) -> dict[str, dict[str, Any]]:
    """The presets of one dataset family by name: their settings, `seeds` and `rules`, `defaults` and what they extend
    merged in.

    Raises ValueError, naming the file and the key, for what no run could be made of.
    """
    where, sections = f"presets/{family}.yaml", _shipped(family)
    return {name: _whole(where, name, sections) for name in sections if name != "defaults"}


def own_preset(path: Path) -> tuple[str, dict[str, Any]]:
    """The one preset of a file that somebody wrote, such as `bench tune`, and its name.

    Raises ValueError, naming the file and the key, as `preset_file` does, or where there is not one new preset.
    """
    try:
        text = path.read_text()
        content = yaml.safe_load(text)
    except OSError as error:
        raise ValueError(
            f"--preset {path} cannot be read ({error.strerror}); try the tuned.yaml of bench tune"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"--preset {path} is no YAML: {' '.join(str(error).split())}") from None
    names = [name for name in content if name not in ("extends", "defaults")] if isinstance(content, dict) else []
    shipped = {name for entry in DATASETS.values() for name in _shipped(entry.presets)}
    if len(names) != 1 or names[0] in shipped or not re.fullmatch(r"[\w.-]+", str(names[0])):
        words = f"has {', '.join(map(str, names)) or 'nothing'}"
        raise ValueError(f"--preset {path} {words}; a file holds one preset with a name of its own, such as tuned")
    return names[0], _whole(str(path), names[0], _sections(str(path), content))


def _shipped(family: str) -> dict[str, dict[str, Any]]:
    return _sections(f"presets/{family}.yaml", yaml.safe_load((PRESETS / f"{family}.yaml").read_text()) or {})


def _whole(where: str, name: str, sections: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """One of the sections over the defaults, checked."""
    preset = _over(sections.get("defaults", {}), sections[name])
    _check_preset(f"{where}, {name}", preset)
    return preset


def _sections(where: str, content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """As they are written, `extends` resolved."""
    content = dict(content)
    parent = content.pop("extends", None)
    if parent is not None and parent not in (known := sorted({entry.presets for entry in DATASETS.values()})):
        raise ValueError(f"{where}: extends: no presets {parent!r}; {nearest(parent, known)}")
    merged = _shipped(parent) if parent else {}
    for name, section in content.items():
        if not isinstance(section, dict):
            raise ValueError(f"{where}: {name}: no mapping of settings; {nearest(name, ['extends', 'defaults'])}")
        _check_keys(f"{where}, {name}", section, (*SETTABLE, "seeds", "rules"))
        merged[name] = _over(merged.get(name, {}), section)
    return merged


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    return {**below, **above, "rules": [*below.get("rules", []), *above.get("rules", [])]}


def _check_keys(where: str, found: Mapping[str, object], valid: Sequence[str]) -> None:
    for key in found:
        if key not in valid:
            raise ValueError(f"{where}: no key {key!r}; {nearest(str(key), valid)}")


def _check_preset(where: str, preset: Mapping[str, Any]) -> None:
    settings = {key: value for key, value in preset.items() if key not in ("seeds", "rules")}
    if not isinstance(preset.get("seeds"), int) or preset["seeds"] < 1:
        raise ValueError(f"{where}: seeds={preset.get('seeds')}: a whole number, here or in defaults, such as 3")
    _check_settings(where, settings)
    for rule in preset["rules"]:
        _check_keys(f"{where}: rules", rule, ("estimator", "posterior", "arguments", "set", "source"))
        name, posterior = rule.get("estimator", ""), rule.get("posterior", "factorised")
        if posterior not in get_args(Posterior):
            raise ValueError(f"{where}: rules: posterior {posterior!r}; {nearest(posterior, get_args(Posterior))}")
        try:
            estimators.parse(name, {name.partition(":")[0]: rule.get("arguments", {})})
        except ValueError as error:
            raise ValueError(f"{where}: rules: {error}") from None
        _check_keys(f"{where}: rules: set", rule.get("set", {}), SETTABLE)
        _check_settings(f"{where}: rules: {name}", {**settings, **rule.get("set", {})})


def _check_settings(where: str, settings: Mapping[str, Any]) -> None:
    known = {**settings, "length": 1} if settings.get("length", 0) is None else settings
    try:
        Settings(**known)
    except ValidationError as error:
        raise ValueError(f"{where}: {_in_words(error, settings)}") from None


def _in_words(error: ValidationError, settings: Mapping[str, object], advice: str = "") -> str:
    """What is wrong first."""
    first = error.errors()[0]
    if not first["loc"]:
        return str(first["ctx"]["error"])  # type: ignore[typeddict-item]
    key = str(first["loc"][0])
    return f"{key}={settings.get(key)}: {first['msg'].lower()}{advice.format(key)}"


def check_setting(key: str, value: object) -> None:
    """Raises ValueError for a value that no run can have, whatever else it has."""
    field: Any = Settings.model_fields[key]
    try:
        TypeAdapter(Annotated[field.annotation, field], config=ConfigDict(allow_inf_nan=False)).validate_python(value)  # type: ignore[valid-type]
    except ValidationError as error:
        raise ValueError(f"{key}={value}: {error.errors()[0]['msg'].lower()}; try {key}=...") from None


def presets(dataset: str) -> list[str]:
    """Names of a dataset's presets. Raises ValueError for a dataset nobody knows."""
    return list(preset_file(find(dataset).presets))


class Preset:
    """Settings of one preset for one dataset, with the rules that adapt them to an estimator and a posterior."""

    def __init__(self, dataset: str, name: str) -> None:
        """`name` may be the path of a file, as of `own_preset`. Raises ValueError for what is neither."""
        self.family = find(dataset).presets
        if name.endswith((".yaml", ".yml")):
            self.name, chosen = own_preset(Path(name))
        else:
            found = preset_file(self.family)
            if name not in found:
                raise ValueError(f"unknown preset {name!r}; {nearest(name, found)}; or the path of a .yaml file")
            self.name, chosen = name, found[name]
        self.settings = {key: value for key, value in chosen.items() if key not in ("seeds", "rules")}
        self.rules: list[dict[str, Any]] = chosen["rules"]
        self.seeds: int = chosen["seeds"]

    def _ruled(self, estimator: str, posterior: str, part: Literal["arguments", "set"]) -> dict[str, object]:
        """A rule for `vq` is for all of these, one for `vq:codebook=ema` for those that have that argument."""
        given = estimators.parse(estimator)
        found: dict[str, object] = {}
        for rule in self.rules:
            spec = estimators.parse(rule["estimator"])
            alike = spec.name == given.name and set(spec.arguments) <= set(given.arguments)
            if alike and rule.get("posterior", posterior) == posterior:
                found |= rule.get(part, {})
        return found

    def arguments(self, posterior: str, estimator: str = "") -> dict[str, dict[str, object]]:
        """Estimator arguments by estimator name, for `estimators.parse`; those for what was typed, if it is given."""
        names = {rule["estimator"].partition(":")[0] for rule in self.rules}
        typed = estimator.partition(":")[0]
        return {name: self._ruled(estimator if name == typed else name, posterior, "arguments") for name in names}

    def run_settings(self, estimator: str, posterior: str) -> dict[str, object]:
        """RunConfig fields for one estimator, as it was typed."""
        return {**self.settings, **self._ruled(estimator, posterior, "set")}


def parse_settings(pairs: list[str]) -> dict[str, object]:
    """`key=value` strings of `--set`. Raises ValueError for an unknown key, naming the nearest."""
    settings = {}
    for pair in pairs:
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not equals:
            raise ValueError(f"--set {pair!r} is not key=value; try --set {key}=...")
        if key not in SETTABLE:
            raise ValueError(f"--set {key}: no such setting; {nearest(key, SETTABLE)}")
        read = value.strip("[]()").split(",") if key == "decoder_widths" else value
        settings[key] = None if value.lower() == "none" else read
    return settings


def resolve(
    *,
    estimator: str,
    posterior: Posterior,
    preset: Preset,
    seed: int,
    device: Literal["cpu", "cuda"],
    dataset: str,
    fingerprint: str,
    shape: tuple[int, int, int],
    metrics: tuple[str, ...],
    overrides: Mapping[str, object],
    final_split: Split = "test",
    budget: str = "",
) -> RunConfig:
    """One run, with the preset's steps also where there is a `budget`.

    Raises ValueError, in one line, for whatever does not fit.
    """
    arguments = preset.arguments(posterior, estimator)
    spec = estimators.parse(estimator, arguments)
    settings = {**preset.run_settings(estimator, posterior), **overrides}
    if settings["length"] is None:
        settings["length"] = _default_length(*shape[1:])
    if settings.get("eval_beta") is None:
        settings["eval_beta"] = preset.settings["beta_end"]
    try:
        return RunConfig(
            estimator=str(spec),
            arguments=estimators.arguments(spec, arguments),
            posterior=posterior,
            dataset=dataset,
            fingerprint=fingerprint,
            preset=preset.name,
            seed=seed,
            device=device,
            budget=budget,
            metrics=metrics,
            final_split=final_split,
            **settings,  # type: ignore[arg-type]
        )
    except ValidationError as error:
        raise ValueError(_in_words(error, settings, "; try --set {}=...")) from None


def _default_length(height: int, width: int) -> int:
    """Patches of 4 x 4 pixels up to 64 pixels, of 8 x 8 above (the published CIFAR-10 and ImageNet settings)."""
    side = 4 if min(height, width) <= 64 else 8
    if height % side or width % side:
        raise ValueError(
            f"images of {height} x {width} pixels do not divide into patches of {side} x {side}; "
            "try --image-size 32, or --set length=..."
        )
    return (height // side) * (width // side)
