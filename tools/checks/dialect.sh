#!/usr/bin/env bash
# Compiles every file that runs on the node; a syntax MicroPython lacks fails here.
set -eu
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT
count=0
while IFS= read -r file; do
    mpy-cross -o "$out/file.mpy" "$file"
    count=$((count + 1))
done < <(find firmware protos/nodelink -name '*.py' -not -path '*/tests/*' -not -name 'conftest.py' | sort)
echo "mpy-cross: $count files"
