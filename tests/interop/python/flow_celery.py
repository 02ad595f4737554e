"""Celery: a worker and its client, `python flow_celery.py AMQP AMQPS CA_FILE`.

The client is this file; it starts a worker of the same file. Results come over `rpc://`; tasks are retried, run at a time, by priority, and again
after the broker was killed. The pool grows and shrinks with what there is to do.
"""

import os
import ssl
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone

from celery import Celery
from kombu import Queue

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


def ask(wanted):
    """Has something done to the broker."""
    print(f"do {wanted}", flush=True)
    if sys.stdin.readline().strip() != "done":
        sys.exit(f"{wanted} was not done")


def expect(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: expected {wanted!r}, got {got!r}")


def worker():
    command = [sys.executable, "-m", "celery", "-A", "flow_celery", "worker", "--autoscale=3,1"]
    folder = os.path.dirname(os.path.abspath(__file__))
    environment = {**os.environ, "FLOW_AMQP": PLAIN, "C_FORCE_ROOT": "1"}
    quiet = ["--loglevel=WARNING", "--without-gossip", "--without-mingle"]
    return subprocess.Popen(command + quiet, cwd=folder, env=environment, stdout=sys.stderr)


def over_tls():
    encrypted = configured("encrypted", OVER_TLS)
    encrypted.conf.broker_use_ssl = {"ca_certs": AUTHORITY, "cert_reqs": ssl.CERT_REQUIRED}
    encrypted.send_task("flow_celery.add", (20, 22))


def main():
    running = worker()
    try:
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
    finally:
        running.terminate()
        running.wait(WAIT)
    print("ok flow")


if IS_CLIENT:
    main()
