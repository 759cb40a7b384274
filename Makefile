# Each target is enough on a fresh machine: the first one run sets up the environment.
VENV ?= .venv
PYTHON_IN_VENV = $(VENV)/bin/python
# Units and components; not what trains, starts processes or builds large networks.
QUICK = $(wildcard tests/test_*.py tests/test_utils tests/test_apis tests/test_ops tests/test_engine/test_hooks \
	tests/test_models/test_build.py tests/test_models/test_losses tests/test_models/test_taps)

.PHONY: setup setup-lite demo demo-detection lint test test-quick

setup:
	@tools/setup_env.sh $(VENV)

setup-lite:  # without compiled ops: enough for classification
	@tools/setup_env.sh --lite $(VENV)

demo: setup-lite
	@$(PYTHON_IN_VENV) tools/demo.py $(if $(DATA),--data $(DATA))

demo-detection: setup
	@$(PYTHON_IN_VENV) tools/demo_detection.py $(if $(DATA),--data $(DATA))

lint: setup
	@$(PYTHON_IN_VENV) -m ruff check .

test: lint
	@$(PYTHON_IN_VENV) -m pytest

test-quick: setup
	@$(PYTHON_IN_VENV) -m pytest $(QUICK)
