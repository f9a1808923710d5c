"""BFN-Solvers: samples of a paper's model in few network calls, in floating point and without any promise of exactness.

What a receiver knows of a variable x after an accuracy b is y = b x + sqrt(b) noise, the sum of its views, each
weighted by its accuracy. With m(y, b) = E[x | y], which p_O gives, the receiver's y has the law of both

    dy = m db + dw                 (SDE; w a Wiener process in b),
    d(y / sqrt(b)) = m d sqrt(b)   (ODE; the same marginals: half the score, m - y / b, taken off the drift).

These are the equations of arXiv:2404.15766 (sections 4 and 5) in other variables: mu = y / (1 + b) for values, and
z = y, up to a common shift that softmax does not see, for classes. For K = 2 the log-odds are the difference of two
coordinates of z, so that x is +-1/2 and b four times beta. Here b = 0 is no singularity (y is 0, y / sqrt(b) is
Gaussian), so that the paper's cut at a small time eta is not needed.

Both are integrated over steps of equal time. First order: m is constant over a step. Second order: m goes on along the
line through its last two values; the line is in log sqrt(b), taken at the middle of the step, for values
(as in DPM-Solver++(2M), arXiv:2211.01095), and in time for classes, as ibid. The accuracy of values grows like time
at first, where sqrt(b) is not smooth: their second order is a smaller error there, not a higher power of the step.
"""

import math

import numpy as np
from numpy.typing import NDArray

from bfncodec.errors import LimitExceeded
from bfncodec.exact.pmf import TOTAL
from bfncodec.flow.theta import AnyTheta, Theta, VectorTheta
from bfncodec.models.paper.single import AnyPredictor
from bfncodec.models.paper.spec import PRECISION, STEP_LIMIT, UNIT, Spec

Floats = NDArray[np.float64]

SOLVERS = {"sde1": (True, 1), "sde2": (True, 2), "ode1": (False, 1), "ode2": (False, 2)}  # noise, order
ENDS = ("draw", "guess")
TIMES = 4096  # the network is told times in fractions of this


def accuracy(spec: Spec, time: float) -> float:
    """b at a time in [0, 1], of variables as `points` has them (arXiv:2308.07037, equations of beta)."""
    if spec.kind == "values":
        return math.expm1(-2 * time * math.log(float(spec.final)))
    return float(spec.final) * (4 if spec.kind == "binary" else spec.levels) * time * time


def points(spec: Spec) -> Floats:
    """x of every level: +-1/2, the middles of K bins of [-1, 1], or one-hot rows [K, K]."""
    if spec.kind == "classes":
        return np.eye(spec.levels)
    width = 1.0 if spec.kind == "binary" else 2 / spec.levels
    return (np.arange(spec.levels, dtype=np.float64) - (spec.levels - 1) / 2) * width


def knowledge(spec: Spec, state: Floats, precision: float) -> AnyTheta:
    """The integers that stand for y [n] or [n, K] after an accuracy b."""
    if spec.kind == "classes":
        vector = VectorTheta(len(state), spec.levels)
        vector.bits = PRECISION
        vector.sums = np.rint(state * 2.0**PRECISION).astype(np.int64)
        return vector
    # Views are levels from 0 on, in 1 / UNIT; their accuracy is one of a level.
    width = 1.0 if spec.kind == "binary" else 2 / spec.levels
    theta = Theta(len(state))
    theta.accuracy = round(precision * width**2 * 2**PRECISION)
    sums = state * width + precision * width**2 * (spec.levels - 1) / 2
    theta.sums = np.rint(sums * (UNIT * 2.0**PRECISION)).astype(np.int64)
    return theta


def sample(
    predictor: AnyPredictor, items: int, steps: int, solver: str, rng: np.random.Generator, end: str = "draw"
) -> NDArray[np.uint8]:
    """Symbols uint8 [items, D]. solver: of SOLVERS. LimitExceeded above STEP_LIMIT.

    end "draw": all steps are taken, and the symbols are drawn from p_O at time 1; one network call more than steps.
    end "guess": p_O before the last step gives the most probable class or the mean of values, as in the paper's code.
    """
    if not 0 < steps <= STEP_LIMIT:
        raise LimitExceeded(f"{steps} steps; there may be 1 to {STEP_LIMIT}")
    spec: Spec = predictor.spec
    noisy, order = SOLVERS[solver]
    last = steps - 1 if end == "guess" else steps
    state = integrate(predictor, items, steps, last, noisy, order, rng)
    weights = _weights(predictor, items, state, last / steps)
    if end == "draw":
        drawn = (weights.cumsum(axis=1) > rng.integers(0, TOTAL, len(weights))[:, None]).argmax(axis=1)
    elif spec.kind == "values":
        drawn = np.rint(weights @ np.arange(spec.levels) / TOTAL).astype(np.int64)
    else:
        drawn = weights.argmax(axis=1)
    return drawn.astype(np.uint8).reshape(items, spec.size)


def integrate(
    predictor: AnyPredictor, items: int, steps: int, last: int, noisy: bool, order: int, rng: np.random.Generator
) -> Floats:
    """y [n] or [n, K] after steps 1 .. last of `steps`."""
    spec: Spec = predictor.spec
    shape = (items * spec.size, *points(spec).shape[1:])
    state = np.zeros(shape)
    scaled = np.zeros(shape) if noisy else rng.standard_normal(shape)  # y / sqrt(b), which the ODE carries
    before = np.zeros(shape)
    for step in range(last):
        now, then = (accuracy(spec, at / steps) for at in (step, step + 1))
        mean = _weights(predictor, items, state, step / steps) @ points(spec) / TOTAL
        drift = mean
        if order == 2 and step:
            drift = mean + _lean(spec, step, steps, noisy) * (mean - before)
        if noisy:
            state = state + (then - now) * drift + math.sqrt(then - now) * rng.standard_normal(shape)
        else:
            scaled = scaled + (math.sqrt(then) - math.sqrt(now)) * drift
            state = math.sqrt(then) * scaled
        before = mean
    return state


def _lean(spec: Spec, step: int, steps: int, noisy: bool) -> float:
    """How far beyond m the mean of m over a step is, in units of its last change."""
    if spec.kind != "values":
        # m is linear in time; its mean is weighted by d sqrt(b), even in time, or by db, 2 t dt.
        return (3 * step + 2) / (3 * (2 * step + 1)) if noisy else 0.5
    before, now, then = (accuracy(spec, at / steps) for at in (step - 1, step, step + 1))
    return math.log(then / now) / (2 * math.log(now / before)) if before else 0.0


def _weights(predictor: AnyPredictor, items: int, state: Floats, time: float) -> NDArray[np.int64]:
    theta = knowledge(predictor.spec, state, accuracy(predictor.spec, time))
    return predictor.weights(theta, items, round(time * TIMES), TIMES)
