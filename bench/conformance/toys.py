"""Tiny problems whose every code can be enumerated."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import models
from estimators import Latent, Problem, load

WIDTH = 8


@dataclass
class Toy:
    """One autoencoder over tiny latents, and b copies of one image's features."""

    posterior: models.Factorised | models.Causal
    decoder: nn.Module
    features: Tensor
    target: Tensor

    def log_lik(self, code: Tensor) -> Tensor:
        mean = self.decoder(code)
        return -(mean - self.target).square().sum((-2, -1))

    def problem(
        self, beta: float = 1.0, b: int = 1, noise: torch.Generator | None = None, progress: float = 0.0
    ) -> Problem:
        features = self.features.expand(b, -1, -1)
        bound = self.posterior.bind(features)
        return Problem(bound, bound, self.log_lik, beta, progress, noise, features)


def toy(
    kind: str,
    length: int = 2,
    vocab: int = 3,
    *,
    out: int | None = None,
    vector: int | None = None,
    scale: float = 1.0,
) -> Toy:
    """A toy with a `factorised` or `causal` posterior; `scale` > 1 makes it peaked, < 1 near-uniform."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        if kind == "factorised":
            posterior = models.Factorised(WIDTH, out or vocab)
        else:
            posterior = models.Causal(length, vocab, WIDTH, layers=1, heads=2, mlp_ratio=2)
        embedding = models.CodeEmbedding(WIDTH, vector=vector) if vector else models.CodeEmbedding(WIDTH, vocab=vocab)
        decoder = nn.Sequential(embedding, nn.Linear(WIDTH, 2), nn.Tanh())
        made = Toy(posterior, decoder, torch.randn(1, length, WIDTH), torch.randn(length, 2))
    with torch.no_grad():
        posterior.head.get_parameter("weight").mul_(scale)
    return made


def toy_for(spec: str, kind: str, length: int = 2, vocab: int = 4, scale: float = 1.0):
    """An estimator and a toy it fits."""
    estimator = load(spec, Latent(length, vocab, WIDTH))
    return estimator, toy(kind, length, vocab, out=estimator.head_width, vector=estimator.code_width, scale=scale)


def all_codes(length: int, vocab: int) -> Tensor:
    """Every code, [vocab^length, 1, length]."""
    return torch.tensor(list(itertools.product(range(vocab), repeat=length)))[:, None]


Logits = Callable[[Tensor], Tensor]
"""Head outputs -> log q up to a constant: an estimator's own."""


def as_they_are(params: Tensor) -> Tensor:
    """Logits of most estimators."""
    return params


def log_q(problem: Problem, code: Tensor, logits: Logits = as_they_are) -> Tensor:
    """log q of integer codes, [k b], the long way."""
    return logits(problem.posterior.replay(code)).log_softmax(-1).gather(-1, code[..., None])[..., 0].sum(-1)


def exact_objective(case: Toy, beta: float, length: int, vocab: int, logits: Logits = as_they_are) -> Tensor:
    """J = E_q[log p(x|z)] - beta KL(q || uniform), by enumeration."""
    codes = all_codes(length, vocab)
    problem = case.problem(beta)
    log_probs = log_q(problem, codes, logits)
    uniform = -length * torch.tensor(float(vocab)).log()
    gains = case.log_lik(codes) - beta * (log_probs - uniform)
    return (log_probs.exp() * gains).sum()


def gradient(of: Callable[[], Tensor], module: nn.Module) -> Tensor:
    """Flat gradient with respect to a module's parameters."""
    found = torch.autograd.grad(of(), list(module.parameters()), materialize_grads=True)
    return torch.cat([each.flatten() for each in found])
