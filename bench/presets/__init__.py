"""Settings per dataset, as YAML: `defaults`, then quick, standard and paper. `rules` adapt them to estimators."""
