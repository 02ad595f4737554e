"""pika against a broker: `python interop.py URI [SCENARIO...]`.

Runs every scenario (or the named ones), each on connections of its own, and prints one line for
each. The first one that fails ends the run with exit code 1 and says what was expected. A scenario
knows nothing of the broker behind the URI: each must pass against RabbitMQ too.
"""

import decimal
import hashlib
import signal
import sys
import traceback
import uuid
from contextlib import contextmanager
from datetime import datetime, timezone

import pika
from pika.exceptions import ChannelClosedByBroker, UnroutableError
from pika.exchange_type import ExchangeType

SCENARIO_SECS = 90
SCENARIOS = []


class Unexpected(Exception):
    """What the broker did is not what the scenario expects."""


def scenario(run):
    """Adds a function of one URI to the scenarios, in the order of the file."""
    SCENARIOS.append(run)
    return run


def expect(what, got, wanted):
    """Fails unless `got` equals `wanted`; long values are cut in the report."""
    if got != wanted:
        raise Unexpected(f"{what}: expected {wanted!r:.300}, got {got!r:.300}")


def parameters(uri):
    """Connection parameters that give up by themselves when the broker goes silent."""
    wanted = pika.URLParameters(uri)
    wanted.socket_timeout = 10
    wanted.blocked_connection_timeout = SCENARIO_SECS
    return wanted


@contextmanager
def connected(uri):
    """A blocking connection, closed with the handshake at the end."""
    connection = pika.BlockingConnection(parameters(uri))
    try:
        yield connection
    finally:
        if connection.is_open:
            connection.close()


@contextmanager
def channel_on(uri):
    """A channel on a connection of its own."""
    with connected(uri) as connection:
        yield connection.channel()


def fresh(kind):
    """A name that nothing else on the broker uses."""
    return f"interop.pika.{kind}.{uuid.uuid4().hex[:12]}"


def exclusive_queue(channel):
    """A server-named queue that goes with the connection."""
    return channel.queue_declare("", exclusive=True).method.queue


def ready(channel, queue):
    """The queue's messages that are ready, asked for with a passive declare.

    RabbitMQ answers ahead of publishes and acks it still has before it, so that only what was
    confirmed, or is known from deliveries, may be expected in the answer.
    """
    return channel.queue_declare(queue, passive=True).method.message_count


def drain(channel, queue):
    """Takes everything that is ready with basic.get, without acknowledgements."""
    bodies = []
    while True:
        method, _, body = channel.basic_get(queue, auto_ack=True)
        if method is None:
            return bodies
        bodies.append(body)


def deliveries(connection, collected, count):
    """Waits until `count` deliveries were collected."""
    while len(collected) < count:
        connection.process_data_events(time_limit=None)


def routed(channel, exchange, queues, routing_key="", headers=None):
    """Publishes once and says which of the named queues got the message."""
    properties = pika.BasicProperties(headers=headers)
    channel.basic_publish(exchange, routing_key, b"routed", properties)
    return {name for name, queue in queues.items() if drain(channel, queue)}


def temporary_exchange(channel, kind):
    """An exchange that is deleted with its last binding."""
    exchange = fresh(kind.value)
    channel.exchange_declare(exchange, kind, auto_delete=True)
    return exchange


@scenario
def direct_exchange(uri):
    with channel_on(uri) as channel:
        exchange = temporary_exchange(channel, ExchangeType.direct)
        queues = {key: exclusive_queue(channel) for key in ("red", "blue")}
        for key, queue in queues.items():
            channel.queue_bind(queue, exchange, key)
        expect("key red", routed(channel, exchange, queues, "red"), {"red"})
        expect("key blue", routed(channel, exchange, queues, "blue"), {"blue"})
        expect("key green", routed(channel, exchange, queues, "green"), set())
        channel.queue_unbind(queues["red"], exchange, "red")
        expect("key red, unbound", routed(channel, exchange, queues, "red"), set())


@scenario
def default_exchange(uri):
    with channel_on(uri) as channel:
        queue = exclusive_queue(channel)
        channel.basic_publish("", queue, b"by queue name")
        expect("message", drain(channel, queue), [b"by queue name"])


@scenario
def fanout_exchange(uri):
    with channel_on(uri) as channel:
        exchange = temporary_exchange(channel, ExchangeType.fanout)
        queues = {name: exclusive_queue(channel) for name in ("one", "two", "three")}
        for queue in queues.values():
            channel.queue_bind(queue, exchange)
        got = routed(channel, exchange, queues, "whatever")
        expect("queues reached", got, {"one", "two", "three"})


