"""THE list of what is measured: name, title, unit, direction, format, and where it is shown. Imports no torch.

A new metric is an entry here and its function: in `SCORES` of `images.py` for images, in `evaluate.py` for codes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from bench.text import nearest

SSIM_WINDOW = 11
"""Pixels; with a standard deviation of 1.5, the window of Wang et al. 2004."""
LPIPS_MIN_SIDE = 64
"""Pixels. AlexNet needs 31, where its last maps are 1 x 1; LPIPS was calibrated on patches of 64."""

Readout = Literal["sample", "mode"]
"""Which code of an image is measured: one drawn from q(z|x), or the most likely one, position by position."""
UNITLESS = ("1", "count", "fraction", "codes")
"""Units that are not written behind a number."""


@dataclass(frozen=True)
class Metric:
    """One number per run, split and readout; of kind `cost`, one per run; of kind `gradient`, of the gradient lab."""

    name: str
    """In the column `metric` of the table."""
    title: str
    """In headings."""
    unit: str
    """"1" for pure numbers."""
    better: Literal["higher", "lower", ""]
    """Empty where neither end is best by itself: a rate is low in a latent that says nothing."""
    kind: Literal["image", "code", "cost", "gradient", "other"]
    summary: str
    places: int | None = 2
    """Decimals, the same in every view; None: as many as its uncertainty allows."""
    rank: int | None = None
    """Of those that have one, the first that was measured orders methods and names a winner."""
    column: bool = False
    """Stands in tables unless others are asked for."""
    constant: bool = False
    """The same for every seed."""
    short: bool = False
    """Written with four digits at most: 8M, 39.94k."""
    costly: bool = False
    """Runs a network of its own: measured at the last step only."""
    weights: str | None = None
    """Name in `bench.metrics.weights.WEIGHTS`."""
    definition: str = ""
    """What a reader needs to compute the same number; goes to config.json."""
    libraries: tuple[str, ...] = ()
    readout: Readout = "sample"
    """Of which codes it is shown; measured of others too, it is in the rows. Where q's noise alone would look like use
    of the codebook, of the most likely ones."""

    @property
    def suffix(self) -> str:
        """The unit as it follows a number, with a space before it; empty for pure numbers."""
        return "" if self.unit in UNITLESS else f" {self.unit}"

    @property
    def heading(self) -> str:
        """Title and unit: `PSNR [dB]`."""
        return f"{self.title} [{self.unit}]" if self.suffix else self.title

    @property
    def arrow(self) -> str:
        """Which way is better."""
        return {"higher": "↑", "lower": "↓", "": ""}[self.better]

    @property
    def with_arrow(self) -> str:
        """Heading and arrow: `PSNR [dB] ↑`."""
        return f"{self.heading} {self.arrow}".strip()

    def judged(self, change: float) -> str:
        """What a change is: better or worse, or higher or lower where neither end is."""
        up, down = ("better", "worse") if self.better else ("higher", "lower")
        return up if self.sign * change > 0 else down

    @property
    def sign(self) -> int:
        """1 where more is better or neither is, -1 where less is: what a value is multiplied by to be compared."""
        return -1 if self.better == "lower" else 1


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "psnr", "PSNR", "dB", "higher", "image", "Peak signal-to-noise ratio at 8 bits, mean over images",
            rank=1, column=True,
            definition="10 log10(255^2 / mse) per image, mse over pixels and channels and at least 1/12, "
            "the error of rounding to 8 bits (58.9 dB); mean over images",
        ),
        Metric(
            "ssim", "SSIM", "1", "higher", "image",
            "Structural similarity (Wang et al. 2004), torchmetrics, Gaussian window", 3, rank=2, column=True,
            definition=f"data range 255, per channel, borders mirrored; window {SSIM_WINDOW} with sigma 1.5, "
            "on smaller images the largest odd window that fits with sigma in proportion; mean over images",
            libraries=("torchmetrics",),
        ),
        Metric(
            "mae", "MAE", "1", "lower", "image", "Mean absolute error, of the 0 to 1 range", 4,
            definition="mean of |original - reconstruction| / 255 over pixels and channels; mean over images",
        ),
        Metric(
            "lpips", "LPIPS", "1", "lower", "image",
            "Learned perceptual distance (Zhang et al. 2018), lpips, AlexNet v0.1", 3,
            rank=3, column=True, costly=True, weights="alexnet",
            definition="lpips.LPIPS(net='alex', version='0.1') on [-1, 1], grey repeated to 3 channels; "
            f"images with a side under {LPIPS_MIN_SIDE} px enlarged until the shorter is {LPIPS_MIN_SIDE} "
            "(bilinear, align_corners=False, antialias=False); float32 without TF32; mean over images",
            libraries=("lpips", "torchvision"),
        ),
        Metric(
            "rfid", "rFID", "1", "lower", "image",
            "Fréchet Inception distance (Heusel et al. 2017) to the originals, torch-fidelity", 1,
            rank=4, column=True, costly=True, weights="inception",
            definition="torch-fidelity inception-v3-compat, layer 2048, reconstructions against the same n "
            "images of the split, grey repeated to 3 channels, resized to 299 x 299 by torch-fidelity (bilinear "
            "as in TensorFlow 1); float32 without TF32; biased upwards for small n",
            libraries=("torch-fidelity",),
        ),
        Metric(
            "elbo", "ELBO", "nats", "higher", "code", "log p(x|z) - KL per image; NaN for quantizers", 1,
            rank=5, column=True,
        ),
        Metric(
            "beta_elbo", "β-ELBO", "nats", "higher", "code",
            "log p(x|z) - eval_beta KL per image, at one beta for all of a preset; NaN for quantizers", 1,
        ),
        Metric(
            "log_lik", "log p(x|z)", "nats", "", "code",
            "log p(x|z) per image, of the standardised or binarised pixels", 1,
        ),
        Metric(
            "kl", "KL", "nats", "", "code",
            "KL(q(z|x) || uniform) per image, of a causal posterior along sampled codes; L log V for quantizers", 1,
        ),
        Metric(
            "bits", "rate", "bits", "", "code", "the same KL in bits: the rate per image under a uniform prior",
            1, column=True,
        ),
        Metric(
            "entropy", "code entropy", "bits", "", "code",
            "empirical entropy of the codes, summed over positions; too low by (codes used - 1) / 2n nats each", 1,
            column=True,
            definition="sum over positions of the entropy of the histogram of that position's codes over n images: the "
            "rate per image at which a code for each position stores them; as an estimate too low by about (codes used "
            "- 1) / 2n nats per position (Miller 1955), much where n is small beside the vocabulary",
        ),
        Metric(
            "mutual_information", "information", "bits", "", "code",
            "H(mean q) - mean H(q), summed over positions; of categoricals, a quantizer's is its code entropy", 1,
            definition="sum over positions of I(x; z_l) = H(mean over images of q) - mean over images of H(q); of a "
            "causal posterior q given one sampled prefix per image, I(x, z_<l; z_l). Either sum is I(x; z) plus what "
            "the positions share, sum H(z_l) - H(z); at most L log n, and too low for small n as the entropy is",
        ),
        Metric(
            "capacity", "capacity", "bits", "", "code", "L log2 V: what the latent holds at most", 1, constant=True
        ),
        Metric(
            "usage", "codes used", "fraction", "", "code",
            "codes used at least once on the split / vocabulary, of the most likely codes", column=True, readout="mode",
        ),
        Metric(
            "perplexity", "perplexity", "codes", "", "code",
            "exp(entropy of the codes over split and positions), of the most likely codes", 1, column=True,
            readout="mode",
        ),
        # what a run spent is no merit and no fault: its budget was
        Metric(
            "decodes", "decodes", "count", "", "cost", "decoder evaluations times images, of the whole run", 0,
            column=True, constant=True, short=True,
        ),
        Metric(
            "images", "images", "count", "", "cost", "images seen in the whole run", 0,
            column=True, constant=True, short=True,
        ),
        Metric(
            "seconds", "training time", "s", "", "cost", "of the whole run, evaluation excluded", None, column=True
        ),
        Metric(
            "ms_per_step", "time per step", "ms", "lower", "cost",
            "training time per optimiser step, evaluation excluded", 1,
        ),
        Metric("images_per_second", "throughput", "images/s", "higher", "cost", "training throughput", 0),
        Metric(
            "peak_memory", "peak memory", "MiB", "lower", "cost",
            "of the device while training; of the process on the CPU", 0,
        ),
        Metric(
            "parameters", "parameters, model", "count", "", "cost", "of encoder, posterior and decoder", 0,
            column=True, constant=True,
        ),
        Metric(
            "parameters_estimator", "parameters, estimator", "count", "", "cost",
            "of what the estimator owns: codebook, critic, ...", 0, column=True, constant=True,
        ),
        # of the lab: unitless, relative to the exact gradient's squared norm, or to the estimator's own mean gradient
        Metric("bias_squared", "squared bias", "1", "lower", "gradient", "of the mean, less its own noise", None),
        Metric("bias_error", "its error", "1", "", "gradient", "standard error of the squared bias over draws", None),
        Metric("variance", "variance", "1", "lower", "gradient", "of one draw", None),
        Metric("mse", "mean squared error", "1", "lower", "gradient", "of one draw", None),
        Metric("cosine", "cosine", "1", "higher", "gradient", "of one draw with the exact gradient", None),
        Metric("relative_variance", "variance / mean²", "1", "lower", "gradient", "of one draw", None),
        Metric("snr", "signal to noise", "1", "higher", "gradient", "mean² over the variance of one draw", None),
        Metric("snr_per_decode", "signal to noise per decode", "1", "higher", "gradient", "per decoding", None),
        Metric("cosine_to_reference", "cosine to reference", "1", "higher", "gradient", "of the mean", None),
        Metric("cosine_error", "its error", "1", "", "gradient", "jackknife standard error of that cosine", None),
    )
}  # fmt: skip
"""In the order in which they are shown."""


def names(kind: str) -> list[str]:
    """Of one kind."""
    return [name for name, metric in METRICS.items() if metric.kind == kind]


def images(wanted: Iterable[str] | None) -> tuple[str, ...]:
    """Image metrics among those wanted, or all: what is measured besides anyway needs no choice. Raises ValueError for
    what is not measured."""
    chosen = list(METRICS if wanted is None else wanted)
    for name in chosen:
        find(name)
    return tuple(name for name in names("image") if name in chosen)


def ranked() -> list[str]:
    """Those that order methods, the first to be asked first."""
    found = [(metric.rank, name) for name, metric in METRICS.items() if metric.rank is not None]
    return [name for _, name in sorted(found)]


def columns() -> list[str]:
    """Those that stand in tables unless others are asked for."""
    return [name for name, metric in METRICS.items() if metric.column]


def find(name: str) -> Metric:
    """Raises ValueError for what is not measured."""
    if name not in METRICS:
        raise ValueError(f"unknown metric {name!r}; {nearest(name, METRICS)}")
    return METRICS[name]


def describe(name: str) -> Metric:
    """Of any metric, also one that a plug-in or a later version wrote."""
    return METRICS.get(name) or Metric(name, name, "1", "", "other", "", None)


def definitions(kind: str) -> dict[str, dict[str, str]]:
    """Of the metrics of one kind that have one, for config.json."""
    found = [METRICS[name] for name in names(kind)]
    return {one.name: {"definition": one.definition, "unit": one.unit} for one in found if one.definition}


def readout(name: str) -> Readout:
    """Of which codes a metric is shown; `usage/3`, of one position, as `usage`."""
    return describe(name.partition("/")[0]).readout


def in_order(found: set[str]) -> list[str]:
    """As in METRICS, then by name."""
    return [name for name in METRICS if name in found] + sorted(found - set(METRICS))
