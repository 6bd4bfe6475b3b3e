# The menu. `make demo` and `make test` are all that a newcomer needs; both set up first.
PYTHON ?= python3
BIN := .venv/bin

# A worker per core, one thread each; a file's tests share their fixtures in one worker.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile

# A process that may not keep what it compiles takes 10 s longer to import torch and Lightning.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test test-slow test-exhaustive test-floor speed lint format type docs wheels clean constraints gpu

help:  ## this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*##/:/' | column -t -s:

setup: .venv/ready  ## .venv with everything that the project needs

# uv, not plain pip: it picks torch and torchvision from one and the same build, that of this machine's GPU or the CPU's.
# Where PyTorch's index cannot be reached, the second try takes the registry's build, with CUDA.
INSTALL := VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --compile-bytecode -e '.[transformers,onnx]' --group dev --group docs -c constraints.txt

.venv/ready: pyproject.toml constraints.txt setup.py $(wildcard vidcorr/functional/native/*.cpp vidcorr/functional/native/*.h)
	@echo "setup: the packages of constraints.txt into .venv, 6.6 GB with CUDA's torch, 2.6 GB without CUDA; minutes, once"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(INSTALL) --torch-backend=auto 2>/dev/null || { echo "setup: PyTorch's own index did not serve; now the registry's build"; $(INSTALL); }
	touch $@

demo: setup  ## the data of the examples; train some minutes on generated videos, score before and after
	$(BIN)/python cli.py generate demo/data davis videos
	$(BIN)/python cli.py fit --config configs/demo.yaml

test: setup  ## the fast tests, and the examples in docstrings
	$(PYTEST) --doctest-modules -m "not slow" --timeout 120 tests vidcorr

test-slow: setup  ## the tests that train or benchmark
	$(PYTEST) -m "slow and not exhaustive"

test-exhaustive: setup  ## every stop of every method's resume; 20 minutes
	$(PYTEST) -m exhaustive

# Next to .venv, so that both stay; Python's own version, and each package at its lower bound.
FLOOR := .venv-floor
FLOOR_TESTS := tests/vidcorr/functional tests/vidcorr/metrics tests/vidcorr/backbones tests/vidcorr/videos tests/callbacks/test_benchmark.py tests/test_cli.py tests/test_first_hour.py

$(FLOOR)/ready: pyproject.toml setup.py
	test -x $(FLOOR)/bin/python || $(PYTHON) -m venv $(FLOOR)
	$(BIN)/uv pip compile --quiet --upgrade --resolution lowest-direct --extra transformers --extra onnx --group dev pyproject.toml -o $(FLOOR)/floor.txt --no-header --no-annotate
	VIRTUAL_ENV=$(FLOOR) $(BIN)/uv pip install --quiet -e '.[transformers,onnx]' --group dev -c $(FLOOR)/floor.txt
	touch $@

test-floor: setup $(FLOOR)/ready  ## fast tests with the oldest packages that pyproject.toml allows
	$(FLOOR)/bin/python -m tests.helpers.floor
	$(subst $(BIN),$(FLOOR)/bin,$(PYTEST)) -m "not slow" $(FLOOR_TESTS)
	$(FLOOR)/bin/python -m pytest tests/test_other_systems.py

speed: setup  ## each part against the method it replaces, as a table in docs/speed.md; three minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.speed

gpu: setup  ## the tests that need a GPU, a training under DDP, and the times
	$(BIN)/python -m pytest -m gpu
	$(BIN)/python cli.py fit --config configs/demo.yaml --trainer.accelerator gpu --trainer.devices 1 --trainer.strategy ddp
	$(BIN)/python -m tests.speed propagation propagation_scale reconstruction info_nce negatives points_growth training_steps

lint: setup  ## style, format, the import rule and the budgets of code lines
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python -m tests.helpers.sizes

format: setup  ## mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

type: setup  ## types
	$(BIN)/mypy

docs: setup  ## the documents as a site, in site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	@echo site/index.html

# cibuildwheel builds in manylinux containers, so this target needs Docker; the settings are in pyproject.toml.
wheels: setup  ## the wheel with the native kernel for manylinux, for every Python, and the source archive, in dist/
	$(BIN)/uv build --quiet --sdist --out-dir dist
	$(BIN)/uv tool run --quiet cibuildwheel --platform linux --output-dir dist
	for wheel in dist/*.whl; do unzip -l $$wheel | grep -q kernels.avx2 || exit 1; done

# Pins what `setup` installs; run it after a change of the dependencies.
constraints: setup  ## pin the newest versions of the dependencies
	$(BIN)/uv pip compile --quiet --upgrade --extra transformers --extra onnx --group dev --group docs pyproject.toml -o constraints.txt --no-header --no-annotate

clean:  ## remove what setup and the tests made
	rm -rf .venv .venv-floor build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
