#!/usr/bin/env bash
# Checks the CloudFormation template (aws.yaml), its IAM policies included, with cfn-lint, from the Python registry. A
# warning is a failure too. It asks nothing of AWS.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

package=cfn-lint==1.58.0
venv=${CARGO_TARGET_DIR:-target}/check/cfn-lint

# grep reads to the end: with -q it would break pip's pipe, which pipefail takes for "not there".
if ! "$venv/bin/pip" freeze 2>/dev/null | grep -x "$package" >/dev/null; then
  if ! { rm -rf "$venv" && python3 -m venv "$venv" &&
    "$venv/bin/pip" install --quiet --disable-pip-version-check "$package"; }; then
    echo "=== SKIPPED: the CloudFormation template: cfn-lint is not here and cannot be fetched." >&2
    echo "    It needs python3 with venv, and the network once. Then run tests/cfn.sh again." >&2
    [[ ${CI:-} != true ]]
    exit
  fi
fi
"$venv/bin/cfn-lint" --non-zero-exit-code warning --template aws.yaml
