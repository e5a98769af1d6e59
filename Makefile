# Everything a person or CI does with Polyglyph. `make help` lists it; each target installs what it needs.

SHELL := /bin/bash
VENV ?= .venv
ARGS ?=
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help serve test check bench install format lock

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo '  ARGS="..." passes flags on (make serve ARGS="--port 8123"); VENV=DIR installs elsewhere than .venv'

serve: $(STAMP) ## Install everything and serve the bundled organism on 127.0.0.1:8000
	@exec $(BIN)/polyglyph serve $(ARGS)

test: $(STAMP) ## Install everything and run all tests, each real engine in a process of its own
	@requirements/test-data.sh $(VENV)
	@$(BIN)/python tests/run.py $(ARGS)

check: $(STAMP) ## Format, lint, types and import directions, in under a minute
	@status=0; \
	echo "== format" && $(BIN)/ruff format --check . || status=1; \
	echo "== lint" && $(BIN)/ruff check . || status=1; \
	echo "== types" && $(BIN)/mypy || status=1; \
	echo "== import directions" && $(BIN)/lint-imports --no-logo || status=1; \
	exit $$status

bench: $(STAMP) ## Run the benchmarks
	@$(BIN)/python -m benchmarks $(ARGS)

install: $(STAMP) ## Install everything into .venv

format: $(STAMP) ## Rewrite the code in the house's format and mend what ruff can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: $(STAMP) ## Resolve requirements/cpu.in into requirements/cpu.lock; ARGS="--upgrade" renews every version
	@requirements/lock.sh $(BIN) $(ARGS)

$(STAMP): requirements/cpu.lock requirements/install.sh pyproject.toml
	@requirements/install.sh $(VENV)
