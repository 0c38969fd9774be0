# Everything begins with `make setup`, which needs Python 3.11 to 3.13 and pip, and which the other targets run first.
# Words after ARGS= go to the command: make demo ARGS=--quick

PYTHON ?= python3
ARGS ?=
PYTEST_ARGS ?=
# Processes that run tests, each with servers of its own (0: none beside this one).
WORKERS ?= $(if $(filter external,$(SCRIP_TEST_BACKEND)),0,3)

BIN := .venv/bin
PARTS := libs services deploy tests examples benchmarks
COMPILE := pip compile pyproject.toml --group dev --universal --generate-hashes --no-annotate --no-header -q

.PHONY: help setup demo up bench test soak check check-style check-types check-imports check-schemas check-lock format lock

help:
	@echo "make demo    a grocery chain's year on a platform of its own     (ARGS=--quick: a minute)"
	@echo "make up      start the platform here; Ctrl-C stops it"
	@echo "make test    all checks and tests                                (make check: only the checks)"
	@echo "make bench   how fast this machine runs it                       (ARGS=\"claim_hot --json FILE\")"
	@echo "make soak    minutes of load, kills and mutations"
	@echo "make format  format the code     make lock  follow pyproject.toml (ARGS=--upgrade: newest)"
	@echo "Afterwards ./scrip works, from any directory."

setup:
	@$(PYTHON) deploy/bootstrap.py

demo: setup
	@./scrip demo $(ARGS)

up: setup
	@./scrip up $(ARGS)

bench: setup
	@./scrip bench $(ARGS)

test: check
	@$(BIN)/python -m pytest -m "not soak" -n $(WORKERS) $(PYTEST_ARGS) tests

soak: setup
	@$(BIN)/python -m pytest -m soak $(PYTEST_ARGS) tests

check: check-style check-types check-imports check-schemas check-lock

check-style: setup
	@$(BIN)/ruff format --check $(PARTS)
	@$(BIN)/ruff check $(PARTS)

check-types: setup
	@$(BIN)/mypy --strict $(PARTS)

check-imports: setup
	@$(BIN)/lint-imports --no-logo

check-schemas: setup
	@$(BIN)/python -m contracts.schemas --check
	@$(BIN)/python -m contracts.asyncapi --check
	@$(BIN)/python -m contracts.refusal_list --check
	@$(BIN)/python -m coupon_core.states_document --check
	@$(BIN)/python -m dialects.declared.schema --check
	@$(BIN)/python -m gateway openapi --check

# Resolved again with the lock's own versions preferred: it comes out the same unless pyproject.toml asks for others.
# What the package index has got since then does not matter. It must hold no address.
check-lock: setup
	@if grep -n "://" requirements.lock; then echo "requirements.lock holds an address."; exit 1; fi
	@cp requirements.lock .venv/checked.lock
	@$(BIN)/uv $(COMPILE) -o .venv/checked.lock > /dev/null \
		|| { echo "requirements.lock cannot be checked: see above; it needs the package index."; exit 1; }
	@grep -v "^-e " .venv/checked.lock | cmp - requirements.lock \
		|| { echo "requirements.lock is not what pyproject.toml asks for: run \`make lock\`."; exit 1; }

format: setup
	@$(BIN)/ruff check --fix -q $(PARTS) || true
	@$(BIN)/ruff format $(PARTS)

lock: setup
	@cp requirements.lock .venv/new.lock
	@$(BIN)/uv $(COMPILE) $(ARGS) -o .venv/new.lock > /dev/null
	@grep -v "^-e " .venv/new.lock > requirements.lock
