"""How good a finished run is: against labels, beside baselines on the same sources."""
