"""Measurements of bfncodec beside its peers. Results are kept in `benchmarks/results/`."""
