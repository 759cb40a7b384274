# Each target is enough on a fresh machine: the first one run sets up the environment.
VENV ?= .venv
PYTHON_IN_VENV = $(VENV)/bin/python
# Units and components; tests marked `slow` start processes or train.
QUICK = $(wildcard tests/test_*.py tests/test_utils tests/test_apis tests/test_ops \
	tests/test_engine/test_hooks/test_channels_last_hook.py tests/test_models/test_connectors \
	tests/test_models/test_build.py tests/test_models/test_losses tests/test_models/test_taps)

.PHONY: setup setup-lite demo demo-detection demo-segmentation docs lint test test-all test-quick

setup:
	@tools/setup_env.sh $(VENV)

setup-lite:  # without compiled ops: enough for classification
	@tools/setup_env.sh --lite $(VENV)

demo: setup-lite
	@$(PYTHON_IN_VENV) tools/demo.py $(if $(DATA),--data $(DATA))

demo-detection: setup
	@$(PYTHON_IN_VENV) tools/demo_detection.py $(if $(DATA),--data $(DATA))

demo-segmentation: setup
	@$(PYTHON_IN_VENV) tools/demo_segmentation.py $(if $(DATA),--data $(DATA))

docs: setup  # the site, from build/docs/docs/index.html
	@$(PYTHON_IN_VENV) -m sphinx -W --keep-going -c docs . build/docs

lint: setup
	@$(PYTHON_IN_VENV) -m ruff check .

# A process for each core, of one thread each.
test: lint
	@OMP_NUM_THREADS=1 $(PYTHON_IN_VENV) -m pytest -n auto --dist loadfile

test-all: lint  # with the cases that `make test` leaves out
	@OMP_NUM_THREADS=1 $(PYTHON_IN_VENV) -m pytest -n auto --dist loadfile -m ''

test-quick: setup
	@OMP_NUM_THREADS=1 $(PYTHON_IN_VENV) -m pytest -n auto --dist loadfile -m 'not slow and not exhaustive' $(QUICK)
