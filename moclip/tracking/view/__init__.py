"""What a person meets who opens MLflow: the page to land on, notes, names of runs, metrics and data."""
