"""Programs of those who work on moclip; like the graph's scripts, they choose the kernels before NumPy is loaded."""

import stages  # noqa: F401 - for what it does
