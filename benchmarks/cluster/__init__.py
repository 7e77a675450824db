"""What many nodes cost and stand: a simulation by the project's own driver, and a projection from measured costs."""

import stages as _stages  # noqa: F401 - chooses the kernels, which must come before NumPy
