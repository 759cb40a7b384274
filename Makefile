# Each target is enough on a fresh machine: it does its own set-up, once.
VENV ?= .venv
PYTHON_IN_VENV = $(VENV)/bin/python

.PHONY: setup setup-lite demo demo-detection test

setup:
	@tools/setup_env.sh $(VENV)

setup-lite:  # no compiled ops: enough for classification
	@tools/setup_env.sh --lite $(VENV)

demo: setup-lite
	@$(PYTHON_IN_VENV) tools/demo.py $(if $(DATA),--data $(DATA))

demo-detection: setup
	@$(PYTHON_IN_VENV) tools/demo_detection.py $(if $(DATA),--data $(DATA))

test: setup
	@$(PYTHON_IN_VENV) -m ruff check .
	@$(PYTHON_IN_VENV) -m pytest
