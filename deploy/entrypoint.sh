#!/bin/sh
# The image's front door. Each private key is made in the volume where it stays; what travels
# between containers is public and goes through volumes with one writer each:
#
#   node --name N --endpoint E ...      makes the node's keys on first start, publishes the public
#   coordinator --name N --endpoint E   part in /public, waits for the roster, runs
#   operator T NODE...                  waits for the public parts, publishes the roster, ends
#   health                              is the program of this container well?
#   anything else                       is run as it stands
#
# Every step can be killed and started again.
set -eu
umask 077

wait_for() {
    path=$1 limit=${2:-} seconds=0
    until [ -s "$path" ]; do
        [ "$seconds" -gt 0 ] || echo "quorate: waiting for $path"
        if [ -n "$limit" ] && [ "$seconds" -ge "$limit" ]; then
            echo "quorate: $path did not come within $limit s; is its container running?" >&2
            exit 1
        fi
        seconds=$((seconds + 1))
        sleep 1
    done
}

# Runs the command that makes keys under folder $1 and leaves file $2, once. A marker tells a run
# that was cut short, whose keys nobody has seen yet, from a finished one, which is never repeated.
once() {
    home=$1 result=$2
    shift 2
    if [ -e "$home/.unfinished" ]; then
        echo "quorate: the first start was cut short, beginning again"
        find "$home" -mindepth 1 -maxdepth 1 ! -name .unfinished -exec rm -rf {} +
    elif [ -e "$result" ]; then
        return
    fi
    : >"$home/.unfinished"
    "$@"
    sync
    rm "$home/.unfinished"
}

# Puts a copy of $1 at $2, readable by all, whole or not at all; what is there stays.
publish() {
    [ ! -e "$2" ] || return 0
    rm -rf "$2.new"
    cp -r "$1" "$2.new"
    chmod -R a+rX "$2.new"
    mv "$2.new" "$2"
}

# $1 is the threshold, the rest are the nodes' names.
init_cluster() {
    threshold=$1
    shift
    for node; do
        set -- "$@" --node-file "/public/$node/public.json"
        shift
    done
    quorate cluster init --dir /operator --threshold "$threshold" "$@" \
        --coordinator-file /public/coordinator/public.json \
        --operator-name op-1 --client-name client \
        --roster-out /operator/roster.json --orders-out /operator/orders
}

# A shell as process 1 ignores signals that it has no trap for.
trap 'exit 143' TERM INT

case $1 in
node)
    shift
    once /data /data/public.json \
        quorate-node init --home /data --kek-file /data/kek --public-out /data/public.json "$@"
    publish /data/public.json /public/public.json
    wait_for /roster/roster.json
    exec quorate-node run --home /data --roster /roster/roster.json --orders /roster/orders
    ;;
coordinator)
    shift
    once /data /data/public.json \
        quorate-coordinator init --home /data --public-out /data/public.json "$@"
    publish /data/public.json /public/public.json
    wait_for /roster/roster.json
    exec quorate-coordinator run --home /data --roster /roster/roster.json
    ;;
operator)
    shift
    threshold=$1
    shift
    for member in "$@" coordinator; do wait_for "/public/$member/public.json" 120; done
    once /operator /operator/roster.json init_cluster "$threshold" "$@"
    # The roster comes last: who sees it may rely on the orders beside it.
    publish /operator/orders /roster/orders
    publish /operator/roster.json /roster/roster.json
    echo "quorate: the roster is in place"
    ;;
health)
    if [ -e /data/node.toml ]; then exec quorate-node healthcheck --home /data; fi
    exec quorate-coordinator healthcheck --home /data
    ;;
*)
    exec "$@"
    ;;
esac
