"""What MLflow shows: results, running trainings and models. MLflow reads these variables while it is imported."""

import os

# Nothing is reported to anyone.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"
# A server that is down is given up after seconds instead of minutes, unless the user has said otherwise.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
# Results go to the log; what a program prints is its own.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
