# Two commands do everything: `make book` and `make test`. Both first make the environment in .venv.
PYTHON ?= python3
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
ENVIRONMENT := $(VENV)/.complete
SITE := _build/html
AXE := tests/pages/node_modules/axe-core/axe.min.js

.PHONY: book test environment lint types unit notebooks site pages run-book bench clean
.NOTPARALLEL: # the stages of `make test` stop at the first one that fails

book: site
	@echo "The book is built. Open file://$(CURDIR)/$(SITE)/index.html"

test: lint types unit notebooks site pages
	@echo "== all stages passed"

environment: $(ENVIRONMENT)

$(ENVIRONMENT): pyproject.toml requirements.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "hyperlearn needs Python 3.11 or newer, and $(PYTHON) is %d.%d: make PYTHON=/path/to/python3.11" % sys.version_info[:2])'
	@echo "== environment (some minutes and gigabytes, once)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[book,test]'
	@touch $@

lint: environment
	@echo "== lint"
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

types: environment
	@echo "== types"
	$(BIN)/python -m mypy

# One thread a process: two processes that each use both cores are slower than two that use one.
unit notebooks: export OMP_NUM_THREADS = 1

unit: environment
	@echo "== unit and contract tests"
	$(BIN)/python -m pytest -q --ignore=tests/pages -n $(WORKERS)

notebooks: environment
	@echo "== notebooks, quick profile"
	HYPERLEARN_PROFILE=quick $(BIN)/python -m pytest -q --nbval-lax --nbval-current-env \
		--nbval-cell-timeout=300 -n $(WORKERS) --dist loadscope book/*.ipynb

# From nothing each time: a second build would not repeat the warnings of pages that did not change.
site: environment
	@echo "== site"
	@rm -rf $(SITE) _build/.doctrees
	$(BIN)/jupyter-book build --quiet -W -n --keep-going .

pages: site $(AXE)
	@echo "== built pages in a browser"
	$(BIN)/python -m pytest -q tests/pages -n $(WORKERS) --dist loadgroup

# The rules of accessibility that the pages are held against. Without npm their test is skipped, and fails where CI is set.
$(AXE): tests/pages/package-lock.json
	@if command -v npm >/dev/null; then npm ci --prefix tests/pages --loglevel=error --no-audit --no-fund && touch $@; \
	else echo "no npm: the pages' accessibility is not checked"; fi

bench: environment
	$(BIN)/python benchmarks/bench.py

run-book: environment
	$(BIN)/python book/run.py --profile full

clean:
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache .hypothesis
