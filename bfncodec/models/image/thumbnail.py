"""The noisy steps of the thumbnail."""

from __future__ import annotations

from bfncodec.flow.schedule import Step, geometric


def thumbnail_steps(deviations: list[int]) -> tuple[tuple[Step, ...], list[int]]:
    """Noisy steps of the thumbnail, and the scale step (1/8 octave of 1/16 level) before each and after all."""
    steps = geometric(deviations)
    scales, accuracy = [8 * 10], 0
    for step in steps:
        accuracy += step.accuracy
        # sigma_total = sqrt(2**20 / accuracy) levels; 8 * log2(16 * sigma) = 4 * log2(2**28 / accuracy)
        scales.append(_eighth_octaves((1 << 28) // accuracy))
    return steps, scales


def _eighth_octaves(square: int) -> int:
    """floor(4 * log2(square)), at least 8."""
    return max(8, (square**4).bit_length() - 1)
