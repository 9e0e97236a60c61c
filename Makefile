# make demo   install, start everything on loopback, run the pipeline on real data
# make test   the whole test suite, starting every server it needs
VENV ?= .venv
PYTHON ?= python3
PARALLEL ?= 2
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint install gpu lock bench clean

demo: install
	$(BIN)/sep demo

# Two at a time, each with servers of its own; a file's tests stay together and share them.
test: lint
	$(BIN)/python -m pytest --numprocesses $(PARALLEL) --dist loadfile

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: $(INSTALLED)

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	  || { echo "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
	  -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	  --editable .
	@touch $@

# The CUDA libraries for an NVIDIA GPU (driver 525 or newer), about 2 GB.
gpu: install
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --require-hashes \
	  -r requirements-gpu.lock

# Needs uv. The locks hold names, versions and hashes; never addresses.
COMPILE := uv pip compile --universal --python-version 3.11 --generate-hashes --no-header \
	--no-annotate --no-emit-index-url --upgrade
lock:
	$(COMPILE) --extra embedded --extra sample --extra test --extra lint --extra build \
	  --output-file requirements.lock pyproject.toml
	echo 'cupy-cuda12x[ctk]==14.2.0' | $(COMPILE) --no-emit-package numpy \
	  --output-file requirements-gpu.lock -

bench: install
	$(BIN)/python -m tests.benchmarks

clean:
	-$(BIN)/sep down
	rm -rf $(VENV) .sep
