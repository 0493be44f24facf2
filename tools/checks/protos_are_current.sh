#!/usr/bin/env bash
# Regenerates protos/gen into a temporary folder and compares it with the committed code.
set -eu
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT
bin=.venv/bin
$bin/python -m grpc_tools.protoc -I protos --python_out="$out" --grpc_python_out="$out" \
    --plugin=protoc-gen-mypy=$bin/protoc-gen-mypy --mypy_out=quiet:"$out" \
    --plugin=protoc-gen-mypy_grpc=$bin/protoc-gen-mypy_grpc --mypy_grpc_out=quiet:"$out" \
    protos/poleward/v1/*.proto
touch "$out/poleward/__init__.py" "$out/poleward/v1/__init__.py"
diff -r --exclude=__pycache__ "$out/poleward" protos/gen/poleward || { echo "protos/gen is stale: run 'make protos'" >&2; exit 1; }
