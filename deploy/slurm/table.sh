#!/bin/bash
# Makes the tables of an evaluation, and says how far it is: sbatch deploy/slurm/table.sh DIR
#
# The last worker makes them, too; this is for evaluations of which some workers were lost.
#SBATCH --job-name=elucid-table
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --mem=1G
#SBATCH --time=01:00:00
#SBATCH --output=elucid-table-%j.log
set -u
elucid="${ELUCID:-elucid}"

"$elucid" evaluate status "$1"
"$elucid" evaluate table "$1"
code=$?
# Some values failed: the tables say so.
[ $code -eq 3 ] || exit $code
