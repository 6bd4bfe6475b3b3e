# The menu. `make demo` and `make test` are all that a newcomer needs; both set up first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test test-slow lint format type doctest clean constraints

setup: .venv/ready

# uv, not plain pip: it picks torch and torchvision from one and the same build.
.venv/ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet -e '.[dev]' -c constraints.txt
	touch $@

demo: setup
	$(BIN)/python cli.py fit --config configs/demo.yaml

test: setup
	$(BIN)/python -m pytest -m "not slow"

test-slow: setup
	$(BIN)/python -m pytest -m slow

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

type: setup
	$(BIN)/mypy

doctest: setup
	$(BIN)/python -m pytest --doctest-modules lightning_modules datamodules callbacks cli.py

# Pins what `setup` installs; run it after a change of the dependencies.
constraints: setup
	$(BIN)/uv pip compile --quiet --upgrade --extra dev pyproject.toml -o constraints.txt --no-header --no-annotate

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
