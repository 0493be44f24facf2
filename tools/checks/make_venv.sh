#!/usr/bin/env bash
# Makes .venv; on Debian without ensurepip it installs python3-venv first.
set -eu
python="$1"
command -v "$python" >/dev/null || python=python3
if [ ! -x .venv/bin/pip ]; then
    "$python" -m venv .venv 2>/dev/null || {
        rm -rf .venv
        apt-get -o Acquire::Retries=3 update -q && apt-get -o Acquire::Retries=3 install -qy --no-install-recommends python3-venv
        "$python" -m venv .venv
    }
fi
# Hash-checking mode needs a current pip; the version is pinned in the lock file.
grep -A40 '^pip==' requirements.lock | awk 'NR>1 && /^[a-z]/{exit} {print}' > .venv/pip.lock
.venv/bin/pip install -q --retries 10 --require-hashes -r .venv/pip.lock
