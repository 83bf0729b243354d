#!/usr/bin/env bash
# Sets everything up, once, and trains the quickstart. See ./run.sh --help.
set -euo pipefail

usage() {
  cat <<'EOF'
Usage:
  ./run.sh [FLAGS OF ace_jax.main]   set up, then train (the quickstart)
  ./run.sh test [ARGS OF pytest]     set up, then run the tests
  ./run.sh setup                     set up only: packages, tasks, interpreter
  ./run.sh --help

Examples:
  ./run.sh                                     train, or go on training
  ./run.sh --config.seed=1                     with one key changed
  ./run.sh --config=configs/smoke.py           another config
  ./run.sh --mode=report                       write the report again
  ./run.sh test                                all tests, coverage >= 85 %
  ./run.sh test tests/core                     some of them, no coverage

Without --config it is configs/quickstart.py; without --workdir it is
workdirs/NAME for configs/NAME.py, beside this script.

Environment:
  ACE_JAX_PYTHON=PATH   the Python to build .venv with (3.11, 3.12 or 3.13)
  ACE_JAX_DEVICE=NAME   cpu, gpu or tpu, instead of what is found
  ACE_JAX_CACHE=DIR     where models, tasks and what XLA compiled are kept
                        (~/.cache/ace_jax)
EOF
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
venv=$root/.venv
log=$venv/install.log

say() { printf 'run.sh: %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# --- Python ------------------------------------------------------------------

suits() {
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
    >/dev/null 2>&1
}

find_python() {
  if [[ -n ${ACE_JAX_PYTHON:-} ]]; then
    suits "$ACE_JAX_PYTHON" ||
      die "ACE_JAX_PYTHON=$ACE_JAX_PYTHON is not a Python 3.11, 3.12 or 3.13"
    printf '%s' "$ACE_JAX_PYTHON"
    return
  fi
  local name
  for name in python3 python3.13 python3.12 python3.11; do
    # A name alone is no proof: version managers leave shims that only fail.
    if suits "$name"; then
      command -v "$name"
      return
    fi
  done
  die 'no Python 3.11, 3.12 or 3.13 was found. Install one (Debian, Ubuntu:' \
    'the packages python3 and python3-venv, about 35 MB) or name one with' \
    'ACE_JAX_PYTHON=PATH'
}

make_venv() {
  local python=$1 package
  say "making $venv with $("$python" --version)"
  rm -rf "$venv"
  "$python" -m venv "$venv" >/dev/null 2>&1 && return
  rm -rf "$venv"
  "$python" -m virtualenv --quiet "$venv" >/dev/null 2>&1 && return
  rm -rf "$venv"
  package=$("$python" -c 'import sys
print("python%d.%d-venv" % sys.version_info[:2])')
  if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    say "installing $package with apt-get"
    { apt-get update -qq && apt-get install -y -qq "$package"; } \
      >/dev/null || die "apt-get could not install $package"
    "$python" -m venv "$venv" && return
  fi
  die "$python cannot make virtual environments. Install the package" \
    "$package (about 6 MB; Debian, Ubuntu: as root, apt-get install $package)"
}

# --- Packages ----------------------------------------------------------------

find_device() {
  local dir
  if [[ -n ${ACE_JAX_DEVICE:-} ]]; then
    case $ACE_JAX_DEVICE in
      cpu | gpu | tpu) printf '%s' "$ACE_JAX_DEVICE" ;;
      *) die "ACE_JAX_DEVICE=$ACE_JAX_DEVICE is not cpu, gpu or tpu" ;;
    esac
    return
  fi
  if [[ $(uname -s) == Linux ]] && command -v nvidia-smi >/dev/null &&
    nvidia-smi -L 2>/dev/null | grep -q '^GPU '; then
    printf gpu
    return
  fi
  # Google's PCI vendor number and its TPUs', as JAX itself looks for them.
  for dir in /sys/bus/pci/devices/*; do
    if [[ -r $dir/vendor && $(<"$dir/vendor") == 0x1ae0 ]]; then
      case $(<"$dir/device") in
        0x0027 | 0x0056 | 0x005e | 0x0062 | 0x0063 | 0x006f | 0x0076)
          printf tpu
          return
          ;;
      esac
    fi
  done
  printf cpu
}

# Runs pip; shows the names of the packages, keeps the rest in the log.
pip_install() {
  local status=0
  "$venv/bin/python" -m pip install --no-input --disable-pip-version-check \
    --progress-bar off "$@" 2>&1 | tee -a "$log" | awk '
      /^Collecting / {
        sub(/[^A-Za-z0-9_.-].*/, "", $2); printf "%s ", $2; fflush()
      }
      /^Installing collected/ { printf "\nrun.sh: unpacking\n"; fflush() }
    ' >&2 || status=$?
  return "$status"
}

explain_pip() {
  grep -E '^(ERROR|error)' "$log" | tail -n 3 >&2 || true
  if grep -qE 'NewConnection|NameResolution|Temporary failure|ConnectTimeout|Network is unreachable|Connection refused|ProxyError|SSLError' "$log"
  then
    die 'pip cannot reach its package index. The first set-up needs it; if' \
      'this machine has a mirror, point pip at it (PIP_INDEX_URL) and run' \
      'this again'
  fi
  die "pip failed; all it said is in $log"
}

digest() {  # of what the environment was made from
  "$1" - "$2" "$root" "${@:3}" <<'EOF'
import hashlib, pathlib, sys
h = hashlib.sha256(repr((sys.version_info[:3], sys.argv[1:3])).encode())
for name in sys.argv[3:]:
  h.update(pathlib.Path(name).read_bytes())
print(h.hexdigest())
EOF
}