@scenario
def topic_exchange(uri):
    with channel_on(uri) as channel:
        exchange = temporary_exchange(channel, ExchangeType.topic)
        queues = {}
        for pattern in ("stock.*.nyse", "stock.#", "#.nyse", "#", "*", "stock.*"):
            queues[pattern] = exclusive_queue(channel)
            channel.queue_bind(queues[pattern], exchange, pattern)
        for key, wanted in {
            "stock.usd.nyse": {"stock.*.nyse", "stock.#", "#.nyse", "#"},
            "stock": {"stock.#", "#", "*"},
            "stock.usd": {"stock.#", "#", "stock.*"},
            "stock.usd.x.nyse": {"stock.#", "#.nyse", "#"},
            "nyse": {"#.nyse", "#", "*"},
            "": {"#"},
        }.items():
            # RabbitMQ takes an empty key for no words, so `*` does not match it.
            expect(f"key {key!r}", routed(channel, exchange, queues, key), wanted)


@scenario
def headers_exchange(uri):
    with channel_on(uri) as channel:
        exchange = temporary_exchange(channel, ExchangeType.headers)
        queues = {}
        for match in ("all", "any"):
            queues[match] = exclusive_queue(channel)
            arguments = {"x-match": match, "format": "pdf", "pages": 2}
            channel.queue_bind(queues[match], exchange, arguments=arguments)
        for headers, wanted in (
            ({"format": "pdf", "pages": 2}, {"all", "any"}),
            ({"format": "pdf", "pages": 3}, {"any"}),
            ({"format": "zip", "pages": 3}, set()),
            (None, set()),
        ):
            got = routed(channel, exchange, queues, headers=headers)
            expect(f"headers {headers}", got, wanted)


@scenario
def confirms_one_by_one(uri):
    with channel_on(uri) as channel:
        queue = exclusive_queue(channel)
        channel.confirm_delivery()
        for number in range(100):
            # Blocks until the confirm has come; a nack would raise.
            channel.basic_publish("", queue, str(number).encode())
            expect("ready after a confirm", ready(channel, queue), number + 1)


class ConfirmRun:
    """Publishes in bulk over pika's asynchronous adapter and notes what comes back, in order."""

    def __init__(self, uri, publishes):
        self.publishes = publishes
        self.events = []
        self.settled = 0
        self.error = None
        self.connection = pika.SelectConnection(
            parameters(uri),
            on_open_callback=lambda connection: connection.channel(on_open_callback=self.opened),
            on_open_error_callback=self.closed,
            on_close_callback=self.closed,
        )

    def run(self):
        self.connection.ioloop.start()
        if self.error:
            raise Unexpected(f"the connection ended before the confirms came: {self.error!r}")
        return self.events

    def opened(self, channel):
        channel.add_on_return_callback(
            lambda _, method, __, body: self.events.append(("return", method.reply_code, body))
        )
        channel.confirm_delivery(self.settle)
        for exchange, routing_key, body in self.publishes:
            channel.basic_publish(exchange, routing_key, body, mandatory=True)

    def settle(self, frame):
        first = frame.method.delivery_tag
        if frame.method.multiple:
            first = self.settled + 1
        for tag in range(first, frame.method.delivery_tag + 1):
            self.events.append((frame.method.NAME, tag))
            self.settled += 1
        if self.settled == len(self.publishes):
            self.connection.close()

    def closed(self, _, reason):
        if self.settled != len(self.publishes):
            self.error = reason
        self.connection.ioloop.stop()


@scenario
def confirms_in_bulk(uri):
    with channel_on(uri) as channel:
        queue = fresh("bulk")
        channel.queue_declare(queue)
        try:
            publishes = [("", queue, str(number).encode()) for number in range(5000)]
            events = ConfirmRun(uri, publishes).run()
            wanted = [("Basic.Ack", tag) for tag in range(1, 5001)]
            expect("confirms", sorted(events), sorted(wanted))
            expect("ready after the confirms", ready(channel, queue), 5000)
        finally:
            channel.queue_delete(queue)


@scenario
def return_comes_before_confirm(uri):
    events = ConfirmRun(uri, [("", fresh("nowhere"), b"first")]).run()
    expect("events", events, [("return", 312, b"first"), ("Basic.Ack", 1)])


