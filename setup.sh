#!/usr/bin/env bash
# Sets tenon up on Debian bookworm (x86-64).
#
#   ./setup.sh demo    everything that is needed, a build, and MiniLM from PyTorch to a running file
#   ./setup.sh test    everything that is needed, a build, and the tests
#   ./setup.sh deps | build | long | bench     its parts: packages; and a build; tests with all models; benchmarks
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export DEBIAN_FRONTEND=noninteractive PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
jobs=${TENON_JOBS:-$(nproc)}

apt_packages=(
  clang-22 lld-22 llvm-22-dev llvm-22-tools libmlir-22-dev mlir-22-tools liblld-22-dev
  cmake ninja-build ccache pkg-config
  flatbuffers-compiler libflatbuffers-dev nlohmann-json3-dev libprotobuf-dev protobuf-compiler libxxhash-dev libcli11-dev zlib1g-dev libzstd-dev
  libvulkan-dev libvulkan1 mesa-vulkan-drivers spirv-tools
  python3 python3-venv python3-pip)

say() { printf '\n== %s\n' "$*"; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

install_packages() {
  local missing=() package
  for package in "${apt_packages[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$package")
  done
  [ ${#missing[@]} = 0 ] && return
  say "installing ${missing[*]}"
  as_root apt-get update -qq
  as_root apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# A Python environment of our own, which sees what the machine has: torch is not downloaded twice.
install_python() {
  if [ ! -x .venv/bin/python ]; then
    say "making a Python environment in .venv"
    python3 -m venv --system-site-packages .venv
  fi
  if .venv/bin/python tools/dev/check-python.py; then return; fi
  say "installing Python packages"
  .venv/bin/python -m pip install -q -r python/requirements.txt
  .venv/bin/python -m pip install -q --no-deps -r python/requirements-nodeps.txt
  .venv/bin/python tools/dev/check-python.py
}

build() {
  say "building"
  export PATH="$PWD/.venv/bin:$PATH"
  cmake --preset dev -DPython3_EXECUTABLE="$PWD/.venv/bin/python" >build-configure.log 2>&1 ||
    { cat build-configure.log; exit 1; }
  rm -f build-configure.log
  ninja -C build/dev -j "$jobs" "$@"
}

# Every kind of test leaves a junit file; the last line sums them up.
tests() {
  local results=build/dev/test-results status=0
  rm -rf "$results" && mkdir -p "$results"
  say "unit tests"
  ctest --test-dir build/dev -E '^lit$' -j "$jobs" --output-on-failure --output-junit "$PWD/$results/unit.xml" || status=1
  say "lit"
  .venv/bin/python -c 'from lit.main import main; main()' -sv -j "$jobs" --xunit-xml-output "$results/lit.xml" build/dev/test || status=1
  say "end to end"
  .venv/bin/python test/e2e/run.py --junit "$results/e2e.xml" "$@" || status=1
  .venv/bin/python tools/dev/summarize-tests.py --expect unit lit e2e -- "$results" || status=1
  return $status
}

case "${1:-}" in
deps) install_packages; install_python ;;
build) install_packages; install_python; build ;;
demo) install_packages; install_python; build tenon tenon_rt_devices; say "demo"; .venv/bin/python python/demo/minilm.py "${@:2}" ;;
test) install_packages; install_python; build; tests ;;
long) install_packages; install_python; build; tests --long ;;
bench) install_packages; install_python; build tenon tenon_rt_devices; .venv/bin/python benchmarks/run.py "${@:2}" ;;
*) sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 2 ;;
esac
