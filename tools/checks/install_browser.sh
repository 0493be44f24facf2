#!/usr/bin/env bash
# What the browser tests need beside .venv: Chromium, CJK fonts, a library of Playwright's driver.
# From Debian where we may install; elsewhere it says what is missing.
set -eu
missing=()
command -v chromium >/dev/null || missing+=(chromium)
[ -n "$(find /usr/share/fonts -iname '*cjk*' -print -quit 2>/dev/null)" ] || missing+=(fonts-noto-cjk)
.venv/lib/python3*/site-packages/playwright/driver/node --version >/dev/null 2>&1 || missing+=(libatomic1)
[ ${#missing[@]} = 0 ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing for the browser tests: ${missing[*]}"
    apt-get -o Acquire::Retries=3 update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=3 install -qy --no-install-recommends "${missing[@]}" >/dev/null
else
    echo "for the browser tests install the packages: ${missing[*]}" >&2
fi
