#!/usr/bin/env bash
# Run tools/train.py in several processes of one or more machines (one a GPU; on machines without GPUs, on the CPU):
#   tools/dist_train.sh CONFIG PROCESSES [options of tools/train.py]
# Several machines: set NNODES, NODE_RANK, MASTER_ADDR and PORT on each.
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: $0 CONFIG PROCESSES [options of tools/train.py]" >&2
    exit 2
fi
config=$1 processes=$2
shift 2

if ! [[ $processes =~ ^[1-9][0-9]*$ ]]; then
    echo "$0: error: PROCESSES must be a positive number, but is '$processes'" >&2
    exit 2
fi

exec python "$(dirname "$0")/launch.py" \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    --nproc_per_node="$processes" \
    "$(dirname "$0")/train.py" "$config" --launcher pytorch "$@"
