# The same words by hand and in CI. `make help` lists them.

PYTHON ?= python3.11
VENV ?= .venv
PORT ?= 5000
BIN := $(abspath $(VENV))/bin
INSTALLED := $(VENV)/.installed

# Only what requirements.lock lists by its SHA-256 is installed. `make setup HASHES=0` keeps the versions and takes other
# wheels of them, such as PyTorch's CPU builds.
HASHES ?= 1
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Packages without a wheel are built, by the pinned setuptools: pip would fetch a builder that no lock knows.
SOURCES := antlr4-python3-runtime

# DVC starts the stages by the plain name `python`; nothing here reports home.
export PATH := $(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
export HF_HUB_DISABLE_TELEMETRY := 1
export ORT_DISABLE_TELEMETRY := 1
# DVC reads its state as code. By default it lies where every user of the machine may write; here it is the clone's own.
STATE := $(CURDIR)/.dvc/tmp/site
export DVC_SITE_CACHE_DIR := $(STATE)
# Threads that wait in a busy loop rob the other process on a small machine: 3 x slower was seen with two trainings.
export OMP_WAIT_POLICY := PASSIVE
# `make repro QUIET=1` leaves results and errors; VERBOSE=1 adds details and the traceback of an error.
ifdef QUIET
export MOCLIP_QUIET := 1
endif
ifdef VERBOSE
export MOCLIP_VERBOSE := 1
endif

.DEFAULT_GOAL := help
.PHONY: help setup state repro test sweep lint types audit ui pictures zoo docs lock clean

help: ## list these commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/; s/\$$\(PORT\)/$(PORT)/' | expand -t 10

setup: state ## make .venv from requirements.lock

state: $(INSTALLED) # a folder for DVC's state that no other user can enter; bare `dvc` finds it by the ignored .dvc/config.local
	@install -d -m 700 "$(STATE)" "$(STATE)/repo"
	@grep -qsF "site_cache_dir = $(STATE)" .dvc/config.local || dvc config --quiet --local core.site_cache_dir "$(STATE)"

# An environment of the same Python that was made at this place is kept, and pip brings it up to the lock: it has gigabytes.
BASE := import sys; print(sys.version, sys.base_prefix)
IS_CURRENT = [ "$$($(BIN)/python -c '$(BASE)' 2>&1)" = "$$($(PYTHON) -c '$(BASE)' 2>&1)" ] && \
	grep -qs " $(abspath $(VENV))$$" $(VENV)/pyvenv.cfg

$(INSTALLED): requirements.lock pyproject.toml
	@if [ -L "$(VENV)" ] || { [ -e "$(VENV)" ] && [ ! -f "$(VENV)/pyvenv.cfg" ] && [ -n "$$(ls -A "$(VENV)")" ]; }; then \
	echo "error: $(VENV) is a link or no virtual environment, and would be emptied; remove it yourself or name another by VENV=" >&2; exit 1; fi
	@$(IS_CURRENT) || { echo '$(PYTHON) -m venv --clear $(VENV)'; $(PYTHON) -m venv --clear $(VENV); }
	@echo "installing the packages of requirements.lock: some minutes without a word, and about 7 GB"
ifeq ($(HASHES),0)
	sed -e '/--hash=/d' -e 's/ *\\$$//' requirements.lock > $(VENV)/pins.txt
	$(PIP) -r $(VENV)/pins.txt
else
	sed -n '/^setuptools==/,/[^\\]$$/p' requirements.lock > $(VENV)/builder.txt
	$(PIP) --require-hashes --only-binary :all: -r $(VENV)/builder.txt
	$(PIP) --require-hashes --only-binary :all: --no-binary $(SOURCES) --no-build-isolation -r requirements.lock
endif
# Setuptools warns of every editable install.
	PYTHONWARNINGS=ignore $(PIP) --no-deps --no-build-isolation -e .
	@touch $@

repro: state ## run the whole pipeline and print the results
	dvc repro $(if $(QUIET),--quiet)
# The last stage prints the results, unless it is to be quiet.
	$(if $(QUIET),@moclip results)
	@git diff --quiet HEAD -- results reports 2>/dev/null || { moclip verify 2>/dev/null | tail -n 1; \
	  echo "To hold variants against this run of yours: git commit -am 'Results of this machine'"; }

# A worker for each processor that a container grants, and one for the time that tests wait for servers; at most 8, since
# a test that drives the pipeline starts processes too.
WORKERS = $(shell $(BIN)/python -c "from moclip.base.parallel import cores; print(min(cores() + 1, 8))")

test: lint types ## set up, lint, check types, run the tests
	python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

sweep: $(INSTALLED) ## run the sweeps whole, of which `make test` runs a seeded tenth
	MOCLIP_SWEEP=1 python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m sweep

lint: $(INSTALLED) ## ruff: rules and format
	ruff check .
	ruff format --check .

types: $(INSTALLED) ## mypy
	mypy

audit: $(INSTALLED) ## ask for known holes in the pinned packages (needs the network; SECURITY.md has those that are open)
	pip-audit --strict --require-hashes --disable-pip --progress-spinner off -r requirements.lock

ui: $(INSTALLED) ## open MLflow on 127.0.0.1:$(PORT)
	python -m stages.commands.ui --port $(PORT)

pictures: $(INSTALLED) ## take the README's pictures of MLflow's pages, of the runs that are there
	python -m tools.pictures --out docs/pictures

zoo: $(INSTALLED) ## write docs/zoo.md, the page of all presets, from presets/ and the results of this run
	moclip preset --zoo > docs/zoo.md.new && mv docs/zoo.md.new docs/zoo.md

# The site has an environment of its own: what builds it has no part in any result.
DOCS := .work/docs/venv
docs: ## build the docs site into .work/docs/site; a link that leads nowhere is an error
	@[ -f $(DOCS)/.installed ] && [ ! pyproject.toml -nt $(DOCS)/.installed ] || { $(PYTHON) -m venv --clear $(DOCS) && \
	  $(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[docs]' && touch $(DOCS)/.installed; }
	$(DOCS)/bin/python -m tools.pages .work/docs/pages
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict --quiet --config-file mkdocs.yml

lock: $(INSTALLED) ## pin every package anew, with its digests, for all platforms
	uv pip compile --quiet --universal --python-version 3.11 --upgrade --extra dev --no-annotate --generate-hashes \
	  --custom-compile-command "make lock" pyproject.toml --output-file requirements.lock

clean: ## remove what runs leave behind, but neither videos nor DVC's cache nor results that wait for a server
	@[ ! -d .work ] || find .work -mindepth 1 -maxdepth 1 ! -name unrecorded -exec rm -rf {} +
	rm -rf .mypy_cache .pytest_cache .ruff_cache build *.egg-info
