"""The benchmark: data, training, metrics, records and figures around the estimators and models."""
