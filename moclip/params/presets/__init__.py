"""Ready-made settings: the files of a folder, and how they go into params.yaml."""
