#!/bin/sh
# Runs the job of one file and, when it has ended, however it did, that of another: run.sh evaluate.yaml table.yaml
#
# Files are those beside this script, or your own. KUBECTL may name another client, or one with a context. It ends with 0 where
# both jobs completed, with 1 where one of them failed.
set -eu
cd "$(dirname "$0")"
kubectl="${KUBECTL:-kubectl}"
seconds="${ELUCID_POLL:-30}"
failed=

# Completed or failed, whichever comes first, and empty before: `kubectl wait` waits for one of them.
ended() {
    $kubectl get -f "$1" -o 'jsonpath={.status.conditions[?(@.status=="True")].type}'
}

[ $# -gt 0 ] || {
    echo "run.sh FILE [FILE...]" >&2
    exit 2
}
for file in "$@"; do
    $kubectl apply -f "$file"
    while true; do
        case " $(ended "$file") " in
        *" Complete "*) break ;;
        *" Failed "*)
            echo "$file: failed" >&2
            failed=yes
            break
            ;;
        esac
        sleep "$seconds"
    done
done
[ -z "$failed" ]
