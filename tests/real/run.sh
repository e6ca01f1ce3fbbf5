#!/usr/bin/env bash
# Runs the tests that need real parts: Apache Kafka in KRaft mode, a Python producer, DuckDB and pyarrow as readers.
# Does all the set-up in the ignored target folder, once; more arguments go to pytest (tests/real/run.sh -k rejected).
#
#   TICKLAKE_BIN      the binary to test; default: cargo builds it
#   CARGO_TARGET_DIR  as for cargo; default: target
#   CI=true           a missing toolchain is a failure; otherwise it is said, and the tests are skipped
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/real"
real=$(cd "$target/real" && pwd)
here=tests/real

# --- What the machine must have -------------------------------------------------------------------------------------

java_major() {
  "$1" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1
}

# The first Java of at least 17: JAVA_HOME's, the path's, then those in the usual folders.
find_java() {
  local java major
  for java in "${JAVA_HOME:-/nowhere}/bin/java" "$(command -v java || true)" \
    /usr/lib/jvm/*/bin/java /Library/Java/JavaVirtualMachines/*/Contents/Home/bin/java; do
    [[ -x $java ]] || continue
    major=$(java_major "$java")
    if [[ ${major:-0} -ge 17 ]]; then
      echo "$java"
      return
    fi
  done
}

missing=()
java=$(find_java)
[[ -n $java ]] ||
  missing+=("java 17 or newer       Debian, Ubuntu: apt-get install openjdk-17-jre-headless    macOS: brew install openjdk")
command -v mvn >/dev/null ||
  missing+=("mvn (Apache Maven)     Debian, Ubuntu: apt-get install maven                      macOS: brew install maven")
python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
  missing+=("python3 (3.10) + venv  Debian, Ubuntu: apt-get install python3-venv               macOS: brew install python")

if [[ ${#missing[@]} -gt 0 ]]; then
  {
    echo
    echo "=== SKIPPED: the tests with a real Kafka broker, a Python producer, DuckDB and pyarrow (tests/real) ==="
    echo "    This machine has no:"
    printf '      %s\n' "${missing[@]}"
    echo "    Install that and run tests/real/run.sh again."
    echo
  } >&2
  if [[ ${CI:-} == true ]]; then
    echo "tests/real/run.sh: nothing may be skipped with CI=true" >&2
    exit 1
  fi
  exit 0
fi

# --- What the project brings itself ---------------------------------------------------------------------------------

# Two runs at once share the set-up: the second waits for the first.
if command -v flock >/dev/null; then
  exec 9>"$real/setup.lock"
  flock 9
fi

# A part is there when its stamp says what it was made of; the stamp is written last.
hash_of() { python3 -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())'; }
is_there() { [[ -f $1 && $(<"$1") == "$2" ]]; }

python_hash=$({ cat "$here/requirements.txt"; python3 -V; } | hash_of)
if ! is_there "$real/venv/stamp" "$python_hash"; then
  echo "tests/real: making a virtual environment in $real/venv" >&2
  rm -rf "$real/venv"
  python3 -m venv "$real/venv"
  "$real/venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
  echo "$python_hash" >"$real/venv/stamp"
fi

kafka_hash=$(hash_of <"$here/kafka-pom.xml")
if ! is_there "$real/kafka/stamp" "$kafka_hash"; then
  echo "tests/real: fetching Apache Kafka into $real/kafka" >&2
  rm -rf "$real/kafka"
  mvn --quiet --batch-mode -Dstyle.color=never --file "$here/kafka-pom.xml" dependency:copy-dependencies \
    -DoutputDirectory="$real/kafka/libs" -DincludeScope=runtime
  echo "$kafka_hash" >"$real/kafka/stamp"
fi

exec 9>&-

if [[ -z ${TICKLAKE_BIN:-} ]]; then
  cargo build --locked --quiet
  TICKLAKE_BIN=$target/debug/ticklake
fi
if [[ ! -x $TICKLAKE_BIN ]]; then
  echo "tests/real/run.sh: TICKLAKE_BIN=$TICKLAKE_BIN is no program: build it with 'cargo build'" >&2
  exit 1
fi

TICKLAKE_BIN=$(cd "$(dirname "$TICKLAKE_BIN")" && pwd)/$(basename "$TICKLAKE_BIN")
export TICKLAKE_BIN REAL_DIR=$real REAL_JAVA=$java PYTHONDONTWRITEBYTECODE=1
cd "$here"
exec "$real/venv/bin/python" -m pytest "$@"
