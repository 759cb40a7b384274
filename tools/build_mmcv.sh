#!/usr/bin/env bash
# Print the path of an mmcv wheel with its compiled ops for the torch of a virtual environment; build it if need be.
#
#   tools/build_mmcv.sh VENV LOG     # VENV has torch; LOG takes the compiler's output
#
# The wheel is built from source, as none is published for this torch, and is kept under ~/.cache/mmreviewkd, in a
# folder named after the torch, Python and machine that it was built for: the next VENV takes seconds.
set -uo pipefail
cd "$(dirname "$0")/.."
venv=$(realpath "$1")
log=$(realpath -m "$2")

fail() {
    echo "mmcv was not built: $*" >&2
    exit 1
}

mmcv=$(sed -n 's/^mmcv==//p' requirements/stack.txt)
built_for=$("$venv/bin/python" -c 'import platform, sys, torch
print(f"torch{torch.__version__}-cp{sys.version_info[0]}{sys.version_info[1]}-{platform.machine()}")') ||
    fail "$venv/bin/python has no torch"
wheels="${XDG_CACHE_HOME:-$HOME/.cache}/mmreviewkd/$built_for"
if ! ls "$wheels/mmcv-$mmcv-"*.whl >/dev/null 2>&1; then
    command -v "${CXX:-c++}" >/dev/null || fail "no C++ compiler (${CXX:-c++}); install g++ (Debian: apt-get install g++)"
    include=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    [ -e "$include/Python.h" ] || fail "no Python headers ($include/Python.h); Debian: apt-get install python3-dev"
    echo "building mmcv $mmcv with its ops against torch (about 12 minutes on 2 cores)" >&2
    "$venv/bin/python" -m pip install --no-input 'setuptools<81' wheel ninja packaging psutil >>"$log" 2>&1 ||
        fail "pip could not install its build tools"
    # mmcv asks for C++17, torch's headers need C++20; the last -std on a compiler's line wins.
    export REAL_CXX=$(command -v "${CXX:-c++}")
    printf '#!/bin/sh\nexec "$REAL_CXX" "$@" -std=c++20\n' >"$venv/bin/c++20" && chmod +x "$venv/bin/c++20"
    partial=$(mktemp -d -t mmreviewkd-wheel.XXXXXX)
    CXX="$venv/bin/c++20" PATH="$venv/bin:$PATH" MMCV_WITH_OPS=1 MAX_JOBS=${MAX_JOBS:-$(nproc)} \
        "$venv/bin/python" -m pip wheel --no-input --no-cache-dir --no-deps --no-build-isolation --no-binary mmcv \
        -w "$partial" "mmcv==$mmcv" >>"$log" 2>&1 || fail "mmcv $mmcv does not compile"
    mkdir -p "$wheels" && mv "$partial"/mmcv-*.whl "$wheels/" || fail "could not keep the wheel in $wheels"
fi
ls "$wheels/mmcv-$mmcv-"*.whl | head -1
