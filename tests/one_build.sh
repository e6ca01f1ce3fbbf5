#!/usr/bin/env bash
# Checks that the tests build no dependency of the program's anew: where a dependency of theirs turns on a feature of
# a shared crate, everything above that crate is compiled twice (DataFusion: minutes).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Each crate with its features.
crates() { cargo tree --locked --edges "$1" --format '{p} {f}' --prefix none | sed 's/ (\*)$//' | sort -u; }

program=$(crates normal,build)
with_tests=$(crates normal,build,dev)
changed=$(comm -23 <(echo "$program") <(echo "$with_tests"))
if [[ -n $changed ]]; then
  echo "tests/one_build.sh: the dev-dependencies turn on more features of these, so 'cargo test' builds them and all" >&2
  echo "that uses them once more. Choose another version of the dev-dependency, or give it fewer features:" >&2
  echo "$changed" >&2
  exit 1
fi
