"""Celery: a worker and its client, `python flow_celery.py AMQP AMQPS CA_FILE`.

The client is this file; it starts a worker of the same file. Results come over `rpc://`; tasks are retried, run at a time, by priority, and again
after the broker was killed. The pool grows and shrinks with what there is to do. What tasks do not show is done with kombu, by which Celery speaks: confirms,
returns, rejects, cancels, and what a blocked publisher is told.
"""

import os
import ssl
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone

from celery import Celery
from kombu import Connection, Consumer, Exchange, Producer, Queue

WAIT = 60
# The worker imports this file.
IS_CLIENT = __name__ == "__main__"
PLAIN, OVER_TLS, AUTHORITY = sys.argv[1:4] if IS_CLIENT else (os.environ["FLOW_AMQP"], "", "")


def configured(name, broker):
    """An application; all of them have to know the queue alike."""
    made = Celery(name, broker=broker, backend="rpc://")
    made.conf.update(
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_prefetch_multiplier=1,
        task_default_queue="celery",
        task_queues=[Queue("celery", queue_arguments={"x-max-priority": 10})],
        result_expires=600,
        broker_transport_options={"confirm_publish": True},
    )
    return made


app = configured("flow_celery", PLAIN)


@app.task
def add(a, b):
    return a + b


@app.task(bind=True, max_retries=3)
def third_time(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0.1)
    return self.request.retries


@app.task
def now():
    return time.time()


@app.task
def began():
    """When it began; it is never over at once."""
    start = time.time()
    time.sleep(0.1)
    return start


@app.task
def busy():
    """From when to when it ran."""
    start = time.time()
    time.sleep(0.5)
    return start, time.time()


def ask(wanted):
    """Has something done to the broker."""
    print(f"do {wanted}", flush=True)
    if sys.stdin.readline().strip() != "done":
        sys.exit(f"{wanted} was not done")


