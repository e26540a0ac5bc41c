"""How the report names metrics and writes their values."""

import math
from dataclasses import dataclass

from bench.metrics.catalogue import METRICS

TITLES = {
    "psnr": "PSNR",
    "ssim": "SSIM",
    "mae": "MAE",
    "lpips": "LPIPS",
    "rfid": "rFID",
    "elbo": "ELBO",
    "beta_elbo": "β-ELBO",
    "log_lik": "log p(x|z)",
    "kl": "KL",
    "bits": "rate",
    "usage": "codes used",
    "perplexity": "perplexity",
    "ms_per_step": "time per step",
    "images_per_second": "throughput",
    "peak_memory": "peak memory",
    "parameters": "parameters, model",
    "parameters_estimator": "parameters, estimator",
}
"""In the order in which they are shown; metrics that are not here come last, by name."""
NEITHER = ("kl", "bits", "perplexity", "usage", "log_lik", "beta_elbo", "parameters", "parameters_estimator")
"""Neither end is best by itself: a rate is low in a latent that says nothing, beta differs between runs, and sizes
are part of the terms."""
UNITLESS = ("1", "count", "fraction", "codes")


@dataclass(frozen=True)
class Metric:
    name: str
    title: str
    unit: str
    """Empty for pure numbers."""
    better: str
    """`higher`, `lower`, or empty."""
    summary: str
    whole: bool
    """Values are counts."""

    @property
    def heading(self) -> str:
        return f"{self.title} [{self.unit}]" if self.unit else self.title

    @property
    def arrow(self) -> str:
        return {"higher": "↑", "lower": "↓", "": ""}[self.better]


def describe(name: str) -> Metric:
    """Of any metric, also one that a plug-in or a later version wrote."""
    known = METRICS.get(name)
    if known is None:
        return Metric(name, TITLES.get(name, name), "", "", "", False)
    unit = "" if known.unit in UNITLESS else known.unit
    better = "" if name in NEITHER else known.better
    return Metric(name, TITLES.get(name, name), unit, better, known.summary, known.unit == "count")


def in_order(names: set[str]) -> list[str]:
    """As in TITLES, then by name."""
    return [name for name in TITLES if name in names] + sorted(names - set(TITLES))


def digits(spread: float, size: float) -> int:
    """Decimals that show two digits of a spread, or four of a size where there is no spread."""
    if spread > 0:
        return max(0, min(6, 1 - math.floor(math.log10(spread))))
    return max(0, min(6, 3 - math.floor(math.log10(abs(size))))) if size else 0


def number(value: float | None, decimals: int) -> str:
    """With a true minus; a dash where there is no value."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:,.{decimals}f}"
    return text.replace("-", "−").replace(",", "\N{NARROW NO-BREAK SPACE}")


def seeds_in_words(seeds: list[int | None]) -> str:
    """0–4 for a gapless row, a list otherwise."""
    known = sorted({seed for seed in seeds if seed is not None})
    if not known:
        return "–"
    if len(known) > 2 and known == list(range(known[0], known[-1] + 1)):
        return f"{known[0]}–{known[-1]}"
    return ", ".join(map(str, known))
