# Two commands: `make demo` and `make test`. Both make the environment first, in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# Tests in the process of pytest: without Ray, other processes and pictures. `pytest` alone leaves out the slow ones.
IN_PROCESS := not ray and not frameworks and not notebook and not gpu and not peer and not pictures and not browser and not processes

OLDEST := .venv-oldest
OLDEST_PYTHON ?= $(firstword $(wildcard $(HOME)/.pyenv/versions/3.10.*/bin/python3.10) python3.10)
# Without torch, whose wheels for Python 3.10 are gigabytes: the tests that need it are skipped. All of them run with
#   make test-oldest OLDEST_PYTHON=python3.11 OLDEST_EXTRAS=test,demo,lightning,transformers
OLDEST_EXTRAS ?= test
OLDEST_INSTALLED := $(OLDEST)/.installed-$(notdir $(OLDEST_PYTHON))-$(OLDEST_EXTRAS)

.PHONY: demo test test-processes-and-frameworks test-in-process-and-ray test-oldest check docs figures peer install clean

demo: $(INSTALLED)  ## a real Ray Tune search that saves energy, in about a minute
	$(BIN)/zeus-ray demo

test: $(INSTALLED)  ## everything this machine can run; in two lanes, as the tests of other processes mostly wait
	$(MAKE) --no-print-directory --jobs=2 --output-sync=line test-processes-and-frameworks test-in-process-and-ray

test-processes-and-frameworks: $(INSTALLED)
	$(BIN)/pytest -m "processes and not ray and not frameworks"
	$(BIN)/pytest -m "frameworks"
	$(BIN)/pytest -m "notebook"

test-in-process-and-ray: $(INSTALLED)
	$(BIN)/pytest --hypothesis-profile=thorough -m "$(IN_PROCESS)"
	$(BIN)/pytest -m "(ray or pictures or browser) and not frameworks and not notebook"

test-oldest: $(OLDEST_INSTALLED)  ## the quick and the Ray tests with the oldest Python, Ray and libraries supported
	$(OLDEST)/bin/pytest -m "$(IN_PROCESS)"
	$(OLDEST)/bin/pytest -m "frameworks" -rs
	$(OLDEST)/bin/pytest -m "ray and not frameworks" -rs

check: $(INSTALLED)  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(INSTALLED)  ## the site, into site/; fails at any warning, such as a dead link
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

figures: $(INSTALLED)  ## the pictures of the site, into docs/assets
	$(BIN)/python docs/draw_figures.py

peer: $(INSTALLED)  ## compare policy="nsdi23" with Zeus's own code, in an environment without Ray
	$(PYTHON) -m venv .venv-peer
	.venv-peer/bin/pip install --quiet --disable-pip-version-check zeus==0.16.0 numpy pandas
	.venv-peer/bin/pip install --quiet --disable-pip-version-check --no-deps -e .
	$(BIN)/pytest -m peer

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "the versions in constraints.txt need Python 3.11 or newer; try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

$(OLDEST_INSTALLED): pyproject.toml constraints-oldest.txt
	@$(OLDEST_PYTHON) -c '' || \
		{ echo "there is no $(OLDEST_PYTHON): install Python 3.10, or: make test-oldest OLDEST_PYTHON=/path/to/python3.10"; exit 1; }
	$(OLDEST_PYTHON) -m venv --clear $(OLDEST)
	$(OLDEST)/bin/pip install --quiet --disable-pip-version-check -c constraints-oldest.txt -e '.[$(OLDEST_EXTRAS)]'
	@touch $@

clean:
	rm -rf $(VENV) $(OLDEST) .venv-peer zeus-ray-demo .pytest_cache .mypy_cache .ruff_cache site
