#!/bin/bash
# A sprite map in shards, for each task of the array every 16th channel:
#
#     job=$(sbatch --parsable deploy/slurm/spritemap.sh /results/4d --model googlenet --layer inception_4d)
#     sbatch --dependency="afterok:${job%%;*}" --wrap 'elucid spritemap merge /results/4d/shard-* --out /results/4d/all'
#
# A merge of shards of which one is missing is refused, so that here it waits for all of them.
#SBATCH --job-name=elucid-spritemap
#SBATCH --array=1-16
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=2G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=elucid-spritemap-%A_%a.log
set -eu
out="$1"
shift
# The number is written out: SLURM_ARRAY_TASK_COUNT is another when single tasks are sent again.
exec "${ELUCID:-elucid}" spritemap "$@" --shard "$SLURM_ARRAY_TASK_ID/16" --threads "${SLURM_CPUS_PER_TASK:-1}" \
    -v --resume --out "$out/shard-$SLURM_ARRAY_TASK_ID"
