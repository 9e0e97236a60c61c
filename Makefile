VENV ?= .venv
PYTHON ?= python3
PARALLEL ?= 2
CHAOS ?= 600
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint chaos bench install gpu lock clean help
.DEFAULT_GOAL := demo

demo: install  ## Install, start everything on loopback, run the pipeline on real data
	$(BIN)/sep demo

# Two at a time, each with servers of its own; a file's tests stay together and share them. In order:
# what needs Prefect comes first, and stops it.
test: lint  ## The whole test suite, starting every server it needs (PARALLEL=2 at a time)
	$(BIN)/python -m pytest --numprocesses $(PARALLEL) --dist loadfile --no-loadscope-reorder \
	  --durations 20

lint: install  ## Style, types and docstrings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tests.docstrings

chaos: install  ## Long proofs by kills and random seeds, for CHAOS=600 seconds; goes on where it stopped
	$(BIN)/python -m pytest tests/chaos --chaos $(CHAOS)
	$(BIN)/python -m pytest -m proof

bench: install  ## All benchmarks, each after a check of equality
	$(BIN)/python -m tests.benchmarks

install: $(INSTALLED)  ## The virtual environment, from the lock

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	  || { echo "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
	  -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	  --editable .
	@touch $@

gpu: install  ## The CUDA libraries for an NVIDIA GPU (driver 525 or newer), about 2 GB
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --require-hashes \
	  -r requirements-gpu.lock

# The locks hold names, versions and hashes; never addresses.
COMPILE := uv pip compile --universal --python-version 3.11 --generate-hashes --no-header \
	--no-annotate --no-emit-index-url --upgrade
lock:  ## Newer versions into the locks; needs uv
	$(COMPILE) --extra embedded --extra sample --extra test --extra lint --extra build \
	  --output-file requirements.lock pyproject.toml
	echo 'cupy-cuda12x[ctk]==14.2.0' | $(COMPILE) --no-emit-package numpy \
	  --output-file requirements-gpu.lock -

clean:  ## Stop everything and delete environment and state
	-$(BIN)/sep down
	rm -rf $(VENV) .sep

help:  ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
