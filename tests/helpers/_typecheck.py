"""Run-time checker for the jaxtyping annotations of estimators and models (see conftest)."""

from beartype import BeartypeConf, beartype

checker = beartype(conf=BeartypeConf(is_pep484_tower=True))
