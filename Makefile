# Everything a person needs: `make demo`, `make test`, `make check`, `make bench`. Each installs what it lacks into .venv.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
# Tests wait for other processes much of their time: on two cores, two at a time would leave these idle.
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); [ "$$n" -gt 3 ] && echo "$$n" || echo 3)
SOAK ?= 600
SEED ?= $(shell date +%s)
PYTEST := $(BIN)/python -m pytest -q

# Tests start hundreds of processes, each of which would compile what it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check dashboard bench bench-peers soak format clean

demo: .venv/installed
	$(BIN)/windlass demo

test: .venv/installed
	$(BIN)/python -m tests.provision
	$(PYTEST) -n $(WORKERS) --dist loadgroup

check: .venv/installed
	$(BIN)/ruff format --check src tests benchmarks examples hatch_build.py
	$(BIN)/ruff check src tests benchmarks examples hatch_build.py
	$(BIN)/basedpyright
	WINDLASS_TEST_ENGINES=sqlite-file,sqlite-memory $(PYTEST) -n $(WORKERS) --dist loadgroup -m "not slow" tests/test_house.py tests/unit tests/store

dashboard: .venv/installed
	$(BIN)/python hatch_build.py

bench: .venv/installed
	$(BIN)/python -m benchmarks.run

bench-peers: .venv/installed
	$(BIN)/python -m benchmarks.peers

soak: .venv/installed
	$(BIN)/python -m tests.provision
	WINDLASS_TEST_SCALE=10 $(PYTEST) -n $(WORKERS) --dist loadgroup --timeout 3600
	$(BIN)/python -m tests.crash --seconds $(SOAK) --seed $(SEED)

format: .venv/installed
	$(BIN)/ruff format src tests benchmarks examples hatch_build.py
	$(BIN)/ruff check --fix src tests benchmarks examples hatch_build.py

.venv/installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "Windlass needs Python 3.11 or newer with venv (Debian: apt-get install python3-venv)" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@

clean:
	rm -rf .venv dist build
