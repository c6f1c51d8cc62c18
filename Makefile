# make            says this
# make demo       builds the release binary and runs examples/hello; Ctrl-C ends it
# make test       formatting, clippy, real containers and every test, with a static debug binary;
#                 as root, because PID namespaces need it
# make test-matrix
#                 what concerns Node on each Node that is in use, and on Bun; a table at the end
# make release    the fully static binary: target/<triple>/release/procrun
# make container-test
#                 the release binary in docker/Dockerfile and Dockerfile.example in podman (docker/try.sh)
# make image      docker/Dockerfile from its first line to its last, in podman
# make docs       the documentation as a book: target/book
# make bench      the numbers of the documentation, beside the peers that are there
# make clean      forgets everything that was built or fetched
#
# What is missing on a Debian or Ubuntu machine is installed first (tests/setup.sh); that needs root.

TRIPLE  := $(shell rustc -vV | sed -n 's/^host: //p')
RELEASE := target/$(TRIPLE)/release/procrun

# crt-static needs an explicit --target: without one it would apply to proc-macros too. A fixed load
# address spares each start its relocations, and their pages in memory.
CARGO_STATIC := RUSTFLAGS="-C target-feature=+crt-static -C relocation-model=static" cargo

# A Node that tests/setup.sh had to fetch comes before the system's.
export PATH := $(CURDIR)/target/node/bin:$(PATH)

.PHONY: help demo test test-matrix lint release container-test image docs bench clean
help:
	@sed -n '/^$$/q; s/^# \{0,1\}//p' Makefile

demo:
	@tests/setup.sh demo
	@$(MAKE) --no-print-directory release
	@$(RELEASE) examples/hello/ecosystem.toml

test:
	@tests/setup.sh test
	@tests/setup.sh containers
	@$(MAKE) --no-print-directory lint
	$(CARGO_STATIC) test --locked --no-run --target $(TRIPLE)
	docker/try.sh target/$(TRIPLE)/debug/procrun
	$(CARGO_STATIC) test --locked --no-fail-fast --target $(TRIPLE)

test-matrix:
	@tests/setup.sh matrix
	tests/matrix.sh

lint:
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings

release:
	$(CARGO_STATIC) build --locked --release --target $(TRIPLE)

container-test: release
	@tests/setup.sh containers
	docker/try.sh $(RELEASE)

image:
	@tests/setup.sh containers
	docker/try.sh --build

docs:
	@tests/setup.sh docs
	target/mdbook/bin/mdbook build docs

bench: release
	benches/setup.sh
	benches/run --procrun $(RELEASE)

clean:
	cargo clean
	rm -rf examples/nest/node_modules examples/nest/dist
