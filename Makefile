# Thin on purpose: what a target does stands in setup/*.sh.
SHELL := /bin/bash
.DEFAULT_GOAL := help
ENGINE ?= auto
OUTDIR ?= results/demo
export BASE_IMAGE TORCH_INDEX PIP_INDEX_URL FORCE PYTHON DIGESTS

help: ## this list
	@echo 'make TARGET [ENGINE=venv|docker] [OUTDIR=...] [BASE_IMAGE=...] [TORCH_INDEX=...] [FORCE=1]'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 14

setup: ## find or install Python, Java, Nextflow and the packages; nothing is done twice
	@setup/setup.sh

demo: ## set up and run the pipeline on real cells that come with it; ends with the path of report.html
	@setup/demo.sh "$(ENGINE)" "$(OUTDIR)"

test: ## set up and run all tests; ARGS='-k pattern' for some
	@setup/test.sh $(ARGS)

images: ## build the Docker images that have changed; NAMES='scgpt pca' for some, DIGESTS=FILE for a models sheet by digest
	@setup/setup.sh && setup/images.sh $(NAMES)

base-image: ## a Python base image from the machine's own apt mirror, where no image registry can be reached
	@setup/base-image.sh

lint: ## ruff, and Nextflow's strict syntax
	@setup/lint.sh

docs: ## write the generated pages of docs/ anew
	@setup/setup.sh && .venv/bin/sceval docs docs

lock: ## resolve the requirements anew (needs uv)
	@setup/lock.sh

clean: ## remove work files and results; set-up and images stay
	@rm -rf work results .nextflow .nextflow.log* && echo 'removed: work results .nextflow'

.PHONY: help setup demo test images base-image lint docs lock clean
