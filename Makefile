# `make demo` and `make test` are all that is needed; the environment is made on first use.
PYTHON ?= $(shell for v in 3.11 3.12 3.13 3.14 3; do \
	python$$v -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo python$$v && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_VENV := .venv-bench
BENCH_BIN := $(BENCH_VENV)/bin
BENCH_STAMP := $(BENCH_VENV)/.installed
BENCH ?=

.PHONY: demo dev test lint bench torture clean lock env
.DEFAULT_GOAL := demo

env: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with venv is needed (Debian: apt-get install python3-venv)"; exit 2; }
	@$(BIN)/python -c '' 2>/dev/null || { rm -rf $(VENV) && $(PYTHON) -m venv $(VENV); }
	@echo "Installing the locked packages into $(VENV) (about a minute, once) ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

demo: $(STAMP)
	$(BIN)/vantage-pipeline demo

dev: $(STAMP)
	$(BIN)/vantage-pipeline dev

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest

# what the benchmarks compare with has an environment of its own: make bench BENCH="A D --rounds 5"
bench: $(BENCH_STAMP)
	$(BENCH_BIN)/python -m bench $(BENCH)

$(BENCH_STAMP): bench/requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with venv is needed (Debian: apt-get install python3-venv)"; exit 2; }
	@$(BENCH_BIN)/python -c '' 2>/dev/null || { rm -rf $(BENCH_VENV) && $(PYTHON) -m venv $(BENCH_VENV); }
	@echo "Installing the locked packages of the benchmarks into $(BENCH_VENV) (about a minute, once) ..."
	$(BENCH_BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r bench/requirements.lock
	@touch $(BENCH_STAMP)

# for as long as asked: make torture MINUTES=10 [HISTORIES=3000] [SEED=n] [PROCESSES=2]
torture: $(STAMP)
	$(BIN)/python -m vantage_pipeline_tests.torture $(if $(MINUTES),--minutes $(MINUTES)) \
		$(if $(HISTORIES),--histories $(HISTORIES)) $(if $(SEED),--seed $(SEED)) $(if $(PROCESSES),--processes $(PROCESSES))

clean:
	-test ! -x $(BIN)/vantage-pipeline || $(BIN)/vantage-pipeline stop
	rm -rf $(VENV) $(BENCH_VENV) .vantage logs .logs_queue storage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

lock: $(STAMP)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --universal --generate-hashes --no-header --no-annotate \
		--python-version 3.11 --extra dev pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --universal --generate-hashes --no-header --no-annotate \
		--python-version 3.11 --extra bench pyproject.toml -o bench/requirements.lock
