# wavevae: `make demo` to hear something, `make test` to check everything. Needs Python >= 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Waiting threads sleep instead of spinning: on a shared machine a training step is up to 10x shorter.
export OMP_WAIT_POLICY ?= passive
export PYTHONDONTWRITEBYTECODE ?= 1

.PHONY: soak setup instruments system demo docs test test-all test-hosts lint bench clean

setup: $(STAMP)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "wavevae needs Python 3.11 or later; name one: make setup PYTHON=python3.12" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing wavevae and its packages into $(VENV) (a few minutes, about 5 GB with torch)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $(STAMP)

# The built-in instruments anew, an hour and more: make instruments, or make instruments NAMES="strings bells".
instruments: setup
	$(BIN)/python experiments/instruments.py $(NAMES)

# Sound through PortAudio, and a JACK server for the tests: installed where apt may be used, else said.
system:
	@sh tests/system_packages.sh libportaudio2 jackd2 puredata-core

demo: setup
	$(BIN)/wavevae demo --out demo

# A process a core, each with whole test files and one thread: files share what they have built.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile

# The pages as a site: build/site/index.html. A warning, a broken link among them, fails it.
docs: setup
	$(BIN)/python -m sphinx -q -W --keep-going -E -c docs -b html . build/site
	@echo "open build/site/index.html"

test: setup system
	$(PYTEST) -m "not slow"

test-all: setup system
	$(PYTEST)

# The exported file in the libtorch that nn~ ships, 2.5.1 (nn~ 1.6) and 2.0.1 (nn~ 1.5.6); the examples in Pd and SuperCollider.
test-hosts: setup
	@sh tests/system_packages.sh puredata-core supercollider-server supercollider-language
	@sh tests/host_venvs.sh $(BIN)/python 2.5.1 2.0.1
	$(BIN)/python -m pytest -m slow tests/test_hosts.py
	$(BIN)/python -m pytest tests/test_examples_in_hosts.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy wavevae train export realtime

bench: setup
	$(BIN)/python benchmarks/decode.py
	$(BIN)/python benchmarks/store.py
	$(BIN)/python benchmarks/training.py

# The live instrument under fire beside a JACK server: minutes by minutes, on a machine that does nothing else.
soak: setup system
	$(BIN)/python benchmarks/soak.py

clean:
	rm -rf $(VENV) .venv-torch-* build *.egg-info .pytest_cache .mypy_cache .ruff_cache
