#!/usr/bin/env bash
# Make .venv with the pinned stack of requirements/stack.txt and this package in it.
#
#   tools/setup_env.sh [VENV]        # VENV defaults to .venv
#
# Does nothing when VENV already holds the stack. mmcv is built from source, as no wheel fits this torch; the wheel
# is kept under ~/.cache/mmreviewkd, in a folder named by what it was built against, so that the next VENV takes seconds.
set -uo pipefail
cd "$(dirname "$0")/.."
venv=$(realpath -m "${1:-.venv}")
python=${PYTHON:-python3}
log=$(mktemp -t mmreviewkd-install.XXXXXX)

fail() {
    echo "install failed: $* (full output: $log)" >&2
    exit 1
}
run() { "$@" >>"$log" 2>&1; }
pinned() { sed -n "s/^$1==//p" requirements/stack.txt; }

stamp="$venv/.mmreviewkd-$(cat requirements/*.txt setup.py "$0" | sha256sum | cut -c1-16)"
[ -e "$stamp" ] && exit 0

command -v "$python" >/dev/null || fail "no $python on the PATH; install Python 3.10 or newer"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    fail "$python is $("$python" -V 2>&1); Python 3.10 or newer is needed (set PYTHON=...)"
command -v "${CXX:-c++}" >/dev/null || fail "no C++ compiler (${CXX:-c++}); install g++ (Debian: apt-get install g++)"
include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
[ -e "$include/Python.h" ] || fail "no Python headers ($include/Python.h); Debian: apt-get install python3-dev"
free_mb=$(df -Pm . | awk 'NR==2 {print $4}')
[ -x "$venv/bin/python" ] || [ "$free_mb" -ge 9000 ] || fail "$free_mb MB of disk left here; about 9000 MB are needed"

if [ ! -x "$venv/bin/pip" ]; then
    echo "making $venv"
    run "$python" -m venv "$venv" || fail "'$python -m venv' does not work; Debian: apt-get install python3-venv"
fi
pip="$venv/bin/python -m pip install --no-input"

echo "installing torch $(pinned torch) and torchvision $(pinned torchvision) (several GB)"
run $pip "torch==$(pinned torch)" "torchvision==$(pinned torchvision)" "numpy==$(pinned numpy)" ||
    fail "pip found no torch==$(pinned torch), or could not download it"
run $pip 'setuptools<81' wheel ninja packaging psutil || fail "pip could not install mmcv's build tools"

mmcv=$(pinned mmcv)
built_for=$("$venv/bin/python" -c 'import platform, sys, torch
print(f"torch{torch.__version__}-cp{sys.version_info[0]}{sys.version_info[1]}-{platform.machine()}")')
wheels="${XDG_CACHE_HOME:-$HOME/.cache}/mmreviewkd/$built_for"
if ! ls "$wheels/mmcv-$mmcv-"*.whl >/dev/null 2>&1; then
    echo "building mmcv $mmcv with its ops against torch (about 12 minutes on 2 cores)"
    # mmcv asks for C++17, torch's headers need C++20; the last -std on a compiler's line wins.
    export REAL_CXX=$(command -v "${CXX:-c++}")
    printf '#!/bin/sh\nexec "$REAL_CXX" "$@" -std=c++20\n' >"$venv/bin/c++20" && chmod +x "$venv/bin/c++20"
    partial=$(mktemp -d -t mmreviewkd-wheel.XXXXXX)
    CXX="$venv/bin/c++20" PATH="$venv/bin:$PATH" MMCV_WITH_OPS=1 MAX_JOBS=${MAX_JOBS:-$(nproc)} \
        run "$venv/bin/python" -m pip wheel --no-input --no-cache-dir --no-deps --no-build-isolation --no-binary mmcv \
        -w "$partial" "mmcv==$mmcv" || fail "mmcv $mmcv did not build"
    mkdir -p "$wheels" && mv "$partial"/mmcv-*.whl "$wheels/" || fail "could not keep the mmcv wheel in $wheels"
fi

echo "installing mmcv, mmengine, mmpretrain, mmdet and this package"
run $pip --no-deps --force-reinstall "$wheels/mmcv-$mmcv-"*.whl || fail "the mmcv wheel in $wheels does not install"
run $pip -r requirements/stack.txt -r requirements/runtime.txt -r requirements/tests.txt ||
    fail "pip could not install requirements/*.txt"
run $pip --no-deps --no-build-isolation -e . || fail "this package does not install"
run "$venv/bin/python" -c 'import mmcv.ops, mmpretrain, mmdet, mmreviewkd.registry' ||
    fail "the installed packages do not import together"
touch "$stamp"
echo "installed in $venv"
