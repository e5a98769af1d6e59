#!/usr/bin/env bash
# Resolve requirements/cpu.in into requirements/cpu.lock, keeping the versions that are already there.
#
# usage: requirements/lock.sh BIN [flags of `uv pip compile`], BIN being the bin folder of an installed environment
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$1
shift

# uv does not read pip's configuration: a folder of wheels named there is passed on, else uv goes to PyTorch's CPU index.
if wheels=$("$bin/pip" config get global.find-links 2>/dev/null); then
  torch_source=(--find-links "$wheels")
else
  torch_source=(--torch-backend cpu)
fi

"$bin/uv" pip compile requirements/cpu.in --override requirements/overrides.txt \
  --python-version 3.11 --python-platform x86_64-unknown-linux-gnu "${torch_source[@]}" \
  --no-annotate --custom-compile-command "make lock" --quiet --output-file requirements/cpu.lock "$@"
echo "requirements/cpu.lock: $(grep -c == requirements/cpu.lock) packages"