@scenario
def mandatory_publish_is_returned(uri):
    with channel_on(uri) as channel:
        queue = exclusive_queue(channel)
        channel.confirm_delivery()
        channel.basic_publish("", queue, b"routed", mandatory=True)
        missing = fresh("nowhere")
        try:
            properties = pika.BasicProperties(correlation_id="c-1", headers={"k": "v"})
            channel.basic_publish("", missing, b"unrouted", properties, mandatory=True)
        except UnroutableError as error:
            (returned,) = error.messages
            expect("reply code", returned.method.reply_code, 312)
            expect("reply text", returned.method.reply_text, "NO_ROUTE")
            expect("routing key", returned.method.routing_key, missing)
            expect("body", returned.body, b"unrouted")
            expect("correlation id", returned.properties.correlation_id, "c-1")
            expect("headers", returned.properties.headers, {"k": "v"})
        else:
            raise Unexpected("a mandatory publish to no queue: expected basic.return, got none")
        channel.basic_publish("", missing, b"dropped")
        expect("queue", drain(channel, queue), [b"routed"])


@scenario
def manual_acks(uri):
    with connected(uri) as connection:
        channel = connection.channel()
        queue = exclusive_queue(channel)
        for number in range(6):
            channel.basic_publish("", queue, str(number).encode())
        got = []
        channel.basic_consume(queue, lambda _, method, __, body: got.append((method, body)))
        deliveries(connection, got, 6)
        expect("bodies", [body for _, body in got], [b"0", b"1", b"2", b"3", b"4", b"5"])
        expect("redelivered", {method.redelivered for method, _ in got}, {False})
        channel.basic_ack(got[2][0].delivery_tag, multiple=True)
        channel.basic_ack(got[4][0].delivery_tag)
        channel.close()
        # What was not acknowledged goes back to the queue with its channel, in its place.
        second = connection.channel()
        back = []
        second.basic_consume(queue, lambda _, method, __, body: back.append((method, body)))
        deliveries(connection, back, 2)
        expect("back in the queue", [body for _, body in back], [b"3", b"5"])
        expect("redelivered", {method.redelivered for method, _ in back}, {True})
        for method, _ in back:
            second.basic_ack(method.delivery_tag)
        second.close()
        expect("left over", drain(connection.channel(), queue), [])


@scenario
def nack_and_reject(uri):
    with channel_on(uri) as channel:
        queue = exclusive_queue(channel)
        for body in (b"a", b"b", b"c", b"d"):
            channel.basic_publish("", queue, body)
        tags = {}
        for _ in range(4):
            method, _, body = channel.basic_get(queue)
            expect("redelivered at first", method.redelivered, False)
            tags[body] = method.delivery_tag
        channel.basic_nack(tags[b"a"], requeue=True)
        channel.basic_reject(tags[b"b"], requeue=True)
        channel.basic_nack(tags[b"c"], requeue=False)
        channel.basic_reject(tags[b"d"], requeue=False)
        again = [channel.basic_get(queue) for _ in range(2)]
        expect("requeued", [body for _, _, body in again], [b"a", b"b"])
        expect("redelivered", [method.redelivered for method, _, _ in again], [True, True])
        channel.basic_nack(again[1][0].delivery_tag, multiple=True, requeue=False)
        expect("left over", drain(channel, queue), [])


@scenario
def transactions(uri):
    with connected(uri) as connection:
        channel, other = connection.channel(), connection.channel()
        queue, moved = exclusive_queue(other), exclusive_queue(other)
        channel.tx_select()
        channel.basic_publish("", queue, b"forgotten")
        channel.tx_rollback()
        channel.basic_publish("", queue, b"a")
        expect("before the commit", ready(other, queue), 0)
        channel.tx_commit()
        expect("after the commit", ready(other, queue), 1)
        method, _, body = channel.basic_get(queue)
        channel.basic_publish("", moved, body)
        channel.basic_ack(method.delivery_tag)
        channel.tx_commit()
        channel.close()
        expect("left over", drain(other, queue), [])
        expect("moved", drain(other, moved), [b"a"])


