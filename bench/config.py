"""What a run is: RunConfig, frozen and hashed; and how presets, rules and the command line resolve to one."""

import functools
import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import estimators

Posterior = Literal["factorised", "causal"]
Precision = Literal["float32", "bfloat16"]
Positive = Annotated[int, Field(ge=1)]


class RunConfig(BaseModel):
    """Everything that determines a run's numbers. Its digest is the run."""

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

    steps: Positive
    batch_size: Positive
    precision: Precision = "float32"
    """What the networks multiply in; parameters, heads, likelihoods and estimators are float32 anyway."""
    lr: Annotated[float, Field(gt=0)]
    lr_schedule: Literal["constant", "cosine"] = "constant"
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    grad_clip: Annotated[float, Field(gt=0)] = 1.0
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

    log_every: Positive
    eval_every: Positive
    eval_batch: Positive
    eval_images: Positive | None = None
    """Test images measured: the first so many; None: the whole split."""
    metrics: tuple[str, ...]
    """Image metrics asked for; those that could not be had are listed, with the reason, in config.json."""

    def measured_images(self, available: int) -> int:
        """How many of the test images are measured."""
        return min(available, self.eval_images or available)

    @property
    def reference_key(self) -> str:
        """Names the images that reconstructions are measured against, for caches of their features."""
        return f"{self.fingerprint}-{self.likelihood}"

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that name the run and its folder."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


SETTABLE = tuple(RunConfig.model_fields)[8:-1]
"""What `--set key=value` and preset files may set: all but what the command line has options for."""


@functools.cache
def preset_file(family: str) -> dict[str, dict]:
    """The YAML of one dataset family, `extends` resolved."""
    text = (resources.files("bench.presets") / f"{family}.yaml").read_text()
    content = yaml.safe_load(text) or {}
    parent = preset_file(content["extends"]) if "extends" in content else {}
    merged = {}
    for section in dict.fromkeys([*parent, *content]):
        if section == "extends":
            continue
        own = content.get(section) or {}
        inherited = parent.get(section, {})
        rules = [*inherited.get("rules", []), *own.get("rules", [])]
        merged[section] = {**inherited, **own, "rules": rules}
    return merged


def families() -> list[str]:
    """Dataset families that have presets."""
    return sorted(
        f.name.removesuffix(".yaml") for f in resources.files("bench.presets").iterdir() if f.name.endswith(".yaml")
    )


def presets(family: str) -> list[str]:
    """Names of a dataset family's presets."""
    return [section for section in preset_file(family) if section != "defaults"]


class Preset:
    """Settings of one preset for one dataset, with the rules that adapt them to an estimator and a posterior."""

    def __init__(self, dataset: str, name: str) -> None:
        """Raises ValueError for a name that is not a preset."""
        family = dataset.partition(":")[0]
        if name not in presets(family):
            raise ValueError(f"unknown preset {name!r}; {estimators.nearest(name, presets(family))}")
        content = preset_file(family)
        self.name = name
        self.settings = {**content["defaults"], **content[name]}
        self.rules: list[dict] = [*content["defaults"]["rules"], *content[name]["rules"]]
        del self.settings["rules"]
        self.seeds: int = self.settings.pop("seeds")

    def _matching(self, name: str, posterior: str) -> list[dict]:
        return [
            rule for rule in self.rules
            if rule["estimator"] == name and rule.get("posterior", posterior) == posterior
        ]  # fmt: skip

    def arguments(self, posterior: str) -> dict[str, dict[str, object]]:
        """Estimator arguments by estimator name, for `estimators.parse`."""
        names = {rule["estimator"] for rule in self.rules}
        return {
            name: {
                key: value
                for rule in self._matching(name, posterior)
                for key, value in rule.get("arguments", {}).items()
            }
            for name in names
        }

    def run_settings(self, name: str, posterior: str) -> dict[str, object]:
        """RunConfig fields for one estimator."""
        settings = dict(self.settings)
        for rule in self._matching(name, posterior):
            settings |= rule.get("set", {})
        return settings


def parse_settings(pairs: list[str]) -> dict[str, object]:
    """`key=value` strings of `--set`. Raises ValueError for an unknown key, naming the nearest."""
    settings = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        key = key.strip()
        if not equals:
            raise ValueError(f"--set {pair!r} is not key=value; try --set {key}=...")
        if key not in SETTABLE:
            raise ValueError(f"--set {key}: no such setting; {estimators.nearest(key, SETTABLE)}")
        value = value.strip()
        if key == "decoder_widths":
            settings[key] = value.strip("[]()").split(",")
        else:
            settings[key] = None if value.lower() == "none" else value
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
) -> RunConfig:
    """One run. Raises ValueError, in one line, for whatever does not fit."""
    arguments = preset.arguments(posterior)
    spec = estimators.parse(estimator, arguments)
    settings = {**preset.run_settings(spec.name, posterior), **overrides}
    if settings["length"] is None:
        settings["length"] = _default_length(shape)
    try:
        config = RunConfig(
            estimator=str(spec),
            arguments=estimators.arguments(spec, arguments),
            posterior=posterior,
            dataset=dataset,
            fingerprint=fingerprint,
            preset=preset.name,
            seed=seed,
            device=device,
            metrics=metrics,
            **settings,  # type: ignore[arg-type]
        )
    except ValidationError as error:
        first = error.errors()[0]
        key = first["loc"][0]
        raise ValueError(f"{key}={settings.get(str(key))}: {first['msg'].lower()}; try --set {key}=...") from None
    if config.width % config.heads:
        raise ValueError(f"width={config.width} does not divide into heads={config.heads}; try --set heads=1")
    if (config.beta == 0) != (config.beta_end == 0):
        raise ValueError(
            f"beta={config.beta} cannot decay exponentially to beta_end={config.beta_end}; "
            "try a small positive number, or both 0"
        )
    return config


def _default_length(shape: tuple[int, int, int]) -> int:
    """Patches of 4 x 4 pixels up to 64 pixels, of 8 x 8 above (the published CIFAR-10 and ImageNet settings)."""
    _, height, width = shape
    side = 4 if min(height, width) <= 64 else 8
    if height % side or width % side:
        raise ValueError(
            f"images of {height} x {width} pixels do not divide into patches of {side} x {side}; "
            "try --image-size 32, or --set length=..."
        )
    return (height // side) * (width // side)
