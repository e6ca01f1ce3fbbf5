# What a newcomer and CI call. Each target does all of its set-up, in the ignored folder target/.
#
#   make demo    builds the program and runs the whole system in one process
#   make test    all tests, those with a real Kafka broker included
#   make soak    the tests that look for lost and doubled rows, for hours: SCHEDULES, SEED and EVENTS say how many; then the
#                engines that are large to fetch, and a day of 10,000 new partitions
#   make bench   the stages of the hot path one at a time, beside crates that do the same; the first run is the baseline of
#                the later ones, KEEP=1 makes a new one. A whole job: ticklake bench
#   make scans   what analysts' questions read of TICKS ticks, in files of ours and of others; some hours, Spark is fetched
#   make check   format, lints, docs, licences and sources of dependencies, the AWS template
#
# demo and test share one build of the dev profile (tests/one_build.sh); soak alone builds another, which runs more than
# twice as many schedules in a day.

.DEFAULT_GOAL := help
.PHONY: help demo test soak bench scans check

SCHEDULES ?= 1000000
SEED ?= 1000000
EVENTS ?= 80

help:
	@sed -n 's/^#   //p' Makefile

demo:
	@tests/doctor.sh build
	cargo run --locked -- demo --dir target/demo

test:
	@tests/doctor.sh build test
	cargo test --locked
	tests/mutants.py
	tests/real/run.sh

MEMCHECK = --config "target.'cfg(unix)'.runner = ['valgrind', '--quiet', '--error-exitcode=9']"
soak:
	@tests/doctor.sh build test
	TICKLAKE_SCHEDULES=$(SCHEDULES) TICKLAKE_SEED=$(SEED) cargo test --release --locked \
	  --test it simulation::every_schedule -- --nocapture
	@# The calls of C, by a checker of memory: the program's allocator is not in the tests, so it sees each block.
	@if command -v valgrind >/dev/null; then set -x; \
	  RUST_BACKTRACE=0 cargo test --locked --test it $(MEMCHECK) -- ingest::a_small ingest::what verify::records; \
	else echo "no valgrind is here: its part is left out"; fi
	PROPTEST_CASES=20000 cargo test --release --locked --lib
	PROPTEST_CASES=60000 cargo test --release --locked --test it fuzz::
	TICKLAKE_ENGINES="spark awswrangler" tests/real/run.sh test_engines.py
	TICKLAKE_CHAOS_EVENTS=$(EVENTS) TICKLAKE_CHAOS_SEED=$(SEED) tests/real/run.sh test_chaos.py -s
	TICKLAKE_NEW_PARTITIONS=10000 TICKLAKE_ENGINES="spark awswrangler" tests/real/run.sh test_midnight.py

CRITERION = $(or $(CARGO_TARGET_DIR),target)/criterion
bench:
	@tests/doctor.sh build
	cargo bench --locked -p ticklake-benches --bench stages -- \
	  $(if $(KEEP)$(if $(wildcard $(CRITERION)/*/*/kept),,first),--save-baseline,--baseline-lenient) kept
	@cargo run --release --locked --quiet -p ticklake-benches --bin table -- $(CRITERION) kept

TICKS ?= 20000000
scans:
	@tests/doctor.sh build test
	cargo build --release --locked
	TICKLAKE_BIN=$(or $(CARGO_TARGET_DIR),target)/release/ticklake TICKLAKE_SCANS_TICKS=$(TICKS) \
	  tests/real/run.sh test_scans.py

check:
	@tests/doctor.sh build check
	cargo fmt --all --check
	tests/one_build.sh
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items
	tests/deny.sh
	tests/cfn.sh
