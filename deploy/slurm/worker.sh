#!/bin/bash
# One of many workers on one evaluation or one sprite map. All take their share from one folder that all see; there is nothing to
# number and nothing to merge, and workers may come and go.
#
#     sbatch deploy/slurm/worker.sh evaluate --model googlenet --data /data/boxes.csv ... --out /results/all
#     sbatch --array=1-16 --cpus-per-task=4 deploy/slurm/worker.sh spritemap --model googlenet --layer inception_4d --out /results/4d
#
# deploy/slurm/submit.sh sends the first and, behind it, what makes the tables. Flags of sbatch on the command line go before those here.
#
#SBATCH --job-name=elucid
# Of 64 workers at most 16 at a time.
#SBATCH --array=1-64%16
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
# Seven times what a worker on GoogLeNet takes (docs/many_machines.md).
#SBATCH --mem=2G
#SBATCH --time=04:00:00
# Three minutes before the time is over, to this script: what is under way is dropped or done by then.
#SBATCH --signal=B:USR1@180
# Where a node fails or another job needs it, the worker begins again somewhere else.
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=elucid-%A_%a.log
set -u

# How often a worker that was out of time is sent again.
most="${ELUCID_RESTARTS:-20}"

# Slurm runs a copy of this script, from where nothing else lies beside it.
folder="${ELUCID_DEPLOY:-$SLURM_SUBMIT_DIR/deploy}"
out_of_time=
"$folder/worker.sh" "$@" -v --resume --threads "${SLURM_CPUS_PER_TASK:-1}" &
worker=$!
woken=
trap 'woken=yes; kill -TERM "$worker"' TERM
trap 'woken=yes; out_of_time=yes; kill -TERM "$worker"' USR1

# A signal ends the waiting, not yet the work.
while
    woken=
    wait "$worker"
    code=$?
    [ -n "$woken" ] && [ "$code" -gt 128 ]
do :; done

# Who was cancelled stays cancelled; who was preempted is sent again by Slurm itself.
if [ "$code" -eq 75 ] && [ -n "$out_of_time" ] && [ "${SLURM_RESTART_COUNT:-0}" -lt "$most" ]; then
    echo "out of time: sent again"
    scontrol requeue "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"
fi
exit "$code"
