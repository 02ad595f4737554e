#!/bin/sh
# The flow of `tests/tests/interop/flow.rs`, as far as Debian's amqp-tools (rabbitmq-c) can express it:
# `flow.sh AMQP AMQPS CA_FILE`. They declare no exchanges, ask for no confirms, and know neither returns nor
# connection.blocked.

set -u
plain=$1
encrypted=$2
authority=$3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

fail() {
    echo "FAILED $1"
    exit 1
}

# expect WHAT GOT WANTED
expect() {
    [ "$2" = "$3" ] || fail "$1: expected '$3', got '$2'"
}

# Has something done to the broker.
ask() {
    echo "do $1"
    read -r answer
    expect "$1" "$answer" "done"
}

# get_all QUEUE: the bodies of all messages, with spaces around each.
get_all() {
    bodies=
    while body=$(amqp-get --url="$plain" -q "$1"); do bodies="$bodies $body"; done
    echo "$bodies" | tr -s "\n " " "
}

declare_and_publish() {
    expect "declared" "$(amqp-declare-queue --url="$plain" -d -q flow)" flow
    seq 0 9 | amqp-publish --url="$plain" -r flow -p -l || fail "amqp-publish: exit code $?"
}

prefetch_and_reject() {
    # Two are held, of which the second is not acknowledged: its command fails, and it goes back at the end.
    printf '#!/bin/sh\nread -r body; echo "$body" >>%s/seen; [ "$body" = 0 ]\n' "$folder" >"$folder/take"
    chmod +x "$folder/take"
    amqp-consume --url="$plain" -q flow -p 2 -c 2 "$folder/take" || fail "amqp-consume: exit code $?"
    expect "seen" "$(tr '\n' ' ' <"$folder/seen")" "0 1 "
}

kill_and_recover() {
    amqp-publish --url="$plain" -r flow -p -b last || fail "amqp-publish: exit code $?"
    # Without confirms nothing says that the message is safe. But its queue had it before the command ended, and what was there before a
    # durable queue is declared is on the disk no later than that queue, which is when the declaration is answered.
    expect "declared" "$(amqp-declare-queue --url="$plain" -d -q behind)" behind
    ask kill
    expect "after the kill" "$(get_all flow)" " 1 2 3 4 5 6 7 8 9 last "
}

over_tls() {
    queue=$(amqp-declare-queue --url="$encrypted" --cacert="$authority" -q over-tls)
    expect "declared over TLS" "$queue" over-tls
    seq 1 200000 >"$folder/body"
    amqp-publish --url="$encrypted" --cacert="$authority" -r over-tls <"$folder/body" \
        || fail "amqp-publish over TLS: exit code $?"
    amqp-get --url="$encrypted" --cacert="$authority" -q over-tls >"$folder/got"
    cmp -s "$folder/body" "$folder/got" || fail "the body over TLS is another"
    # Without the authority the broker's certificate is nothing to trust.
    amqp-get --url="$encrypted" -q over-tls >"$folder/got" 2>&1 && fail "any certificate is taken"
    expect "deleted with" "$(amqp-delete-queue --url="$encrypted" --cacert="$authority" -q over-tls)" 0
}

declare_and_publish
prefetch_and_reject
kill_and_recover
over_tls
echo "ok flow"
