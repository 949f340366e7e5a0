#!/bin/bash
# Sends the workers of an evaluation, and behind them what makes its tables.
#
#     deploy/slurm/submit.sh [FLAGS OF sbatch] -- --model googlenet --data /data/boxes.csv \
#         --methods gradient,grad-cam --metrics pointing:15,insertion-fast --out /results/all
#
# What stands before -- is for the workers, such as --array=1-200%50 or --partition=day. A second call with the same flags adds
# workers to an evaluation that runs.
set -euo pipefail

sbatch_flags=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    sbatch_flags+=("$1")
    shift
done
[ "${1:-}" = -- ] || {
    echo "what elucid evaluate is to do stands behind --" >&2
    exit 2
}
shift

out=
previous=
for word in "$@"; do
    case "$word" in
    --out=*) out="${word#--out=}" ;;
    --resume | --resume=*)
        echo "leave out --resume: every worker is given it" >&2
        exit 2
        ;;
    esac
    [ "$previous" = --out ] && out="$word"
    previous="$word"
done
[ -n "$out" ] || {
    echo "give --out, a folder that every machine sees" >&2
    exit 2
}

ELUCID_DEPLOY="$(cd "$(dirname "$0")/.." && pwd)"
export ELUCID_DEPLOY
job="$(sbatch --parsable "${sbatch_flags[@]}" "$ELUCID_DEPLOY/slurm/worker.sh" evaluate "$@")"
# With a cluster's name behind a semicolon, where there are several.
job="${job%%;*}"
# afterany: when all have ended, however they did. afterok would wait for ever once one worker failed.
table="$(sbatch --parsable --dependency="afterany:$job" "$ELUCID_DEPLOY/slurm/table.sh" "$out")"
echo "workers $job, tables ${table%%;*}; how far it is: elucid evaluate status $out"
