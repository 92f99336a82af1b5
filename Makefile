# make demo: install everything and watch a person be recognised.  make test: install everything and run the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A file's tests stay together, as they share what was set up for them. With ARGS=-n0 all run in one process.
TESTS := $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

.PHONY: demo test test-all soak lint lock clean

demo: $(VENV)/ready
	$(BIN)/python -m rollcall demo $(ARGS)

test: $(VENV)/ready
	$(TESTS) $(ARGS)

# Once on each pair of database and broker; tests/services.py says where they are looked for.
test-all: test
	TEST_DATABASE=postgres TEST_BROKER=redis $(TESTS) $(ARGS)
	TEST_DATABASE=postgres TEST_BROKER=rabbitmq $(TESTS) $(ARGS)

# What takes minutes each, one after the other, some hours in all: before a release. ARGS=tests/jobs for some of it.
soak: $(VENV)/ready
	$(BIN)/python -m pytest -m soak $(ARGS)

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lock: $(VENV)/ready
	PATH="$(CURDIR)/$(BIN):$$PATH" requirements/lock.sh --upgrade

# The environment is complete when this file is as new as the lock.
$(VENV)/ready: requirements/dev.txt requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Rollcall needs Python 3.11 or newer; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "Python's venv module is missing; on Debian or Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Installing Rollcall's packages into $(VENV) (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps -r requirements/dev.txt
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
