#!/usr/bin/env bash
# Runs the tests that need real parts: Apache Kafka in KRaft mode, versitygw for S3, moto for Glue, Trino for Athena, a
# Python producer, DuckDB, Polars, pandas, pyarrow and parquet-java's tools as readers.
# Does all the set-up in the ignored target folder, once; more arguments go to pytest (tests/real/run.sh -k rejected).
# Without any, all tests run in two workers, which wait for their servers more than they compute.
#
#   TICKLAKE_BIN      the binary to test; default: cargo builds it
#   CARGO_TARGET_DIR  as for cargo; default: target
#   TICKLAKE_CHAOS_EVENTS, TICKLAKE_CHAOS_SEED  a long run of test_chaos.py: see there
#   TICKLAKE_ENGINES  "spark awswrangler": engines to try beside the usual ones; fetches 450 MB and more
#   TICKLAKE_NEW_PARTITIONS, TICKLAKE_GLUE_CALLS  the full size of test_midnight.py: see there
#   TICKLAKE_SCANS_TICKS  a long run of test_scans.py: see there; fetches Spark, 450 MB
#   CI=true           a missing toolchain is a failure; otherwise it is said, and the tests are skipped
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/real"
real=$(cd "$target/real" && pwd)
here=tests/real

# --- What the machine must have -------------------------------------------------------------------------------------

source "$here/toolchains.sh"

missing=()
java=$(find_java 17)
[[ -n $java ]] ||
  missing+=("java 17 or newer       Debian, Ubuntu: apt-get install openjdk-17-jre-headless    macOS: brew install openjdk")
trino_java=$(find_java 24)
[[ -n $trino_java ]] ||
  missing+=("java 24 or newer       Debian, Ubuntu: apt-get install openjdk-25-jre-headless    macOS: brew install openjdk")
command -v mvn >/dev/null ||
  missing+=("mvn (Apache Maven)     Debian, Ubuntu: apt-get install maven                      macOS: brew install maven")
has_go ||
  missing+=("go 1.25 or newer       Debian, Ubuntu: apt-get install golang                     macOS: brew install go")
python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
  missing+=("python3 (3.10) + venv  Debian, Ubuntu: apt-get install python3-venv               macOS: brew install python")

if [[ ${#missing[@]} -gt 0 ]]; then
  {
    echo
    echo "=== SKIPPED: the tests with a real Kafka broker, S3, Glue, Trino and Python's readers (tests/real) ==="
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

# make_venv FOLDER REQUIREMENTS
make_venv() {
  local made_of
  made_of=$({ cat "$2"; python3 -V; } | hash_of)
  is_there "$real/$1/stamp" "$made_of" && return
  echo "tests/real: making a virtual environment in $real/$1" >&2
  rm -rf "${real:?}/$1"
  python3 -m venv "$real/$1"
  "$real/$1/bin/pip" install --quiet --disable-pip-version-check --requirement "$2"
  echo "$made_of" >"$real/$1/stamp"
}

make_venv venv "$here/requirements.txt"
for engine in ${TICKLAKE_ENGINES:-} ${TICKLAKE_SCANS_TICKS:+spark}; do
  if [[ ! -f $here/requirements-$engine.txt ]]; then
    echo "tests/real/run.sh: TICKLAKE_ENGINES names $engine, which is none of spark, awswrangler" >&2
    exit 1
  fi
  make_venv "$engine" "$here/requirements-$engine.txt"
done

# fetch_jars FOLDER POM NAME
fetch_jars() {
  local made_of
  made_of=$(hash_of <"$2")
  is_there "$real/$1/stamp" "$made_of" && return
  echo "tests/real: fetching $3 into $real/$1" >&2
  rm -rf "${real:?}/$1"
  mvn --quiet --batch-mode -Dstyle.color=never --file "$2" dependency:copy-dependencies \
    -DoutputDirectory="$real/$1/libs" -DincludeScope=runtime
  echo "$made_of" >"$real/$1/stamp"
}

fetch_jars kafka "$here/kafka-pom.xml" "Apache Kafka"
fetch_jars parquet "$here/parquet-pom.xml" "parquet-java's tools"

versitygw=v1.8.0
versitygw_made_of="$versitygw $(go version)"
if ! is_there "$real/versitygw/stamp" "$versitygw_made_of"; then
  echo "tests/real: building versitygw into $real/versitygw (some minutes)" >&2
  rm -rf "$real/versitygw"
  mkdir "$real/versitygw"
  # It names each module that it fetches, and has no option to be quiet.
  GOBIN=$real/versitygw go install "github.com/versity/versitygw/cmd/versitygw@$versitygw" 2>"$real/versitygw/log" ||
    { cat "$real/versitygw/log" >&2; exit 1; }
  echo "$versitygw_made_of" >"$real/versitygw/stamp"
fi

trino_hash=$(hash_of <"$here/trino-pom.xml")
if ! is_there "$real/trino/stamp" "$trino_hash"; then
  echo "tests/real: fetching Trino into $real/trino" >&2
  rm -rf "$real/trino" "$real/trino.new"
  # A Maven repository that goes when this is done: nothing else needs these archives of 430 MB.
  mvn --quiet --batch-mode -Dstyle.color=never -Dmaven.repo.local="$real/trino.new/repository" \
    --file "$here/trino-pom.xml" dependency:unpack -Dto="$real/trino.new"
  mkdir -p "$real/trino/plugin"
  mv "$real"/trino.new/trino-server-core-*/lib "$real/trino/lib"
  mv "$real"/trino.new/trino-hive-* "$real/trino/plugin/hive"
  rm -rf "$real/trino.new"
  echo "$trino_hash" >"$real/trino/stamp"
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
export TICKLAKE_BIN REAL_DIR=$real REAL_JAVA=$java REAL_TRINO_JAVA=$trino_java PYTHONDONTWRITEBYTECODE=1
export REAL_SPARK=$real/spark/bin/python
cd "$here"
# A worker has servers of its own and takes file by file, in the files' order: the longest are among the first.
[[ $# -gt 0 ]] || set -- --numprocesses 2 --dist loadfile --no-loadscope-reorder
exec "$real/venv/bin/python" -m pytest "$@"
