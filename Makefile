# Each target sets up what it needs first. 'make help' lists them.
SHELL := /bin/bash
SUITABLE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c '$(SUITABLE)' 2>/dev/null && echo $$p && break; done)
VENV := .venv
READY := $(VENV)/.installed
PAGE := web/node_modules/.package-lock.json
# MLflow's own start page is for language models.
RUNS := /\#/experiments?workflowType=machine_learning
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true

.DEFAULT_GOAL := help
.PHONY: help repro test test-all test-nightly test-ci check check-page ui app notebooks compose wheel
.PHONY: bench-data bench-archives bench-train bench-infer bench-app lock clean

help: ## List the targets.
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /|/' | \
		while IFS='|' read -r target text; do printf '  make %-14s %s\n' "$$target" "$$text"; done

repro: $(READY) ## Run the stages that changed (EXPERIMENT=name: of it).
ifdef EXPERIMENT
	@springfield use $(EXPERIMENT)
endif
	dvc repro
	@springfield summary

test: $(READY) ## Run the short tests.
	pytest -m "not slow and not nightly" -n 2

test-all: $(READY) $(if $(shell command -v npm),$(PAGE)) ## Run the long tests: whole pipelines, reruns, a browser.
	pytest -m "slow and not nightly" -n 3 --dist loadgroup

test-nightly: $(READY) ## Run the tests that only a night has time for.
	pytest -m nightly -n 3 --dist loadgroup

test-ci: $(READY) $(if $(shell command -v npm),$(PAGE)) # the short and the long ones
	pytest -m "not nightly" -n 3 --dist loadgroup

check: $(READY) check-page ## Lint, format and types; the page's too, where npm is.
	ruff check
	ruff format --check
	mypy

check-page: $(if $(shell command -v npm),$(PAGE))
	@if command -v npm >/dev/null; then npm run --silent --prefix web check; \
		else echo "npm not found: the page is not checked"; fi

ui: $(READY) ## Open MLflow's page on the runs (PORT=5000).
	@case "$${MLFLOW_TRACKING_URI:-}" in \
	http*) echo "MLflow's page: $${MLFLOW_TRACKING_URI%/}$(RUNS)";; \
	*) echo "MLflow's page: http://127.0.0.1:$(or $(PORT),5000)$(RUNS)"; \
		echo "where it shows GenAI: choose 'Model training' at the top left"; \
		exec mlflow ui --backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}" \
			--host 127.0.0.1 --port $(or $(PORT),5000);; \
	esac

app: $(READY) $(PAGE) ## Show the page that runs the model (PORT=8000).
	springfield app --port $(or $(PORT),8000)

wheel: $(READY) $(PAGE) ## Build dist/*.whl: the command and the page for elsewhere.
	python -m hatchling build --target wheel

notebooks: $(READY) ## Open the teaching notebooks in JupyterLab.
	jupyter lab notebooks

compose: $(READY) ## Write params.yaml from conf/.
	springfield compose

bench-data: $(READY) ## Images per second of loaders (EXPERIMENT=name).
ifdef EXPERIMENT
	@springfield use $(EXPERIMENT)
endif
	dvc repro augment
	python benchmarks/data.py

bench-archives: $(READY) ## Seconds to read archives of each kind, in any order.
	python benchmarks/archives.py

bench-train: $(READY) ## Images per second of training (EXPERIMENT=name).
ifdef EXPERIMENT
	@springfield use $(EXPERIMENT)
endif
	dvc repro augment
	python benchmarks/train.py

bench-infer: $(READY) ## Latency, size, accuracy of models (EXPERIMENT=name).
ifdef EXPERIMENT
	@springfield use $(EXPERIMENT)
endif
	dvc repro
	python benchmarks/infer.py

bench-app: $(READY) $(PAGE) ## Seconds to the page's answers, in Chromium.
	python benchmarks/app.py

lock: $(READY) ## Resolve the dependencies of pyproject.toml anew.
	uv pip compile --universal --python-version 3.11 --generate-hashes --all-extras --quiet \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		pyproject.toml --output-file requirements.txt

clean: ## Remove outputs and .venv; runs and caches stay.
	rm -rf $(VENV) web/node_modules data/raw data/prepared data/augmented data/split.csv models
	rm -rf reports/train reports/evaluate reports/augment.png reports/*.html reports/data.json
	rm -rf reports/split.json reports/export.json reports/run.json
	rm -rf .springfield/train .springfield/search .mypy_cache .pytest_cache .ruff_cache

$(PAGE): web/package.json web/package-lock.json web/.npmrc
	@command -v npm >/dev/null || { echo "error: npm not found; install Node.js 20.19 or later" >&2; exit 1; }
	npm ci --prefix web --ignore-scripts --no-audit --no-fund
	@touch $@

$(READY): requirements.txt pyproject.toml
	@$(or $(PYTHON),false) -c '$(SUITABLE)' || { \
		echo "error: no Python 3.11 to 3.13 found; name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@if [ ! -e .git ]; then dvc config --local core.no_scm true; fi
	@touch $@
