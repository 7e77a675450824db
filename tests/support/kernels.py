"""A plugin that pytest loads first: tests compute as the pipeline does, and NumPy is loaded after that was chosen."""

from moclip.base.arithmetic import apply

apply("portable")
