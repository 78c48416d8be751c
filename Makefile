# `make demo` and `make test` each do everything on a fresh machine: create .venv, install, run.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check docs install lint clean

demo: install
	$(BIN)/fairnas run digits --out runs/digits

# One thread per process: tests run side by side, and torch's threads would fight for the cores. The order of files is
# that of tests/conftest.py.
test: install lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# The inner loop: the tests of one room that are not marked slow (make check ROOM=search); without ROOM, of all.
check: install lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow" tests/$(ROOM)

# The site, in site/: every link, anchor and example is checked. `make docs` needs no network, and neither does the site.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "site/index.html"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports --no-cache

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fairnas needs Python 3.11 or later; try: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable . --group dev
	touch $@

clean:
	rm -rf .venv build dist site
