# The short way to everything a developer does. The work itself is done by CMake and by the scripts in tools/.
#
#   make test                       dependencies, build, all tests
#   make test TESTS=csv             only the tests whose name matches
#   make build PRESET=asan          the same sources in build-asan; see CMakePresets.json

PRESET ?= release
JOBS ?= 2
TESTS ?=
# Full size needs 100 GB of disk and an hour.
SCALE ?= 0.05
FUZZ_MINUTES ?= 10
# The PostgreSQL versions that the tests run against.
POSTGRES ?= 13 14 15 16 17 18

BUILD_DIR := $(if $(filter release,$(PRESET)),build,build-$(PRESET))
PYTHON := .deps/venv/bin/python
FERRY := $(CURDIR)/$(BUILD_DIR)/ferry
CXX_FILES = $(shell git ls-files --cached --others --exclude-standard -- '*.h' '*.cc')
SHELL_FILES = .ci/run $(wildcard tools/*.sh)
TIDY_FILES ?= ^$(CURDIR)/(src|tests|bench)/

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help deps deps-check configure build test demo lint sanitizers fuzz check matrix memory soak mutants format tidy clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

deps:  ## Install what building and testing needs (Debian 12), the private Python and the test servers
	@tools/install_dependencies.sh build test
	@tools/install_test_servers.sh $(POSTGRES) s3

deps-check:
	@tools/install_dependencies.sh build test check

configure:  ## Run CMake for PRESET
	@test -x $(PYTHON) || { echo "Run 'make deps' first."; exit 1; }
	cmake --preset $(PRESET)

# Ninja runs CMake again by itself when one of CMake's files has changed.
$(BUILD_DIR)/build.ninja: CMakePresets.json
	@$(MAKE) --no-print-directory configure PRESET=$(PRESET)
	@touch $@

build: $(BUILD_DIR)/build.ninja  ## Build PRESET; the release program is build/ferry
	cmake --build $(BUILD_DIR) --parallel $(JOBS)

test: deps build  ## Install, build and run the tests
	@ctest --preset $(PRESET) --parallel $(JOBS) $(if $(TESTS),--tests-regex '$(TESTS)')

demo: deps build  ## Copy a busy PostgreSQL into files, kill Ferry on the way, and compare
	@$(PYTHON) tools/demo.py --ferry $(FERRY)

lint: deps-check build tidy  ## Formatting, scripts, the map of folders and clang-tidy
	@clang-format-19 --dry-run --Werror $(CXX_FILES)
	@shellcheck $(SHELL_FILES)
	@$(PYTHON) tools/check_map.py

sanitizers:  ## The tests under the address, undefined-behaviour and thread sanitizers
	@$(MAKE) --no-print-directory test PRESET=asan
	@$(MAKE) --no-print-directory test PRESET=tsan

fuzz: deps-check  ## Search for inputs that break a decoder: FUZZ_MINUTES=10 for each of them
	@$(MAKE) --no-print-directory build PRESET=fuzz
	@tools/fuzz.sh '$(FUZZ_MINUTES)' $(JOBS) build-fuzz/tests/fuzz/*_fuzz

check: lint sanitizers fuzz mutants soak  ## All that is too long for every landing; hours

matrix: deps build  ## Print what becomes of each data type in files
	@$(PYTHON) tests/types/types_matrix.py --ferry $(FERRY)

memory: deps build  ## The most memory that huge tables, values and transactions take; SCALE=1 is full size
	@$(PYTHON) bench/memory.py --ferry $(FERRY) --scale $(SCALE) --format both

soak: deps build  ## Long runs with faults: MINUTES=30, SEED, SOAK_ARGS="--postgres 17"
	@$(PYTHON) tools/soak.py --ferry $(FERRY) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) $(SOAK_ARGS)

mutants: deps  ## Break the code on purpose and see that a test fails
	@$(PYTHON) tools/mutants.py --jobs $(JOBS)

format: deps-check  ## Format the C++ sources in place
	@clang-format-19 -i $(CXX_FILES)

tidy: deps-check $(BUILD_DIR)/build.ninja  ## Run clang-tidy; TIDY_FILES is a regular expression of paths
	@run-clang-tidy-19 -quiet -p $(BUILD_DIR) -j $(JOBS) '$(TIDY_FILES)'

clean:  ## Remove all build folders; .deps stays
	rm -rf build build-debug build-asan build-tsan build-fuzz
