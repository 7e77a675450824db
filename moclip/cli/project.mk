# Made by `moclip init`: the same words by hand and in CI. `make help` lists them.

PORT ?= 5000
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
export HF_HUB_DISABLE_TELEMETRY := 1
export ORT_DISABLE_TELEMETRY := 1
# DVC reads its state as code. By default it lies where every user of the machine may write; here it is this folder's own.
STATE := $(CURDIR)/.dvc/tmp/site
export DVC_SITE_CACHE_DIR := $(STATE)
# Threads that wait in a busy loop rob the other process on a small machine.
export OMP_WAIT_POLICY := PASSIVE

.DEFAULT_GOAL := help
.PHONY: help repro ui

help: ## list these commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/; s/\$$\(PORT\)/$(PORT)/' | expand -t 10

repro: ## run the whole pipeline and print the results
	@install -d -m 700 "$(STATE)" "$(STATE)/repo"
	dvc repro

ui: ## open MLflow on 127.0.0.1:$(PORT)
	python -m stages.commands.ui --port $(PORT)
