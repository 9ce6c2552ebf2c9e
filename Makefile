# HierTK: everything a developer or a newcomer runs. `make help` lists it.
PYTHON ?= python3
VENV ?= .venv
# On a machine without an NVIDIA GPU, PyTorch's CPU build is 20 times smaller: set TORCH_INDEX to
# the address of its CPU index (pytorch.org, "Get Started", "CPU").
TORCH_INDEX ?=
# Processes that share the tests; each holds PyTorch and some processes of its own.
JOBS ?= 2
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check
FILES = protocol toolkit edge_runtime cloud_service benchmarks tests android_demo

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-arm64 test-boot test-android pictures-android test-faults check format bench proto clean

help:  ## Show the targets
	@grep -E '^[a-z0-9-]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 18

setup: $(VENV)/dev.done  ## Install everything for development into .venv

demo: $(VENV)/demo.done  ## Run the main job: export, broker, cloud, two devices, real images
	$(BIN)/hiertk demo $(DEMO)

test: $(VENV)/dev.done  ## Run the tests (HIERTK_NO_SKIPS=1: a skipped test fails)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder \
		-m "not slow and not arm64 and not boot and not android" $(PYTEST)

test-slow: $(VENV)/dev.done  ## Run the slow tests: every benchmark, every other network
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m slow $(PYTEST)

test-arm64: $(VENV)/dev.done  ## Run the tests on an emulated Raspberry Pi (Debian, root, 6 GB below ~/.cache)
	$(BIN)/python -m pytest -m arm64 tests/arm64 $(PYTEST)

test-boot: $(VENV)/dev.done  ## Boot service and device in a container with systemd (Debian, root, 1 GB below ~/.cache)
	$(BIN)/python -m pytest -m boot tests/boot $(PYTEST)

# The gate links the resources that the screens' tests read.
PHONE = $(BIN)/python android_demo/gate/gate.py && \
	cd android_demo && HIERTK_PYTHON=$(abspath $(BIN)/python) mvn -B -ntp -P gate test

test-android: $(VENV)/dev.done  ## Test the phone app on a JVM, engine and cloud included (JDK 17, Maven, gcc, aapt2)
	$(PHONE) $(MAVEN)
	$(BIN)/python -m pytest -m android tests/android $(PYTEST)

pictures-android: $(VENV)/dev.done  ## Draw the phone app's screens anew: docs/android-light.png, docs/android-dark.png
	$(PHONE) -pl screens -am -Dtest=LearningTest -Dsurefire.failIfNoSpecifiedTests=false \
		-Dhiertk.pictures=$(abspath docs)

test-faults: $(VENV)/dev.done  ## Kill broker, service and devices 100 times under load, and count (root; SEED=N)
	PYTHONPATH=tests $(BIN)/python tests/faults/campaign.py $(if $(SEED),--seed $(SEED)) $(FAULTS)

check: $(VENV)/dev.done  ## Lint, check formatting and types
	$(BIN)/ruff check $(FILES)
	$(BIN)/ruff format --check $(FILES)
	$(BIN)/mypy

format: $(VENV)/dev.done  ## Format the code
	$(BIN)/ruff check --fix-only $(FILES)
	$(BIN)/ruff format $(FILES)

bench: $(VENV)/dev.done  ## Measure speed and memory, and write docs/benchmarks.md
	$(BIN)/python -m benchmarks $(BENCH)

proto: $(VENV)/dev.done  ## Generate the message classes from protocol/hiertk_protocol/hiertk.proto
	cd protocol && ../$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. \
		hiertk_protocol/hiertk.proto

clean:  ## Remove what make has installed
	rm -rf $(VENV)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(not (3, 10) <= v < (3, 13))' || \
		{ echo "HierTK needs Python 3.10, 3.11 or 3.12: make PYTHON=python3.11 ..." >&2; exit 3; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/%.done: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing hiertk[$*] into $(VENV): some minutes the first time"
	$(if $(TORCH_INDEX),$(PIP) install --quiet -c constraints.txt --index-url $(TORCH_INDEX) torch torchvision)
	$(PIP) install --quiet -c constraints.txt --editable '.[$*]'
	@touch $@
