# SPDX-License-Identifier: MIT
#
# The commands of the project, in one screen. The build itself is CMakeLists.txt.
MAKEFLAGS += --no-print-directory
JOBS ?= $(shell nproc)
C_FILES = $(shell find include src cmd examples tests bench -name '*.[ch]' -o -name '*.cc')

.PHONY: help run test tidy bench docs ci format clean install

help: ; @grep -E '^[a-z]+:.*[#]# ' Makefile | sed -E 's/:.*[#]# /\t/' | expand -t 10

build-%:
	@tools/setup.sh && cmake --preset $* >/dev/null && \
	cmake --build build/$* -j $(JOBS) $(ONLY)

run: ONLY = --target service
run: build-release ## build, and run the example service (or hello)
	@if [ -x build/release/bin/orders ]; then exec build/release/bin/orders; \
	else exec build/release/bin/hello; fi

test: build-dev ## build with debug checks, and run all tests
	@python3 tests/run_suite.py build/dev

tidy: ## check the rules of the code
	@python3 tools/tidy.py

bench: build-release ## build and run the benchmarks
	@cmake --build build/release -j $(JOBS) --target benches
	@if [ -x bench/run ]; then exec bench/run; \
	else for b in build/release/bench/*; do echo "== $$b"; "$$b" || exit 1; done; fi

docs: ## make the reference from the public headers
	@python3 tools/header_to_manual.py include build/docs

ci: ## everything that is checked before a release
	@.ci/run

format: ## lay out the code
	@clang-format -i $(C_FILES)

install: build-release ## install into DESTDIR and the configured prefix
	@cmake --install build/release

clean: ## remove all builds
	@rm -rf build
