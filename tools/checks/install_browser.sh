#!/usr/bin/env bash
# Chromium for the browser tests, from Debian where we may install; without it those tests say so and fail.
set -eu
command -v chromium >/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing Chromium for the browser tests"
    apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends chromium fonts-noto-cjk >/dev/null
else
    echo "no Chromium: install the package 'chromium' to run the browser tests" >&2
fi
