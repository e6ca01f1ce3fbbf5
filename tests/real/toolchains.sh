# Defines how run.sh and tests/doctor.sh look for toolchains whose version matters.

java_major() {
  "$1" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1
}

# find_java MAJOR: the first Java of at least this version: JAVA_HOME's, the path's, then those in the usual folders.
find_java() {
  local java major
  for java in "${JAVA_HOME:-/nowhere}/bin/java" "$(command -v java || true)" \
    /usr/lib/jvm/*/bin/java /Library/Java/JavaVirtualMachines/*/Contents/Home/bin/java; do
    [[ -x $java ]] || continue
    major=$(java_major "$java")
    if [[ ${major:-0} -ge $1 ]]; then
      echo "$java"
      return
    fi
  done
}

# Whether the path's Go is at least 1.25.
has_go() { go version 2>/dev/null | grep -Eq 'go1\.(2[5-9]|[3-9][0-9])'; }
