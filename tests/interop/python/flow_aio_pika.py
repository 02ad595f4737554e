"""The flow of `tests/tests/interop/flow.rs`, with aio-pika: `python flow_aio_pika.py AMQP AMQPS CA_FILE`."""

import asyncio
import ssl
import sys

import aio_pika
from aio_pika import DeliveryMode, ExchangeType, Message
from aio_pika.exceptions import DeliveryError

WAIT = 60


def ask(wanted):
    """Has something done to the broker."""
    print(f"do {wanted}", flush=True)
    if sys.stdin.readline().strip() != "done":
        sys.exit(f"{wanted} was not done")


async def asked(wanted):
    await asyncio.get_running_loop().run_in_executor(None, ask, wanted)


def expect(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: expected {wanted!r}, got {got!r}")


def persistent(body):
    return Message(body, delivery_mode=DeliveryMode.PERSISTENT)


async def declare_bind_confirm_return(channel):
    exchange = await channel.declare_exchange("flow", ExchangeType.TOPIC, durable=True)
    queue = await channel.declare_queue("flow", durable=True)
    await queue.bind(exchange, "a.#")
    for number in range(10):
        await exchange.publish(persistent(b"%d" % number), "a.b")
    try:
        await exchange.publish(Message(b"x"), "nowhere", mandatory=True)
    except DeliveryError:
        pass
    else:
        sys.exit("an unroutable message was not returned")
    return exchange, queue


async def prefetch_reject_cancel(channel, queue):
    await channel.set_qos(prefetch_count=2)
    came = asyncio.Queue()
    tag = await queue.consume(came.put)
    first, second = await came.get(), await came.get()
    expect("bodies", (first.body, second.body), (b"0", b"1"))
    await channel.get_queue("flow")
    expect("deliveries beyond the prefetch", came.qsize(), 0)
    await first.reject(requeue=True)
    again = await came.get()
    expect("the rejected one", (again.body, again.redelivered), (b"0", True))
    await queue.cancel(tag)
    await second.ack()
    await again.ack()
    # A robust channel remembers what was declared first.
    under = await channel.get_underlay_channel()
    left = await under.queue_declare("flow", passive=True)
    expect("messages left", left.message_count, 8)


async def kill(connection, channel, exchange):
    await exchange.publish(persistent(b"last"), "a.b")
    await asked("kill")
    # A robust connection comes back by itself.
    queue = await asyncio.wait_for(channel.get_queue("flow"), WAIT)
    bodies = []
    while (message := await queue.get(fail=False)) is not None:
        bodies.append(message.body)
        await message.ack()
    expect("what is there after the kill", bodies, [b"%d" % n for n in range(2, 10)] + [b"last"])


async def block(uri):
    connection = await aio_pika.connect(uri)
    channel = await connection.channel(publisher_confirms=False)
    await asked("block")
    # A blocked publisher is not read from: what it asks behind a message is answered when it goes on.
    await channel.default_exchange.publish(Message(b"x"), "nowhere")
    answer = asyncio.ensure_future(channel.declare_queue(exclusive=True))
    await asked("unblock")
    await asyncio.wait_for(answer, WAIT)
    await connection.close()


async def encrypted(uri, authority):
    context = ssl.create_default_context(cafile=authority)
    connection = await aio_pika.connect(uri, ssl_context=context)
    channel = await connection.channel(on_return_raises=True)
    queue = await channel.declare_queue(exclusive=True)
    body = b"x" * 1_000_000
    await channel.default_exchange.publish(Message(body), queue.name)
    message = await queue.get()
    expect("body over TLS", message.body, body)
    await message.ack()
    await connection.close()


async def main(plain, over_tls, authority):
    connection = await aio_pika.connect_robust(plain, reconnect_interval=1)
    channel = await connection.channel(on_return_raises=True)
    exchange, queue = await declare_bind_confirm_return(channel)
    await prefetch_reject_cancel(channel, queue)
    await kill(connection, channel, exchange)
    await connection.close()
    await block(plain)
    await encrypted(over_tls, authority)


asyncio.run(asyncio.wait_for(main(*sys.argv[1:4]), 150))
print("ok flow")
