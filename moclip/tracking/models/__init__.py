"""Models in MLflow: whether their files are there, which is the best, and how one is fetched."""