def expect(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: expected {wanted!r}, got {got!r}")


def until(what, is_so, wait=lambda: time.sleep(0.1)):
    end = time.monotonic() + WAIT
    while not is_so():
        if time.monotonic() > end:
            sys.exit(f"not in time: {what}")
        wait()


def handle(connection):
    """Handles what comes for a moment."""
    try:
        connection.drain_events(timeout=0.1)
    except TimeoutError:
        pass


def declare_bind_confirm_return(channel, queue):
    queue(channel).declare()
    returned = []
    told = lambda exception, exchange, key, message: returned.append(exception.reply_code)
    producer = Producer(channel, queue.exchange, on_return=told)
    for number in range(10):
        producer.publish(number, routing_key="a.b", mandatory=True)
    producer.publish("x", routing_key="nowhere", mandatory=True)
    expect("reply codes", returned, [312])
    return producer


def prefetch_reject_cancel(connection, channel, queue):
    channel.basic_qos(0, 2, False)
    came = []
    consumer = Consumer(channel, [queue], callbacks=[lambda _, message: came.append(message)])
    consumer.consume()
    until("two deliveries", lambda: len(came) >= 2, lambda: handle(connection))
    handle(connection)
    expect("deliveries", [message.payload for message in came], [0, 1])
    came[0].requeue()
    until("the rejected one", lambda: len(came) >= 3, lambda: handle(connection))
    again = came[2]
    expect("the rejected one", (again.payload, again.delivery_info["redelivered"]), (0, True))
    consumer.cancel()
    came[1].ack()
    again.ack()
    left = queue(channel).queue_declare(passive=True).message_count
    expect("messages left", left, 8)


def with_kombu():
    """Leaves a durable queue with messages in it."""
    queue = Queue("flow", Exchange("flow", "topic"), "a.#")
    with Connection(PLAIN, transport_options={"confirm_publish": True}) as connection:
        channel = connection.channel()
        producer = declare_bind_confirm_return(channel, queue)
        prefetch_reject_cancel(connection, channel, queue)
        producer.publish("last", routing_key="a.b")


def after_the_kill():
    with Connection(PLAIN) as connection:
        connection.ensure_connection(timeout=WAIT)
        queue, bodies = Queue("flow")(connection.channel()), []
        while (message := queue.get(no_ack=True)) is not None:
            bodies.append(message.payload)
        expect("what is there after the kill", bodies, list(range(2, 10)) + ["last"])


def block():
    told = []
    options = {"on_blocked": told.append, "on_unblocked": lambda: told.append("unblocked")}
    with Connection(PLAIN, transport_options=options) as connection:
        producer = Producer(connection.channel())
        ask("block")
        producer.publish("x", routing_key="nowhere")
        # The client does not pass on what the broker says.
        until("blocked", lambda: len(told) == 1, lambda: handle(connection))
        ask("unblock")
        until("unblocked", lambda: told[1:] == ["unblocked"], lambda: handle(connection))


def by_priority(tasks):
    """They were there before the worker."""
    starts = [task.get(timeout=WAIT) for task in tasks]
    for lower, higher in zip(starts, starts[1:]):
        # Two processes may begin at one time.
        expect("a higher priority first", higher < lower + 0.05, True)


def autoscale():
    """The pool grows with what there is to do, and shrinks when there is nothing."""
    tasks = [busy.delay() for _ in range(18)]
    ran = [task.get(timeout=WAIT) for task in tasks]
    together = max(sum(begin <= at < end for begin, end in ran) for at, _ in ran)
    expect("tasks that ran at a time", together, 3)

    def pool():
        told = app.control.inspect(timeout=5).stats() or {}
        return [len(worker["pool"]["processes"]) for worker in told.values()]

    until("the pool has shrunk", lambda: pool() == [1])


def worker():
    command = [sys.executable, "-m", "celery", "-A", "flow_celery", "worker", "--concurrency=1", "--autoscale=3,1"]
    folder = os.path.dirname(os.path.abspath(__file__))
    environment = {**os.environ, "FLOW_AMQP": PLAIN, "C_FORCE_ROOT": "1", "AUTOSCALE_KEEPALIVE": "1"}
    quiet = ["--loglevel=WARNING", "--without-gossip", "--without-mingle"]
    return subprocess.Popen(command + quiet, cwd=folder, env=environment, stdout=sys.stderr)


def over_tls():
    encrypted = configured("encrypted", OVER_TLS)
    encrypted.conf.broker_use_ssl = {"ca_certs": AUTHORITY, "cert_reqs": ssl.CERT_REQUIRED}
    result = encrypted.send_task("flow_celery.add", (20, 22))
    expect("a result over TLS", result.get(timeout=WAIT), 42)
    encrypted.close()


def main():
    with_kombu()
    prioritized = [began.apply_async(priority=priority) for priority in range(10)]
    running = worker()
    try:
        by_priority(prioritized)
        autoscale()
        expect("a result", add.delay(1, 2).get(timeout=WAIT), 3)
        results = [add.apply_async((n, n), priority=n % 10) for n in range(50)]
        expect("many results", [r.get(timeout=WAIT) for r in results], [2 * n for n in range(50)])
        expect("a retried task", third_time.delay().get(timeout=WAIT), 2)
        due = datetime.now(timezone.utc) + timedelta(seconds=2)
        ran = now.apply_async(eta=due).get(timeout=WAIT)
        expect("not before its time", ran >= due.timestamp() - 0.1, True)
        over_tls()
        ask("kill")
        # The client's result queue went with its connection: results are asked for on a new one.
        app.close()
        end = time.monotonic() + WAIT
        while True:
            try:
                with configured("again", PLAIN) as again:
                    got = again.send_task("flow_celery.add", (40, 2)).get(timeout=5)
                break
            except Exception as error:
                if time.monotonic() > end:
                    raise error
        expect("a result after the kill", got, 42)
        after_the_kill()
        block()
    finally:
        running.terminate()
        running.wait(WAIT)
    print("ok flow")


if IS_CLIENT:
    main()
