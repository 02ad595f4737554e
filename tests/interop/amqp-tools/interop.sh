#!/bin/sh
# Debian's amqp-tools (rabbitmq-c) against a broker: `interop.sh URI [SCENARIO...]`.
#
# Runs every scenario (or the named ones) and prints one line for each. The first one that fails
# ends the run with exit code 1 and says what was expected. A scenario knows nothing of the broker
# behind the URI: each must pass against RabbitMQ too. The tools declare no exchanges, so the
# scenarios bind to the broker's own `amq.*`.

set -u
scenario_secs=90
scenarios="publish_and_get fanout_exchange direct_and_topic_exchanges properties_and_headers \
acks_and_requeue prefetch_is_shared bodies_of_all_sizes lines_in_order \
queue_delete_cancels_the_consumer missing_queue delete_queue"

if [ $# -eq 0 ]; then
    echo "usage: interop.sh URI [SCENARIO...]" >&2
    exit 2
fi
uri=$1
shift
script=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")

# Without a second level of shells a scenario could hang for ever: each runs under timeout.
if [ "${INTEROP_SCENARIO:-}" = "" ]; then
    for name in ${*:-$scenarios}; do
        INTEROP_SCENARIO=$name timeout "$scenario_secs" sh "$script" "$uri"
        code=$?
        if [ "$code" -eq 124 ]; then
            echo "FAILED $name: not finished after $scenario_secs s"
        fi
        [ "$code" -eq 0 ] || exit 1
        echo "ok $name"
    done
    exit 0
fi

folder=$(mktemp -d)
queue="interop.amqp-tools.$INTEROP_SCENARIO.$$"
consumer=
cleanup() {
    [ -z "$consumer" ] || kill "$consumer" 2>/dev/null
    amqp-delete-queue --url="$uri" -q "$queue" >/dev/null 2>&1
    rm -rf "$folder"
}
trap cleanup EXIT
trap 'exit 1' TERM INT

fail() {
    echo "FAILED $INTEROP_SCENARIO: $1"
    exit 1
}

# expect WHAT GOT WANTED
expect() {
    [ "$2" = "$3" ] || fail "$1: expected '$3', got '$2'"
}

declare_queue() {
    got=$(amqp-declare-queue --url="$uri" -q "$queue" 2>&1) || fail "declare: $got"
    expect "declared" "$got" "$queue"
}

# publish [OPTIONS]: to the scenario's queue unless the options name an exchange.
publish() {
    amqp-publish --url="$uri" "$@" || fail "amqp-publish $*: exit code $?"
}

get() {
    amqp-get --url="$uri" -q "$queue"
}

# get_empty WHEN: amqp-get says with exit code 2 that there is nothing.
get_empty() {
    left=$(get)
    expect "amqp-get $1, exit code (and what it got: '$left')" $? 2
}

hash() {
    sha256sum | cut -d ' ' -f 1
}

# await FILE PATTERN COUNT: waits until a file that a consumer writes has so many such lines.
await() {
    until [ "$(grep -c -- "$2" "$1" 2>/dev/null)" = "$3" ]; do
        if [ -n "$consumer" ] && ! kill -0 "$consumer" 2>/dev/null; then
            [ "$(grep -c -- "$2" "$1")" = "$3" ] && return
            fail "the consumer ended before '$2' came $3 times: $(cat "$1")"
        fi
        sleep 0.05
    done
}

# program NAME BODY: writes a program for amqp-consume to run. The tool takes any `-c` for its own,
# also behind the program's name, so that `sh -c` is out.
program() {
    printf '#!/bin/sh\nfolder=%s\n%s\n' "$folder" "$2" >"$folder/$1"
    chmod +x "$folder/$1"
}

publish_and_get() {
    declare_queue
    publish -r "$queue" -b "first"
    publish -r "$queue" -b "second"
    publish -r "$queue" -b ""
    expect "body" "$(get)" "first"
    expect "body" "$(get)" "second"
    get >"$folder/empty"
    expect "exit code for an empty body" $? 0
    expect "an empty body's size" "$(wc -c <"$folder/empty")" 0
    get_empty "after the last message"
}

# bound EXCHANGE BINDING_KEY PUBLISH_KEY [OTHER_KEY]: expects "for us", published with the key, as
# the first message of a queue that is bound so, though others with the other key come before it.
bound() {
    amqp-consume --url="$uri" -e "$1" -r "$2" -x -q "$queue" -c 1 cat \
        >"$folder/got" 2>"$folder/log" &
    consumer=$!
    # The tool does not say when its queue is bound; a message that arrives does.
    until ! kill -0 "$consumer" 2>/dev/null; do
        [ $# -lt 4 ] || publish -e "$1" -r "$4" -b "for another"
        publish -e "$1" -r "$3" -b "for us"
        sleep 0.1
    done
    wait "$consumer" || fail "amqp-consume -e $1: $(cat "$folder/log")"
    consumer=
    expect "through $1 with binding key $2" "$(cat "$folder/got")" "for us"
}

fanout_exchange() {
    bound amq.fanout "ignored" "another"
}

direct_and_topic_exchanges() {
    bound amq.direct "interop.$$" "interop.$$" "interop.$$.more"
    bound amq.topic "interop.*.$$" "interop.any.$$" "interop.any.any.$$"
    bound amq.topic "#.$$" "interop.any.$$" "interop.any"
}

properties_and_headers() {
    # What the tools can set, they cannot show: the broker must take it and keep the body.
    declare_queue
    publish -r "$queue" -p -C text/plain -E utf-8 -t "$queue" -H "colour: red" -H "n: 1" -b "full"
    expect "body" "$(get)" "full"
    # A headers exchange needs a binding with arguments, which the tools have not; without one,
    # nothing may come through it.
    publish -e amq.headers -r "$queue" -H "colour: red" -b "nowhere"
    get_empty "after a publish to amq.headers"
}

acks_and_requeue() {
    declare_queue
    for body in a b c; do publish -r "$queue" -b "$body"; done
    # A message whose command fails is not acknowledged, and goes back when the consumer goes.
    program take '[ "$(tee -a "$folder/seen")" != b ]'
    amqp-consume --url="$uri" -q "$queue" -c 3 "$folder/take" || fail "amqp-consume: exit code $?"
    expect "seen" "$(cat "$folder/seen")" "abc"
    expect "requeued" "$(get)" "b"
    get_empty "after the acks"
}

prefetch_is_shared() {
    declare_queue
    for body in 1 2 3; do publish -r "$queue" -b "$body"; done
    # The first consumer holds one message of its prefetch of one; the others go to the second.
    mkfifo "$folder/gate"
    program hold 'cat >>"$folder/first"; echo >>"$folder/first"; cat "$folder/gate"'
    amqp-consume --url="$uri" -q "$queue" -p 1 -c 1 "$folder/hold" >/dev/null &
    consumer=$!
    await "$folder/first" 1 1
    program line 'cat; echo'
    amqp-consume --url="$uri" -q "$queue" -p 1 -c 2 "$folder/line" >"$folder/second" \
        || fail "the second amqp-consume: exit code $?"
    expect "the second consumer's" "$(tr '\n' ' ' <"$folder/second")" "2 3 "
    echo >"$folder/gate"
    wait "$consumer" || fail "the first amqp-consume: exit code $?"
    consumer=
    get_empty "after both consumers"
}

bodies_of_all_sizes() {
    declare_queue
    for size in 1 131064 131065 1048576 10485760; do
        seq 1 2000000 | head -c "$size" >"$folder/body"
        publish -r "$queue" <"$folder/body"
        expect "hash of $size bytes" "$(get | hash)" "$(hash <"$folder/body")"
        publish -r "$queue" <"$folder/body"
        consumed=$(amqp-consume --url="$uri" -q "$queue" -c 1 cat | hash)
        expect "hash of $size bytes consumed" "$consumed" "$(hash <"$folder/body")"
    done
}

lines_in_order() {
    declare_queue
    seq 1 20000 | publish -r "$queue" -l
    # A process for each message is the tool's way, so only the first thousand are consumed.
    amqp-consume --url="$uri" -q "$queue" -p 100 -c 1000 cat >"$folder/got" \
        || fail "amqp-consume: exit code $?"
    seq 1 1000 >"$folder/wanted"
    expect "got and wanted differ" "$(diff "$folder/got" "$folder/wanted" | head -n 4)" ""
    expect "the next message" "$(get)" 1001
    deleted=$(amqp-delete-queue --url="$uri" -q "$queue")
    expect "left of 20000 when the queue is deleted" "$deleted" 18999
}

queue_delete_cancels_the_consumer() {
    declare_queue
    publish -r "$queue" -b "seen"
    program line 'cat; echo'
    amqp-consume --url="$uri" -q "$queue" "$folder/line" >"$folder/got" 2>&1 &
    consumer=$!
    await "$folder/got" seen 1
    amqp-delete-queue --url="$uri" -q "$queue" >/dev/null || fail "amqp-delete-queue: $?"
    # The tool knows no basic.cancel: its connection must stay, and a new queue of the same name
    # have nothing to do with it.
    declare_queue
    publish -r "$queue" -b "not for the old consumer"
    expect "in the new queue" "$(get)" "not for the old consumer"
    kill -0 "$consumer" 2>/dev/null || fail "the consumer ended: $(cat "$folder/got")"
}

missing_queue() {
    refused=$(amqp-get --url="$uri" -q "$queue" 2>&1)
    expect "exit code of amqp-get" $? 1
    case $refused in
    *"server channel error 404"*"NOT_FOUND - no queue '$queue' in vhost '/'"*) ;;
    *) fail "expected a channel error 404 NOT_FOUND, got '$refused'" ;;
    esac
}

delete_queue() {
    declare_queue
    publish -r "$queue" -b "kept"
    refused=$(amqp-delete-queue --url="$uri" -q "$queue" -e 2>&1)
    case $refused in
    *"server channel error 406"*"PRECONDITION_FAILED - queue '$queue' in vhost '/' not empty"*) ;;
    *) fail "deleting a queue that is not empty: expected 406, got '$refused'" ;;
    esac
    expect "deleted with" "$(amqp-delete-queue --url="$uri" -q "$queue")" 1
    expect "deleted again with" "$(amqp-delete-queue --url="$uri" -q "$queue")" 0
}

case " $scenarios " in
*" $INTEROP_SCENARIO "*) "$INTEROP_SCENARIO" ;;
*) fail "no such scenario" ;;
esac
