"""The model of JPEG's quantised coefficients."""
