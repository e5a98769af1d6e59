#!/usr/bin/env bash
# Install what the tests of pages look at them with: Chromium, and fonts of many scripts. Needs apt-get, as root or with sudo.
#
# usage: requirements/browser.sh
#
# Where they cannot be installed, that is said, and the tests that need them are skipped with that reason.
set -euo pipefail
packages=(chromium fonts-noto-core fonts-noto-cjk)

main() {
  local missing=() package
  for package in "${packages[@]}"; do
    is_installed "$package" || missing+=("$package")
  done
  if ((${#missing[@]} == 0)); then return; fi
  local as_root=()
  ((EUID == 0)) || as_root=(sudo -n)
  if ! command -v apt-get >/dev/null || ! "${as_root[@]}" true 2>/dev/null; then
    echo "browser: ${missing[*]} cannot be installed from here: the tests that need them will be skipped." >&2
    return
  fi
  echo "browser: installing ${missing[*]}"
  if ! "${as_root[@]}" sh -c "apt-get update -qq && apt-get install -y -qq --no-install-recommends ${missing[*]}" >/dev/null; then
    echo "browser: apt-get could not install ${missing[*]}: the tests that need them will be skipped." >&2
  fi
}

is_installed() {
  [[ $1 == chromium ]] && command -v chromium >/dev/null && return
  command -v dpkg-query >/dev/null && [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

main
