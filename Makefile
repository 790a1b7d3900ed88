# Two commands: `make demo` and `make test`. Both make the environment first, in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test check peer install clean

demo: $(INSTALLED)  ## a real Ray Tune search that saves energy, in a few minutes
	$(BIN)/zeus-ray demo

test: $(INSTALLED)  ## everything this machine can run
	$(BIN)/pytest --hypothesis-profile=thorough
	$(BIN)/pytest -m "frameworks"
	$(BIN)/pytest -m "(ray or notebook or pictures or processes) and not frameworks"

check: $(INSTALLED)  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

peer: $(INSTALLED)  ## compare policy="nsdi23" with Zeus's own code, in an environment without Ray
	$(PYTHON) -m venv .venv-peer
	.venv-peer/bin/pip install --quiet --disable-pip-version-check zeus==0.16.0 numpy pandas
	.venv-peer/bin/pip install --quiet --disable-pip-version-check --no-deps -e .
	$(BIN)/pytest -m peer

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "zeus-ray needs Python 3.10 or newer; try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) .venv-peer zeus-ray-demo .pytest_cache .mypy_cache .ruff_cache
