"""The flow of `tests/tests/interop/flow.rs`, with pika: `python flow_pika.py AMQP AMQPS CA_FILE`."""

import ssl
import sys
import time

import pika
from pika.exceptions import AMQPConnectionError, UnroutableError

WAIT = 60
PERSISTENT = pika.BasicProperties(delivery_mode=2)


def ask(wanted):
    """Has something done to the broker."""
    print(f"do {wanted}", flush=True)
    if sys.stdin.readline().strip() != "done":
        sys.exit(f"{wanted} was not done")


def expect(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: expected {wanted!r}, got {got!r}")


def until(connection, what, is_so):
    """Handles what comes until it is so."""
    end = time.monotonic() + WAIT
    while not is_so():
        if time.monotonic() > end:
            sys.exit(f"not in time: {what}")
        connection.process_data_events(time_limit=0.1)


def bodies(channel, queue):
    found = []
    while True:
        method, _, body = channel.basic_get(queue)
        if method is None:
            return found
        found.append(body)
        channel.basic_ack(method.delivery_tag)


def declare_bind_confirm_return(channel):
    channel.exchange_declare("flow", "topic", durable=True)
    channel.queue_declare("flow", durable=True)
    channel.queue_bind("flow", "flow", "a.#")
    channel.confirm_delivery()
    for number in range(10):
        channel.basic_publish("flow", "a.b", b"%d" % number, PERSISTENT, mandatory=True)
    try:
        channel.basic_publish("flow", "nowhere", b"x", mandatory=True)
    except UnroutableError as returned:
        expect("reply code", returned.messages[0].method.reply_code, 312)
    else:
        sys.exit("an unroutable message was not returned")


def prefetch_reject_cancel(connection, channel):
    channel.basic_qos(prefetch_count=2)
    came = []
    tag = channel.basic_consume("flow", lambda _, method, __, body: came.append((method, body)))
    until(connection, "two deliveries", lambda: len(came) >= 2)
    channel.queue_declare("flow", passive=True)
    expect("deliveries", [body for _, body in came], [b"0", b"1"])
    channel.basic_reject(came[0][0].delivery_tag, requeue=True)
    until(connection, "the rejected one", lambda: len(came) >= 3)
    expect("the rejected one", (came[2][1], came[2][0].redelivered), (b"0", True))
    channel.basic_ack(came[2][0].delivery_tag, multiple=True)
    channel.basic_cancel(tag)
    for method, _ in came[3:]:
        channel.basic_nack(method.delivery_tag)
    left = channel.queue_declare("flow", passive=True).method.message_count
    expect("messages left", left, 8)


def kill(uri, channel):
    channel.basic_publish("flow", "a.b", b"last", PERSISTENT)
    ask("kill")
    end = time.monotonic() + WAIT
    while True:
        try:
            connection = pika.BlockingConnection(pika.URLParameters(uri))
            break
        except AMQPConnectionError:
            if time.monotonic() > end:
                raise
    wanted = [b"%d" % number for number in range(2, 10)] + [b"last"]
    expect("what is there after the kill", bodies(connection.channel(), "flow"), wanted)
    return connection


def block(connection):
    told = []
    connection.add_on_connection_blocked_callback(lambda _, frame: told.append(frame.method.reason))
    connection.add_on_connection_unblocked_callback(lambda _, __: told.append("unblocked"))
    channel = connection.channel()
    ask("block")
    channel.basic_publish("", "nowhere", b"x")
    until(connection, "blocked", lambda: told == ["low on memory"])
    ask("unblock")
    until(connection, "unblocked", lambda: told == ["low on memory", "unblocked"])


def encrypted(uri, authority):
    context = ssl.create_default_context(cafile=authority)
    parameters = pika.URLParameters(uri)
    parameters.ssl_options = pika.SSLOptions(context, "localhost")
    connection = pika.BlockingConnection(parameters)
    channel = connection.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    body = b"x" * 1_000_000
    channel.confirm_delivery()
    channel.basic_publish("", queue, body)
    expect("body over TLS", bodies(channel, queue), [body])
    connection.close()


def main(plain, over_tls, authority):
    connection = pika.BlockingConnection(pika.URLParameters(plain))
    channel = connection.channel()
    declare_bind_confirm_return(channel)
    prefetch_reject_cancel(connection, channel)
    connection = kill(plain, channel)
    block(connection)
    connection.close()
    encrypted(over_tls, authority)
    print("ok flow")


main(*sys.argv[1:4])
