#!/bin/sh
# Runs elucid for a scheduler: worker.sh evaluate --model ... --resume --out /results/all
#
# SIGTERM, SIGINT and SIGUSR1 are handed on as one SIGTERM, since a second one would end the program before it has synced what it
# measured. The exit code says what a scheduler has to know:
#
#   0    done; also where some values failed (3), which another try would not change: failures.csv lists them
#   75   a signal ended it, and the same command goes on
#   else elucid's own: 1 it could not be done, 2 the flags cannot be right
#
# ELUCID names the program, where it is not on the PATH.
"${ELUCID:-elucid}" "$@" &
worker=$!
told=
woken=
trap 'woken=yes; [ -n "$told" ] || kill -TERM "$worker"; told=yes' TERM INT USR1

# A signal ends the waiting, not yet the work.
while
    woken=
    wait "$worker"
    code=$?
    [ -n "$woken" ] && [ "$code" -gt 128 ]
do :; done

case $code in
3) exit 0 ;;
# Told twice, as where a scheduler tells every process of a job: the cell under way is lost, and no other.
130 | 143) exit 75 ;;
*) exit "$code" ;;
esac
