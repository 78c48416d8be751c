# `make demo` and `make test` each do everything on a fresh machine: create .venv, install, run.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-full tests check quick-tests docs install lint style types clean

demo: install
	$(BIN)/fairnas run digits --out runs/digits

# One thread per process: tests run side by side, and torch's threads would fight for the cores. `worksteal` gives each
# process one half of the tests in their order, so that a file's tests share its costly fixtures, and who has finished
# takes half of what the other has left: no list of long files has to be kept.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

# What a change has to pass: lint, types, layers, and all tests but those marked full. Types are checked, by one process,
# beside the tests.
test: style
	$(MAKE) --jobs=2 types tests

# The tests marked full: long ones, which show once more, or for every combination, what a quicker one in `make test`
# shows for some; and properties on more random examples (tests/examples.py). `.ci/run` runs both.
test-full: install
	FAIRNAS_EXAMPLES=all $(PYTEST) -m "full or hypothesis"

# The inner loop: the tests of one room that are neither slow nor full (make check ROOM=search); without ROOM, of all.
check: style
	$(MAKE) --jobs=2 types quick-tests

tests: install
	$(PYTEST) -m "not full"

quick-tests: install
	$(PYTEST) -m "not slow and not full" tests/$(ROOM)

# The site, in site/: every link, anchor and example is checked. `make docs` needs no network, and neither does the site.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "site/index.html"

lint: style types

style: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: install
	$(BIN)/basedpyright

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fairnas needs Python 3.11 or later; try: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable . --group dev
	touch $@

clean:
	rm -rf .venv build dist site