@scenario
def prefetch(uri):
    with connected(uri) as connection:
        channel = connection.channel()
        queue = exclusive_queue(channel)
        channel.confirm_delivery()
        for number in range(30):
            channel.basic_publish("", queue, str(number).encode())
        channel.basic_qos(prefetch_count=10)
        got = []
        channel.basic_consume(queue, lambda _, method, __, ___: got.append(method.delivery_tag))
        deliveries(connection, got, 10)
        expect("ready behind ten unacknowledged", ready(channel, queue), 20)
        channel.basic_ack(got[0])
        deliveries(connection, got, 11)
        expect("ready after one ack", ready(channel, queue), 19)
        channel.basic_ack(got[10], multiple=True)
        deliveries(connection, got, 21)
        expect("ready after ten more acks", ready(channel, queue), 9)
        expect("delivery tags", got, list(range(1, 22)))


def noise(size):
    """`size` bytes that repeat with no period of a frame."""
    block = b"".join(hashlib.sha256(str(n).encode()).digest() for n in range(311))
    return (block * (size // len(block) + 1))[:size]


@scenario
def bodies_of_all_sizes(uri):
    with connected(uri) as connection:
        channel = connection.channel()
        queue = exclusive_queue(channel)
        frame = connection._impl.params.frame_max - 8
        sizes = [0, 1, frame - 1, frame, frame + 1, 2 * frame, 1 << 20, 10 << 20, 0]
        channel.confirm_delivery()
        for size in sizes:
            channel.basic_publish("", queue, noise(size))
        for size in sizes:
            method, _, body = channel.basic_get(queue, auto_ack=True)
            expect(f"a message of {size} bytes", method is not None, True)
            expect("size", len(body), size)
            wanted = hashlib.sha256(noise(size)).hexdigest()
            expect(f"hash of {size} bytes", hashlib.sha256(body).hexdigest(), wanted)


@scenario
def properties_and_headers(uri):
    moment = datetime(2021, 3, 4, 5, 6, 7, tzinfo=timezone.utc)
    headers = {
        "string": "h\u00e9llo \u732b",
        "empty string": "",
        "bytes": b"\x00\xff\x80",
        "yes": True,
        "no": False,
        "int": -5,
        "int32 least": -(1 << 31),
        "int64": 1 << 40,
        "int64 least": -(1 << 63),
        "decimal": decimal.Decimal("12.345"),
        "timestamp": moment,
        "nothing": None,
        "array": [1, "two", None, [True, []], {"in": "array"}],
        "table": {"deep": {"deeper": {"deepest": [b"\x01"]}}, "empty": {}},
    }
    properties = pika.BasicProperties(
        content_type="application/json",
        content_encoding="utf-8",
        headers=headers,
        delivery_mode=2,
        priority=7,
        correlation_id="correlation",
        reply_to="reply",
        expiration="60000",
        message_id="message",
        timestamp=1614834367,
        type="type",
        user_id=pika.URLParameters(uri).credentials.username,
        app_id="app",
        cluster_id="cluster",
    )
    with connected(uri) as connection:
        channel = connection.channel()
        queue = exclusive_queue(channel)
        got = []
        channel.basic_consume(queue, lambda _, __, props, ___: got.append(props), auto_ack=True)
        channel.basic_publish("", queue, b"all", properties)
        channel.basic_publish("", queue, b"none")
        channel.basic_publish("", queue, b"no table", pika.BasicProperties(headers={}))
        deliveries(connection, got, 3)
        for key, value in headers.items():
            expect(f"header {key}", got[0].headers.get(key), value)
        for name, value in vars(properties).items():
            expect(f"property {name}", getattr(got[0], name), value)
        expect("no properties", vars(got[1]), vars(pika.BasicProperties()))
        expect("an empty table", got[2].headers, {})


@scenario
def hundred_channels(uri):
    with connected(uri) as connection:
        channels = [connection.channel() for _ in range(100)]
        queues = [exclusive_queue(channel) for channel in channels]
        got = {}
        for number, channel in enumerate(channels):

            def note(_, __, ___, body, number=number):
                got[number] = body

            channel.basic_consume(queues[number], note, auto_ack=True)
        for number, channel in enumerate(channels):
            target = queues[(number + 1) % 100]
            channel.basic_publish("", target, f"from {number}".encode())
        deliveries(connection, got, 100)
        for number in range(100):
            wanted = f"from {(number - 1) % 100}".encode()
            expect(f"delivery on channel {number}", got[number], wanted)
        for channel in channels[::2]:
            channel.close()
        expect("a channel whose neighbours closed", ready(channels[1], queues[1]), 0)
        expect("a channel number used again", connection.channel().is_open, True)


@scenario
def twenty_thousand_in_order(uri):
    total = 20000
    with connected(uri) as publishing, connected(uri) as consuming:
        consumer = consuming.channel()
        queue = fresh("order")
        consumer.queue_declare(queue, exclusive=True)
        publisher = publishing.channel()
        for number in range(total):
            publisher.basic_publish("", queue, str(number).encode())
        consumer.basic_qos(prefetch_count=500)
        got = []

        def take(channel, method, _, body):
            got.append(int(body))
            if method.delivery_tag % 100 == 0:
                channel.basic_ack(method.delivery_tag, multiple=True)

        consumer.basic_consume(queue, take)
        deliveries(consuming, got, total)
        wrong = [(place, number) for place, number in enumerate(got) if place != number]
        expect("messages out of their place", wrong[:5], [])
        consumer.close()
        expect("left over", drain(consuming.channel(), queue), [])


@scenario
def consumer_cancel(uri):
    with connected(uri) as connection:
        channel = connection.channel()
        queue = exclusive_queue(channel)
        channel.confirm_delivery()
        got = []
        tag = channel.basic_consume(queue, lambda _, __, ___, body: got.append(body), auto_ack=True)
        channel.basic_publish("", queue, b"before")
        deliveries(connection, got, 1)
        channel.basic_cancel(tag)
        channel.basic_publish("", queue, b"after")
        state = channel.queue_declare(queue, passive=True).method
        expect("consumers after the cancel", state.consumer_count, 0)
        expect("ready after the cancel", state.message_count, 1)
        expect("deliveries", got, [b"before"])


@scenario
def queue_delete_cancels_the_consumer(uri):
    with connected(uri) as connection:
        consumer = connection.channel()
        queue = exclusive_queue(consumer)
        cancelled = []
        consumer.add_on_cancel_callback(lambda frame: cancelled.append(frame.method.consumer_tag))
        tag = consumer.basic_consume(queue, lambda *_: None)
        deleted = connection.channel().queue_delete(queue)
        expect("method", deleted.method.NAME, "Queue.DeleteOk")
        deliveries(connection, cancelled, 1)
        expect("cancelled consumers", cancelled, [tag])
        expect("the consumer's channel", consumer.is_open, True)


@scenario
def passive_declare_of_a_missing_queue(uri):
    with connected(uri) as connection:
        missing = fresh("missing")
        channel = connection.channel()
        try:
            channel.queue_declare(missing, passive=True)
        except ChannelClosedByBroker as error:
            wanted = f"NOT_FOUND - no queue '{missing}' in vhost '/'"
            expect("exception", (error.reply_code, error.reply_text), (404, wanted))
        else:
            raise Unexpected("expected ChannelClosedByBroker 404, got declare-ok")
        expect("the channel is open", channel.is_open, False)
        expect("the next channel is open", connection.channel().is_open, True)


@scenario
def queue_purge_and_delete(uri):
    with channel_on(uri) as channel:
        queue = exclusive_queue(channel)
        for body in (b"a", b"b", b"c"):
            channel.basic_publish("", queue, body)
        expect("purged", channel.queue_purge(queue).method.message_count, 3)
        channel.basic_publish("", queue, b"d")
        expect("deleted with", channel.queue_delete(queue).method.message_count, 1)


@scenario
def connection_close(uri):
    with connected(uri) as observing:
        observer = observing.channel()
        with connected(uri) as connection:
            queue = exclusive_queue(connection.channel())
            connection.close()
            expect("connection is open", connection.is_open, False)
        try:
            observer.queue_declare(queue, passive=True)
        except ChannelClosedByBroker as error:
            expect("the exclusive queue of the closed connection", error.reply_code, 404)
        else:
            raise Unexpected("an exclusive queue outlived its connection's close-ok")


def out_of_time(*_):
    raise Unexpected(f"not finished after {SCENARIO_SECS} s")


def main(arguments):
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    uri, named = arguments[0], arguments[1:]
    unknown = set(named) - {run.__name__ for run in SCENARIOS}
    if unknown:
        print(f"no such scenario: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGALRM, out_of_time)
    for run in SCENARIOS:
        if named and run.__name__ not in named:
            continue
        signal.alarm(SCENARIO_SECS)
        try:
            run(uri)
        except Exception as error:  # Whatever went wrong is this scenario's failure.
            print(f"FAILED {run.__name__}: {type(error).__name__}: {error}", flush=True)
            if not isinstance(error, Unexpected):
                traceback.print_exc()
            return 1
        finally:
            signal.alarm(0)
        print(f"ok {run.__name__}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
