PYTHON ?= python3.11
BIN := $(CURDIR)/.venv/bin
export PATH := $(BIN):$(PATH)

.PHONY: repro test test-slow lint docs study real install
.DEFAULT_GOAL := repro

repro: install  ## the whole pipeline, from rows to report
	dvc repro
	@echo "The report: report/index.html. The numbers: dvc metrics show, metrics/tables/*.csv"

test: install  ## the quick tests: everything but those marked slow
	pytest

test-slow: install  ## the slow ones: kills, whole studies, real models, loads on a clock
	pytest -m slow

lint: install  ## style and types
	ruff check
	ruff format --check
	mypy

docs: install .venv-docs/installed  ## the manual, in site/: open site/index.html
	python -m tunebench.config.reference > .venv-docs/params.md
	cp .venv-docs/params.md docs/params.md
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --quiet
	@echo "The manual: site/index.html"

study: install  ## one published table: make study NAME=demo_full
	@test -f "studies/$(NAME).yaml" || { echo "studies/$(NAME).yaml is not there; choose from: $(basename $(notdir $(wildcard studies/*.yaml)))" >&2; exit 2; }
	cp studies/$(NAME).yaml params.yaml
	dvc repro

real: install  ## the pipeline on real text and models, where ../shared is there
	python -m tests.real.run

install: .venv/installed

.venv/installed: requirements.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not there: install Python 3.11, or name another: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Installing the pinned requirements into .venv; this takes some minutes once"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.txt --editable .
	@touch $@

.venv-docs/installed: docs/requirements.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/pip install --quiet --disable-pip-version-check --requirement docs/requirements.txt
	@touch $@
