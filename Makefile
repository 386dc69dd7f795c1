# Everything is set up on the first use of any target: a virtual environment in .venv, nothing outside this folder.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Compiled modules are kept, whatever the shell says: without them every process of a test compiles its imports again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo serve test exact slow lint format bench profile loadtest soak fuzz clean

help:  ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY)  ## real auctions on the embedded stores with mock buyers; ends by itself
	@$(BIN)/auction demo

serve: $(READY)  ## the exchange with the demo market on http://127.0.0.1:8080 (data in ./data)
	@$(BIN)/auction serve

test: $(READY)  ## the whole suite, on real Valkey, SQLite and PostgreSQL
	@$(BIN)/pytest -n 4

exact: $(READY)  ## caps of 1, 5 and 50 in all windows under two workers, 1,000 posts, 20 times (some minutes)
	@$(BIN)/pytest -n 2 -m slow tests/exactness

slow: $(READY)  ## the tests that the suite leaves out for their length: kills, freezes, rotations; some minutes
	@$(BIN)/pytest -n 2 -m slow --ignore tests/exactness/test_all_windows.py

lint: $(READY)  ## ruff, mypy strict, and the house's floors
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(READY)  ## let ruff set the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(READY)  ## what a ping costs, against a bare fan-out of the same buyers
	@$(BIN)/python -m loadtest.bench $(ARGS)

profile: $(READY)  ## where the CPU of a ping (ARGS=--post: of a post; --https: of a ping over TLS) goes: a table, and report/profile.svg
	@$(BIN)/python -m loadtest.profile $(ARGS) $(if $(filter post,$(SCENARIO)),--post)

loadtest: $(READY)  ## Locust on the demo stack, held against goals; SHAPE=steady, spike or soak (10 minutes)
	@$(BIN)/python -m loadtest.run $(if $(SHAPE),--shape $(SHAPE)) $(ARGS)

soak: $(READY)  ## kills, freezes and faults under load, then a verdict (10 minutes; SECONDS= SEED= RATE= DATABASE=sqlite)
	@$(BIN)/python -m tests.soak $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) \
		$(if $(RATE),--rate $(RATE)) $(if $(DATABASE),--database $(DATABASE)) $(ARGS)

fuzz: $(READY)  ## the fuzzers of tests/fuzz, for long: about 20 minutes (EFFORT=50)
	@FUZZ_EFFORT=$(or $(EFFORT),50) $(BIN)/pytest tests/fuzz -m 'slow or not slow' -n 2 -o timeout=3600 --hypothesis-profile random

clean:  ## remove what the targets made (not ./data)
	rm -rf $(VENV) report build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find auction buyers_mock loadtest tests -name __pycache__ -prune -exec rm -rf {} +

$(READY): requirements.lock pyproject.toml
	@echo "setting up $(VENV) (once, about a minute)"
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed") if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	@PYTHONWARNINGS=ignore $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
