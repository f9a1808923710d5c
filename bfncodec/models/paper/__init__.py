"""The paper's own models: one group of all variables and many noisy steps, in integers."""
