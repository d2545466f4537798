# `make demo` and `make test` each set up what they need in .venv, and leave nothing outside this folder.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CACHE := $(CURDIR)/build/cache

export PIP_CACHE_DIR ?= $(CACHE)/pip
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export MPLCONFIGDIR ?= $(CACHE)/matplotlib
export TORCHINDUCTOR_CACHE_DIR ?= $(CACHE)/inductor

SOURCES := pyproject.toml CMakeLists.txt constraints.txt $(shell find atjt_ext cmake csrc -type f \
    -not -name '*.pyc' -not -name '*.so')

.PHONY: help demo test sanitize mutations bench lint docs clean

help:
	@echo "make demo   simulated noisy data: train with and without weights, compare, plot"
	@echo "make test   the test suite"
	@echo "make sanitize  its tests of kernels, for CPU and CUDA, under ASan and UBSan"
	@echo "make mutations  deliberate breaks of the kernels, each of which a test has to notice"
	@echo "make bench  kernels beside their peers, taking turns; BENCH='--device cpu --only entropy'"
	@echo "make lint   formatting, lint and types"
	@echo "make docs   the documentation site, in build/site"
	@echo "make clean  remove what the others made, but for runs/"

demo: $(VENV)/installed
	rm -rf runs/demo
	$(BIN)/atjt demo --out runs/demo

test: $(VENV)/installed
	$(BIN)/pytest

sanitize: $(VENV)/installed
	.ci/sanitize

mutations: $(VENV)/installed
	$(BIN)/python python_tests/helpers/run_mutations.py

bench: $(VENV)/installed
	$(BIN)/python benchmarks/compare.py --out build/bench $(BENCH)

lint: $(VENV)/tools
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/clang-format --dry-run --Werror $$(find csrc python_tests -name '*.h' -o -name '*.cpp' \
	    -o -name '*.cu' -o -name '*.cuh' | grep -v third_party)
	$(BIN)/mypy

docs: $(VENV)/docs
	# -E: Sphinx does not see that an included README has changed.
	$(BIN)/sphinx-build -q -E -W --keep-going docs build/site

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# torch first and pinned: what follows then never pulls another build of it.
$(VENV)/torch: constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt torch
	@touch $@

$(VENV)/installed: $(SOURCES) | $(VENV)/torch
	$(BIN)/python -m pip install -q -c constraints.txt '.[test]'
	@touch $@

# By the installed package's name: of the same version, so that only its extras are added. As '.[dev]' all
# of it would be compiled once more.
$(VENV)/tools: pyproject.toml $(VENV)/installed
	$(BIN)/python -m pip install -q -c constraints.txt 'atjt_ext[dev]'
	@touch $@

# What export and tracking need: their tests skip without, and CI leaves none out.
$(VENV)/extras: pyproject.toml $(VENV)/installed
	$(BIN)/python -m pip install -q -c constraints.txt 'atjt_ext[export,track]'
	@touch $@

$(VENV)/docs: pyproject.toml $(VENV)/installed
	$(BIN)/python -m pip install -q -c constraints.txt 'atjt_ext[docs]'
	@touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
