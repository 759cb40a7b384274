#!/usr/bin/env bash
# Make .venv with the pinned stack of requirements/stack.txt and this package in it.
#
#   tools/setup_env.sh [VENV]           # everything: mmcv with its compiled ops, mmpretrain, mmdet, mmseg, the test tools
#   tools/setup_env.sh --lite [VENV]    # classification only: mmcv-lite, which needs no compiler, and mmpretrain
#
# VENV defaults to .venv. Does nothing where VENV already holds what is asked for; everything replaces lite cleanly.
set -uo pipefail
cd "$(dirname "$0")/.."
kind=full
[ "${1:-}" = --lite ] && kind=lite && shift
venv=$(realpath -m "${1:-.venv}")
python=${PYTHON:-python3}
log=$(mktemp -t mmreviewkd-install.XXXXXX)
trap '[ -s "$log" ] || rm -f "$log"' EXIT

fail() {
    echo "install failed: $* (full output: $log)" >&2
    exit 1
}
run() { "$@" >>"$log" 2>&1; }
pinned() { sed -n "s/^$1==//p" requirements/stack.txt; }
has() { "$venv/bin/python" -c "import importlib.metadata as m; m.version('$1')" 2>/dev/null; }

inputs=$(cat requirements/*.txt setup.py setup.cfg "$0" tools/build_mmcv.sh | sha256sum | cut -c1-16)
[ -e "$venv/.mmreviewkd-full-$inputs" ] || [ -e "$venv/.mmreviewkd-$kind-$inputs" ] && exit 0

command -v "$python" >/dev/null || fail "no $python on the PATH; install Python 3.10 or newer"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    fail "$python is $("$python" -V 2>&1); Python 3.10 or newer is needed (set PYTHON=...)"
free_mb=$(df -Pm . | awk 'NR==2 {print $4}')
[ -x "$venv/bin/python" ] || [ "$free_mb" -ge 9000 ] || fail "$free_mb MB of disk left here; about 9000 MB are needed"

if [ ! -x "$venv/bin/pip" ]; then
    echo "making $venv"
    run "$python" -m venv "$venv" || fail "'$python -m venv' does not work; Debian: apt-get install python3-venv"
fi
rm -f "$venv"/.mmreviewkd-*
pip="$venv/bin/python -m pip install --no-input"

echo "installing torch $(pinned torch) and torchvision $(pinned torchvision) (several GB)"
run $pip "torch==$(pinned torch)" "torchvision==$(pinned torchvision)" "numpy==$(pinned numpy)" ||
    fail "pip found no torch==$(pinned torch), or could not download it"
run $pip 'setuptools<81' wheel || fail "pip could not install setuptools and wheel"

# mmcv and mmcv-lite are the same Python package, so that one must be gone before the other comes.
if [ $kind = full ]; then
    wheel=$(tools/build_mmcv.sh "$venv" "$log") || fail "no mmcv"
    echo "installing mmcv, mmengine, mmpretrain, mmdet, mmsegmentation and this package"
    if has mmcv-lite; then
        run "$venv/bin/python" -m pip uninstall -y mmcv-lite mmcv || fail "pip could not remove mmcv-lite"
    fi
    run $pip --no-deps --force-reinstall "$wheel" || fail "$wheel does not install"
    run $pip -r requirements/stack.txt -r requirements/runtime.txt -r requirements/tests.txt -r requirements/docs.txt ||
        fail "pip could not install requirements/*.txt"
    imports='mmcv.ops, mmpretrain, mmdet, mmseg.models, mmreviewkd.registry'
else
    echo "installing mmcv-lite, mmengine, mmpretrain and this package"
    has mmcv || run $pip "mmcv-lite==$(pinned mmcv)" || fail "pip could not install mmcv-lite"
    run $pip -r <(grep -vE '^(mmcv|mmdet|mmsegmentation|ftfy|regex)==' requirements/stack.txt) -r requirements/runtime.txt ||
        fail "pip could not install requirements/*.txt"
    imports='mmcv, mmpretrain, mmreviewkd.registry'
fi
run $pip --no-deps --no-build-isolation -e . || fail "this package does not install"
run "$venv/bin/python" -c "import $imports" || fail "the installed packages do not import together"
touch "$venv/.mmreviewkd-$kind-$inputs"
echo "installed in $venv"
rm -f "$log"
