# make test       set up .venv (minutes, the first time) and run the tests
# make test-slow  the tests that take longer
# make golden     compare with recorded outputs of the original code, a line a case
# make bench      the benchmarks against the original's ways (about 10 minutes)
# make demo       from videos to a report, everything measured (about 6 minutes)
# make demo-vpt   a model that writes captions, on what make demo extracted (about 5 minutes)
# make check      format, lint, types, import contracts
# make format     format, and mend what lint can mend
# make clean      remove .venv and caches
# PYTHON=python3.12 make test uses another interpreter.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SETUP := mmvt_cli/setup.py mmvt_cli/bare_packages.json mmvt/features/weights.py

# two workers fit a small machine: each holds torch, and its threads would only crowd them
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

export HF_HUB_OFFLINE := 1

.PHONY: install test test-slow golden bench demo demo-vpt check format clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml setup.py constraints.txt $(SETUP)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mmvt needs Python 3.11; try PYTHON=python3.11 make test")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m mmvt_cli.setup train demo dev transcribe ray slurm lora deeplake
	$(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation --editable .
	touch $@

test: $(INSTALLED)
	$(PYTEST) -m "not slow"

test-slow: $(INSTALLED)
	$(PYTEST) -m slow

golden: $(INSTALLED)
	$(PYTEST) tests/golden --golden $(or $(MMVT_SHARED),../shared)/golden

bench: $(INSTALLED)
	for name in store batch decode s3d step ranks; do $(BIN)/python -m bench.$$name || exit 1; done

demo: $(INSTALLED)
	$(BIN)/python -m mmvt_cli.demo $(DEMO)

demo-vpt: $(INSTALLED)
	$(BIN)/python -m mmvt_cli.demo_vpt $(DEMO)

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