setup() {  # setup [dev]
  local python device base made files file
  python=$(find_python) || exit 1
  device=$(find_device) || exit 1
  files=("$root/requirements.txt")
  [[ $device == cpu ]] || files+=("$root/requirements-$device.txt")
  base=$(digest "$python" "$device" "${files[@]}")
  made=$base
  if [[ ${1:-} == dev ]]; then
    files+=("$root/requirements-dev.txt")
    made=$(digest "$python" "$device" "${files[@]}")
  fi
  # A line for each set of requirements that this environment satisfies.
  if [[ -x $venv/bin/python ]] && grep -qsx "$made" "$venv/satisfies"; then
    return
  fi
  # Another Python, device or place needs another environment.
  local kind
  kind=$(digest "$python" "$device")
  if [[ ! -r $venv/kind || $(<"$venv/kind") != "$kind" ]]; then
    make_venv "$python"
    printf '%s\n' "$kind" >"$venv/kind"
  fi
  : >"$log"
  case $device in
    gpu) say 'installing for NVIDIA GPUs (several GB, once)' ;;
    tpu) say 'installing for TPUs (about 1.5 GB on disk, once)' ;;
    *) say 'installing for the CPU (about 1 GB on disk, once)' ;;
  esac
  local options=()
  for file in "${files[@]}"; do options+=(-r "$file"); done
  pip_install "${options[@]}" || explain_pip
  printf '%s\n' "$base" "$made" >"$venv/satisfies"
}

# The tests' torch, and accelerate, without which transformers reads no GGUF:
# the CPU build or none, unless torch was asked for by name.
setup_torch() {
  "$venv/bin/python" -c 'import importlib.util as u, sys
sys.exit(not all(map(u.find_spec, ("torch", "accelerate"))))' && return
  local build=torch==2.13.0
  [[ $(uname -s) != Linux ]] || build+=+cpu
  : >"$log"
  say "installing $build (about 800 MB on disk, once)"
  pip_install "$build" accelerate && return
  if [[ ,${ACE_JAX_REQUIRE:-}, == *,torch,* ]]; then
    say 'no CPU build was found; taking what there is'
    pip_install torch==2.13.0 accelerate || explain_pip
    return
  fi
  say "no $build in pip's index: tests against transformers will be skipped." \
    "Where PyTorch's own index can be reached, pass its CPU address in" \
    'PIP_EXTRA_INDEX_URL'
}

# --- What to run -------------------------------------------------------------

prepare() {  # what is made once for every run: the tasks, the interpreter
  "$venv/bin/python" -P -m ace_jax.envs.mle prepare
  "$venv/bin/python" -P -m ace_jax.sandbox prepare
}

train() {
  local config=$root/configs/quickstart.py workdir='' args=()
  while (($#)); do
    case $1 in
      --config=*) config=${1#*=} ;;
      --config) config=${2:-} && shift ;;
      --workdir=*) workdir=${1#*=} ;;
      --workdir) workdir=${2:-} && shift ;;
      *) args+=("$1") ;;
    esac
    shift || die '--config and --workdir need a value'
  done
  # From any directory, configs/NAME.py means the one beside this script.
  if [[ ! -e $config && -e $root/$config ]]; then config=$root/$config; fi
  workdir=${workdir:-$root/workdirs/$(basename "${config%%:*}" .py)}
  setup
  prepare
  exec "$venv/bin/python" -P -m ace_jax.main \
    "--config=$config" "--workdir=$workdir" ${args[@]+"${args[@]}"}
}

# What runs programs in sandboxes mostly waits, the rest computes: side by side
# they take little longer than the longer of the two.
sandbox_tests=(tests/sandbox tests/envs/mle/test_forgers.py
  tests/envs/mle/test_leakage.py)

lane() {  # lane NAME ARGS: one pytest, with coverage data of its own
  COVERAGE_FILE=$root/.coverage.$1 "$venv/bin/python" -m pytest \
    -o "cache_dir=.pytest_cache/$1" --cov=ace_jax --cov-report= "${@:2}"
}

run_tests() {
  setup dev
  setup_torch
  cd "$root"
  if (($#)); then
    exec "$venv/bin/python" -m pytest "$@"
  fi
  prepare
  rm -f .coverage .coverage.*
  unset ACE_JAX_THREATS  # each lane sees a part; see docs/threats.md
  local path rest=() status=0 log
  for path in "${sandbox_tests[@]}"; do rest+=("--ignore=$path"); done
  log=$(mktemp)
  trap 'kill $(jobs -p) 2>/dev/null || true; rm -f "$log"' EXIT
  lane sandbox "${sandbox_tests[@]}" >"$log" 2>&1 &
  # Niced, because the other one's tests read clocks.
  (renice -n 10 "$BASHPID" >/dev/null; lane rest tests "${rest[@]}") ||
    status=$?
  say 'the tests of the sandboxes'
  if ! wait $!; then
    # The other lane took time from clocks that these tests read: what failed
    # is repeated now that they are alone, and must pass.
    cat "$log"
    say 'those that failed, alone'
    lane sandbox "${sandbox_tests[@]}" --cov-append --last-failed \
      --last-failed-no-failures none >"$log" 2>&1 || status=$?
  fi
  cat "$log"
  "$venv/bin/python" -m coverage combine -q .coverage.sandbox .coverage.rest
  "$venv/bin/python" -m coverage report --skip-covered --fail-under=85 ||
    status=$?
  exit "$status"
}

export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
case ${1:-} in
  -h | --help | help) usage ;;
  test) run_tests "${@:2}" ;;
  setup) setup; prepare ;;
  '' | -*) train "$@" ;;
  *)
    usage >&2
    die "unknown command: $1"
    ;;
esac
