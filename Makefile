# Every chore is one word. Nothing but Python >= 3.11 and make has to be installed: the first chore makes
# its own virtual environment in .venv, the database is an embedded PostgreSQL from a pip package.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.skene-setup

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Behind a proxy with its own certificate uv, like pip, must trust what the machine trusts.
export UV_SYSTEM_CERTS := 1

.PHONY: help setup demo airflow test lint browser unit torture constraints lowest bench bench-parse clean

help:
	@echo "make demo     run the reference loop against a real PostgreSQL and open the mails"
	@echo "make airflow  the Airflow UI on 127.0.0.1 with the loops loaded"
	@echo "make bench    how fast it is, beside a plain script: one table, also in bench/results.md"
	@echo "make test     lint, strict types, import rules, tests"
	@echo "make clean    stop the demo's database and remove everything these commands made"

setup: $(STAMP)
	@:

# A virtual environment that somebody made by hand in .venv is used, and kept.
$(STAMP): setup.cfg constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 15) else \
	"This needs Python 3.11 to 3.14, and \"$(PYTHON)\" is %d.%d. Name another: make PYTHON=python3.13 ..." % v)'
	@echo "Making the virtual environment in $(VENV) (once) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet -c constraints.txt uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode -c constraints.txt -e '.[dev]'
	@touch $(STAMP)
	@echo "... done."

demo: $(STAMP)
	@$(BIN)/python -m demo.run

airflow: $(STAMP)
	@$(BIN)/python -m demo.ui

test: lint browser unit

# tests/browser looks at pages in a real Chromium. Where one may be installed it is; elsewhere those tests are skipped,
# and say so.
BROWSERS := chromium-headless-shell chromium chromium-browser google-chrome google-chrome-stable
browser:
	@for name in $(BROWSERS); do command -v $$name >/dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	echo "Installing a headless Chromium for tests/browser (once) ..."; export DEBIAN_FRONTEND=noninteractive; \
	{ apt-get -qq update && { apt-get -qq install -y --no-install-recommends chromium-headless-shell || \
	apt-get -qq install -y --no-install-recommends chromium; }; } >/dev/null || echo "... it could not be installed."; \
	else echo "There is no Chromium here: tests/browser will be skipped."; fi

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

unit: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist loadfile

# The fault tests for as long as it takes: minutes of real Airflow, and ten times as many kills.
torture: $(STAMP)
	SKENE_TORTURE=1 $(BIN)/python -m pytest tests/faults -n auto --dist loadfile -m ""

# Side by side with the script that people would write instead, one large run, and judging; an hour. For a short one:
# make bench PEOPLE=10000 LARGE=100000
PEOPLE ?= 100000
LARGE ?= 1000000
bench: $(STAMP)
	@$(BIN)/python -W ignore -m bench.send --people $(PEOPLE) --large $(LARGE)

# Reading loops against dag-factory and against DAGs written by hand; writes bench/results-parse.md. Ten minutes.
bench-parse: $(STAMP)
	@$(BIN)/python -m bench.parse

# The newest set that fits together becomes constraints.txt; CONTRIBUTING.md says when.
constraints: $(STAMP)
	@{ echo '# Everything that `make setup` installs, pinned for Python 3.11 to 3.14. Made by `make constraints`.'; \
	echo uv | $(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 --extra dev \
	--no-annotate --no-header setup.cfg - | LC_ALL=C sort; } > constraints.tmp && mv constraints.tmp constraints.txt

# The lower bounds in setup.cfg are promises: installed to the letter, they must import and pass the tests.
lowest: $(STAMP)
	@$(PYTHON) -m venv build/lowest
	@$(BIN)/uv pip install --quiet --python build/lowest/bin/python --resolution lowest-direct -e '.[dev]'
	build/lowest/bin/python -m pytest -n auto --dist loadfile

# Only an environment that `make setup` finished is removed: it carries our stamp.
clean:
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m demo.clean; else rm -rf .demo; fi
	@if [ -f $(STAMP) ]; then rm -rf $(VENV); fi
	@rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
	@echo "Clean."
