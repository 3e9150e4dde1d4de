# Two commands do everything: `make book` and `make test`. Both first make the environment in .venv.
PYTHON ?= python3
WORKERS ?= 2
# A second, newer Python: lint, the unit tests and Colab's are run with it too. .ci/run looks for one.
NEWER :=

VENV := .venv
CONSTRAINTS := constraints.txt
BIN := $(VENV)/bin
ENVIRONMENT := $(VENV)/.complete
SITE := _build/html
AXE := tests/pages/node_modules/axe-core/axe.min.js

VERSION := import sys; print("%d.%d" % sys.version_info[:2])

.PHONY: book test environment same-python lint types unit notebooks colab newer floors site pages pdf run-book bench clean
.NOTPARALLEL: # the stages of `make test` stop at the first one that fails

book: site
	@echo "The book is built. Open file://$(CURDIR)/$(SITE)/index.html"

test: lint types unit notebooks $(if $(NEWER),newer,colab) site pages
	@echo "== all stages passed"

environment: $(ENVIRONMENT)

$(ENVIRONMENT): pyproject.toml requirements.txt $(CONSTRAINTS) | same-python
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "hyperlearn needs Python 3.11 or newer, and $(PYTHON) is %d.%d: make PYTHON=/path/to/python3.11" % sys.version_info[:2])'
	@echo "== environment: everything is installed into $(VENV), once. On Linux this is 6.3 GB, most of it PyTorch's CUDA"
	@echo "   libraries, and takes some minutes; README.md has the way without CUDA, 1.3 GB"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS) --editable '.[book,test]'
	@touch $@

# An environment stays of the Python that made it, so another one that is asked for would not be used.
same-python:
ifneq ($(origin PYTHON),file)
	@if [ -x $(BIN)/python ]; then has=$$($(BIN)/python -c '$(VERSION)'); asked=$$($(PYTHON) -c '$(VERSION)'); \
	[ "$$has" = "$$asked" ] || { echo "$(VENV) is of Python $$has, and PYTHON=$(PYTHON) is $$asked: remove $(VENV), or name another folder with VENV="; exit 1; }; fi
endif

lint: environment
	@echo "== lint"
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

types: environment
	@echo "== types"
	$(BIN)/python -m mypy

# One thread a process: two processes that each use both cores are slower than two that use one.
unit notebooks colab: export OMP_NUM_THREADS = 1

unit: environment
	@echo "== unit and contract tests"
	$(BIN)/python -m pytest -q -rs --ignore=tests/pages -n $(WORKERS) $(FLAGS)

notebooks: environment
	@echo "== notebooks, quick profile"
	HYPERLEARN_PROFILE=quick $(BIN)/python -m pytest -q --nbval-lax --nbval-current-env \
		--nbval-cell-timeout=300 -n $(WORKERS) --dist loadscope book/*.ipynb

# Each chapter alone in an empty folder, with the built wheel and nothing of the checkout; about three minutes.
colab: environment
	@echo "== notebooks as on Colab"
	$(BIN)/python -m pytest -q -m colab tests/test_colab.py -n $(WORKERS)

newer:
	@echo "== the same with $(NEWER)"
	$(MAKE) lint unit colab PYTHON=$(NEWER) VENV=.venv-$(shell $(NEWER) -c '$(VERSION)')

# The oldest versions that requirements.txt admits. They warn about newer neighbours, so a warning is no error here.
floors: _build/floors.txt
	$(MAKE) unit VENV=.venv-floors CONSTRAINTS=$< FLAGS='-W default'

_build/floors.txt: requirements.txt
	@mkdir -p $(@D)
	sed -E 's/ *#.*//; s/\[.*\]//; s/>=/==/' $< >$@
	echo 'pyparsing==3.2' >>$@ # from 3.3 on it warns about how the oldest matplotlib calls it

# From nothing each time: a second build would not repeat the warnings of pages that did not change.
site: environment
	@echo "== site"
	@rm -rf $(SITE) _build/.doctrees
	$(BIN)/python book/build.py --quiet -W -n --keep-going .

pages: site $(AXE)
	@echo "== built pages in a browser"
	$(BIN)/python -m pytest -q -rs tests/pages -n $(WORKERS) --dist loadgroup

# The rules of accessibility that the pages are held against. Without npm their test is skipped, and fails where CI is set.
$(AXE): tests/pages/package-lock.json
	@if command -v npm >/dev/null; then npm ci --prefix tests/pages --loglevel=error --no-audit --no-fund && touch $@; \
	else echo "no npm: the pages' accessibility is not checked"; fi

# The site in one file, to read on paper. Needs Chromium, and no LaTeX.
pdf: site
	$(BIN)/python book/pdf.py

bench: environment
	$(BIN)/python speed/bench.py

run-book: environment
	$(BIN)/python book/run.py --profile full

clean:
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache .hypothesis
