# What a newcomer and CI call. Each target does all of its set-up, in the ignored folder target/.
#
#   make demo    builds the program and runs the whole system in one process
#   make test    all tests, those with a real Kafka broker included
#   make check   format, lints, docs, licences and sources of dependencies, the AWS template
#
# demo and test share one build of the dev profile: nothing here builds another (tests/one_build.sh).

.DEFAULT_GOAL := help
.PHONY: help demo test check

help:
	@sed -n 's/^#   //p' Makefile

demo:
	@tests/doctor.sh build
	cargo run --locked -- demo --dir target/demo

test:
	@tests/doctor.sh build test
	cargo test --locked
	tests/real/run.sh

check:
	@tests/doctor.sh build check
	cargo fmt --check
	tests/one_build.sh
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items
	tests/deny.sh
	tests/cfn.sh
