.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

help:  ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[pipeline,dask,export,app,dev]'
	$(BIN)/dag-pose plots-page
	touch $@

install: .venv/installed  ## make .venv with everything in it; does nothing when that is done

repro: install  ## run the whole pipeline on the current params.yaml and show its metrics
	dvc repro
	dag-pose summary

test: install  ## the whole default test suite
	python -m pytest

lint: install  ## format, lint and type-check
	ruff format .
	ruff check --fix .
	pyright

app: install  ## browse annotations and predictions in the FiftyOne App
	dag-pose app

.PHONY: help install repro test lint app
