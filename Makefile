# Every target sets up what it needs in .venv and leaves nothing outside this folder.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What pip installs: this folder, or a wheel that was built from it.
PACKAGE ?= .
# All tests of a file run on one worker, so that their shared fixtures are made once.
WORKERS ?= -n auto --maxprocesses 4 --dist loadfile
CACHE := $(CURDIR)/build/cache

export PIP_CACHE_DIR ?= $(CACHE)/pip
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export MPLCONFIGDIR ?= $(CACHE)/matplotlib
export TORCHINDUCTOR_CACHE_DIR ?= $(CACHE)/inductor

SOURCES := pyproject.toml CMakeLists.txt constraints.txt $(shell find atjt_ext cmake csrc -type f \
    -not -name '*.pyc' -not -name '*.so')

.PHONY: help demo test faults fuzz sanitize mutations bench lint docs clean

help:
	@echo "make demo       train on simulated noisy data with and without weights, and compare"
	@echo "make test       run the tests; TEST='-k ranks' selects some"
	@echo "make faults     kill, starve and damage every command in every place; an hour or more"
	@echo "make fuzz       try 5,000 random inputs per operator and per reader"
	@echo "make sanitize   run the tests of CPU and CUDA kernels under ASan and UBSan"
	@echo "make mutations  break the kernels on purpose; a test must notice every break"
	@echo "make bench      time the kernels and their peers; BENCH='--device cpu --only entropy'"
	@echo "make lint       check formatting, style and types"
	@echo "make docs       build the documentation site in build/site"
	@echo "make clean      remove everything that the other targets made, except runs/"

demo: $(VENV)/package
	rm -rf runs/demo
	$(BIN)/atjt demo --out runs/demo

test: $(VENV)/installed
	$(BIN)/pytest $(WORKERS) $(TEST)

faults: $(VENV)/installed
	ATJT_FAULTS=long $(BIN)/pytest $(WORKERS) python_tests/faults $(TEST)

fuzz: $(VENV)/installed
	HYPOTHESIS_PROFILE=long $(BIN)/pytest $(WORKERS) python_tests/fuzz $(TEST)

sanitize: $(VENV)/installed
	.ci/sanitize $(WORKERS)

mutations: $(VENV)/installed
	PYTHONPATH=python_tests $(BIN)/python -m mutations

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

# torch comes first and pinned, so that no later step pulls another build of it.
$(VENV)/torch: constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt torch
	@touch $@

# Forced, because pip keeps an installed package that has the version of the given wheel. Later rules
# name the package, which adds only its extras; '.[dev]' would compile the package again.
$(VENV)/package: $(SOURCES) | $(VENV)/torch
	@echo "compiling: two minutes, several more with nvcc; SKBUILD_CMAKE_DEFINE=ATJT_CUDA=OFF skips CUDA"
	$(BIN)/python -m pip install -q --no-deps --force-reinstall $(PACKAGE)
	$(BIN)/python -m pip install -q -c constraints.txt atjt_ext
	@touch $@

$(VENV)/installed: pyproject.toml $(VENV)/package
	$(BIN)/python -m pip install -q -c constraints.txt 'atjt_ext[test]'
	@touch $@

$(VENV)/tools: pyproject.toml $(VENV)/installed
	$(BIN)/python -m pip install -q -c constraints.txt 'atjt_ext[dev]'
	@touch $@

# Tests of export and tracking skip without these packages; CI runs them all.
$(VENV)/extras: pyproject.toml $(VENV)/installed
	$(BIN)/python -m pip install -q -c constraints.txt 'atjt_ext[export,track]'
	@touch $@

$(VENV)/docs: pyproject.toml $(VENV)/installed
	$(BIN)/python -m pip install -q -c constraints.txt 'atjt_ext[docs]'
	@touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
