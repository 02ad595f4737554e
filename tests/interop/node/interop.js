'use strict';
/*
 * amqplib against a broker: `node interop.js URI [SCENARIO...]`.
 *
 * Runs every scenario (or the named ones), each on connections of its own, and prints one line for
 * each. The first one that fails ends the run with exit code 1 and says what was expected. A
 * scenario knows nothing of the broker behind the URI: each must pass against RabbitMQ too.
 */

const amqplib = require('amqplib');
const { createHash, randomUUID } = require('node:crypto');
const { once } = require('node:events');
const { inspect, isDeepStrictEqual } = require('node:util');

const SCENARIO_SECS = 90;

/** What the broker did is not what the scenario expects. */
class Unexpected extends Error {}

/** Fails unless `got` equals `wanted` in depth; long values are cut in the report. */
function expect(what, got, wanted) {
  if (isDeepStrictEqual(got, wanted)) return;
  const shown = (value) => inspect(value, { depth: 6, maxArrayLength: 20 }).slice(0, 300);
  throw new Unexpected(`${what}: expected ${shown(wanted)}, got ${shown(got)}`);
}

/** Deliveries (or other events) in the order they came, and a way to wait for so many of them. */
class Collected {
  constructor() {
    this.items = [];
    this.waiting = [];
    this.push = (item) => {
      this.items.push(item);
      this.waiting = this.waiting.filter(([count, resolve]) => {
        if (this.items.length < count) return true;
        resolve(this.items);
        return false;
      });
    };
  }

  atLeast(count) {
    if (this.items.length >= count) return Promise.resolve(this.items);
    return new Promise((resolve) => this.waiting.push([count, resolve]));
  }
}

/** Runs `use` with a connection and closes it with the handshake afterwards. */
async function connected(uri, use) {
  const connection = await amqplib.connect(uri);
  const failed = new Promise((_, reject) => connection.once('error', reject));
  failed.catch(() => {});
  const result = await Promise.race([use(connection), failed]);
  await connection.close();
  return result;
}

/** Runs `use` with a channel in confirm mode, on a connection of its own. */
function channelOn(uri, use) {
  return connected(uri, async (connection) => use(await connection.createConfirmChannel()));
}

const fresh = (kind) => `interop.amqplib.${kind}.${randomUUID().slice(0, 13)}`;

/** A server-named queue that goes with the connection. */
async function exclusiveQueue(channel) {
  return (await channel.assertQueue('', { exclusive: true })).queue;
}

/** Publishes to a queue and waits for the confirm. */
function confirmed(channel, queue, body, options = {}) {
  return new Promise((resolve, reject) => {
    const settle = (error) => (error ? reject(error) : resolve());
    channel.sendToQueue(queue, Buffer.from(body), options, settle);
  });
}

/**
 * The queue's messages that are ready, asked for with a passive declare. RabbitMQ answers ahead of
 * publishes and acks it still has before it, so that only what was confirmed, or is known from
 * deliveries, may be expected in the answer.
 */
async function ready(channel, queue) {
  return (await channel.checkQueue(queue)).messageCount;
}

/** Takes everything that is ready with basic.get, without acknowledgements. */
async function drain(channel, queue) {
  const bodies = [];
  for (;;) {
    const message = await channel.get(queue, { noAck: true });
    if (message === false) return bodies;
    bodies.push(message.content.toString());
  }
}

/** Publishes once and says which of the named queues got the message. */
async function routed(channel, exchange, queues, routingKey, headers) {
  channel.publish(exchange, routingKey, Buffer.from('routed'), { headers });
  await channel.waitForConfirms();
  const reached = [];
  for (const [name, queue] of Object.entries(queues)) {
    if ((await drain(channel, queue)).length > 0) reached.push(name);
  }
  return reached;
}

async function temporaryExchange(channel, type) {
  const { exchange } = await channel.assertExchange(fresh(type), type, { autoDelete: true });
  return exchange;
}

/** `size` bytes that repeat with no period of a frame. */
function noise(size) {
  const blocks = [];
  for (let n = 0; n < 311; n++) blocks.push(createHash('sha256').update(String(n)).digest());
  return Buffer.alloc(size, Buffer.concat(blocks));
}

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

const scenarios = {
  direct_exchange: (uri) =>
    channelOn(uri, async (channel) => {
      const exchange = await temporaryExchange(channel, 'direct');
      const queues = { red: await exclusiveQueue(channel), blue: await exclusiveQueue(channel) };
      await channel.bindQueue(queues.red, exchange, 'red');
      await channel.bindQueue(queues.blue, exchange, 'blue');
      expect('key red', await routed(channel, exchange, queues, 'red'), ['red']);
      expect('key blue', await routed(channel, exchange, queues, 'blue'), ['blue']);
      expect('key green', await routed(channel, exchange, queues, 'green'), []);
      await channel.unbindQueue(queues.red, exchange, 'red');
      expect('key red, unbound', await routed(channel, exchange, queues, 'red'), []);
    }),

  default_exchange: (uri) =>
    channelOn(uri, async (channel) => {
      const queue = await exclusiveQueue(channel);
      await confirmed(channel, queue, 'by queue name');
      expect('message', await drain(channel, queue), ['by queue name']);
    }),

  fanout_exchange: (uri) =>
    channelOn(uri, async (channel) => {
      const exchange = await temporaryExchange(channel, 'fanout');
      const queues = {};
      for (const name of ['one', 'two', 'three']) {
        queues[name] = await exclusiveQueue(channel);
        await channel.bindQueue(queues[name], exchange, '');
      }
      const got = await routed(channel, exchange, queues, 'whatever');
      expect('queues reached', got, ['one', 'two', 'three']);
    }),

  topic_exchange: (uri) =>
    channelOn(uri, async (channel) => {
      const exchange = await temporaryExchange(channel, 'topic');
      const queues = {};
      for (const pattern of ['stock.*.nyse', 'stock.#', '#.nyse', '#', '*', 'stock.*']) {
        queues[pattern] = await exclusiveQueue(channel);
        await channel.bindQueue(queues[pattern], exchange, pattern);
      }
      const wanted = {
        'stock.usd.nyse': ['stock.*.nyse', 'stock.#', '#.nyse', '#'],
        stock: ['stock.#', '#', '*'],
        'stock.usd': ['stock.#', '#', 'stock.*'],
        'stock.usd.x.nyse': ['stock.#', '#.nyse', '#'],
        nyse: ['#.nyse', '#', '*'],
        // RabbitMQ takes an empty key for no words, so `*` does not match it.
        '': ['#'],
      };
      for (const [key, reached] of Object.entries(wanted)) {
        expect(`key '${key}'`, await routed(channel, exchange, queues, key), reached);
      }
    }),

  headers_exchange: (uri) =>
    channelOn(uri, async (channel) => {
      const exchange = await temporaryExchange(channel, 'headers');
      const queues = {};
      for (const match of ['all', 'any']) {
        queues[match] = await exclusiveQueue(channel);
        const wanted = { 'x-match': match, format: 'pdf', pages: 2 };
        await channel.bindQueue(queues[match], exchange, '', wanted);
      }
      for (const [headers, reached] of [
        [{ format: 'pdf', pages: 2 }, ['all', 'any']],
        [{ format: 'pdf', pages: 3 }, ['any']],
        [{ format: 'zip', pages: 3 }, []],
        [undefined, []],
      ]) {
        const got = await routed(channel, exchange, queues, '', headers);
        expect(`headers ${inspect(headers)}`, got, reached);
      }
    }),

  confirms_one_by_one: (uri) =>
    channelOn(uri, async (channel) => {
      const queue = await exclusiveQueue(channel);
      for (let number = 0; number < 100; number++) {
        await confirmed(channel, queue, String(number));
        expect('ready after a confirm', await ready(channel, queue), number + 1);
      }
    }),

  confirms_in_bulk: (uri) =>
    channelOn(uri, async (channel) => {
      const queue = await exclusiveQueue(channel);
      let nacks = 0;
      let acks = 0;
      for (let number = 0; number < 5000; number++) {
        const settle = (error) => (error ? nacks++ : acks++);
        channel.sendToQueue(queue, Buffer.from(String(number)), {}, settle);
      }
      await channel.waitForConfirms();
      expect('acks and nacks', [acks, nacks], [5000, 0]);
      expect('ready after the confirms', await ready(channel, queue), 5000);
    }),

  mandatory_publish_is_returned_before_its_confirm: (uri) =>
    channelOn(uri, async (channel) => {
      const queue = await exclusiveQueue(channel);
      const missing = fresh('nowhere');
      const events = new Collected();
      channel.on('return', (message) => events.push(message));
      const publish = (target, body, options) =>
        channel.sendToQueue(target, Buffer.from(body), options, (error) =>
          events.push(error ? `nack ${body}` : `ack ${body}`),
        );
      publish(queue, 'routed', { mandatory: true });
      await channel.waitForConfirms();
      publish(missing, 'unrouted', { mandatory: true, correlationId: 'c-1', headers: { k: 'v' } });
      await channel.waitForConfirms();
      publish(missing, 'dropped', {});
      await channel.waitForConfirms();
      const [first, returned, ...rest] = events.items;
      expect('a routed publish', first, 'ack routed');
      expect('replyCode', returned?.fields?.replyCode, 312);
      expect('replyText', returned.fields.replyText, 'NO_ROUTE');
      expect('routing key', returned.fields.routingKey, missing);
      expect('body', returned.content.toString(), 'unrouted');
      expect('correlation id', returned.properties.correlationId, 'c-1');
      expect('headers', returned.properties.headers, { k: 'v' });
      expect('after the return', rest, ['ack unrouted', 'ack dropped']);
    }),

  manual_acks: (uri) =>
    connected(uri, async (connection) => {
      const channel = await connection.createChannel();
      const queue = await exclusiveQueue(channel);
      for (let number = 0; number < 6; number++) {
        channel.sendToQueue(queue, Buffer.from(String(number)));
      }
      const first = new Collected();
      await channel.consume(queue, first.push);
      const got = await first.atLeast(6);
      const bodies = (messages) => messages.map((message) => message.content.toString());
      const redelivered = (messages) => messages.map((message) => message.fields.redelivered);
      expect('bodies', bodies(got), ['0', '1', '2', '3', '4', '5']);
      expect('redelivered', redelivered(got), Array(6).fill(false));
      channel.ack(got[2], true);
      channel.ack(got[4]);
      await channel.close();
      // What was not acknowledged goes back to the queue with its channel, in its place.
      const second = await connection.createChannel();
      const again = new Collected();
      await second.consume(queue, again.push);
      const back = await again.atLeast(2);
      expect('back in the queue', bodies(back), ['3', '5']);
      expect('redelivered', redelivered(back), [true, true]);
      second.ackAll();
      await second.close();
      expect('left over', await drain(await connection.createChannel(), queue), []);
    }),

  nack_and_reject: (uri) =>
    channelOn(uri, async (channel) => {
      const queue = await exclusiveQueue(channel);
      const messages = {};
      for (const body of ['a', 'b', 'c', 'd']) await confirmed(channel, queue, body);
      for (const body of ['a', 'b', 'c', 'd']) {
        messages[body] = await channel.get(queue);
        expect('body', messages[body].content.toString(), body);
        expect('redelivered at first', messages[body].fields.redelivered, false);
      }
      channel.nack(messages.a, false, true);
      channel.reject(messages.b, true);
      channel.nack(messages.c, false, false);
      channel.reject(messages.d, false);
      const again = [await channel.get(queue), await channel.get(queue)];
      const seen = again.map(({ content, fields }) => [content.toString(), fields.redelivered]);
      expect('requeued', seen, [['a', true], ['b', true]]);
      channel.nackAll(false);
      expect('left over', await drain(channel, queue), []);
    }),

  recover: (uri) =>
    channelOn(uri, async (channel) => {
      const queue = await exclusiveQueue(channel);
      await confirmed(channel, queue, 'once more');
      const got = new Collected();
      await channel.consume(queue, got.push);
      await got.atLeast(1);
      await channel.recover();
      const redelivered = (await got.atLeast(2)).map((message) => message.fields.redelivered);
      expect('redelivered', redelivered, [false, true]);
      channel.ack(got.items[1]);
    }),

  prefetch: (uri) =>
    channelOn(uri, async (channel) => {
      const queue = await exclusiveQueue(channel);
      for (let number = 0; number < 30; number++) channel.sendToQueue(queue, Buffer.from('x'));
      await channel.waitForConfirms();
      await channel.prefetch(10);
      const got = new Collected();
      await channel.consume(queue, got.push);
      await got.atLeast(10);
      expect('ready behind ten unacknowledged', await ready(channel, queue), 20);
      channel.ack(got.items[0]);
      await got.atLeast(11);
      expect('ready after one ack', await ready(channel, queue), 19);
      channel.ack(got.items[10], true);
      await got.atLeast(21);
      expect('ready after ten more acks', await ready(channel, queue), 9);
      expect('deliveries', got.items.length, 21);
    }),

  bodies_of_all_sizes: (uri) =>
    channelOn(uri, async (channel) => {
      const queue = await exclusiveQueue(channel);
      const frame = channel.connection.frameMax - 8;
      const sizes = [0, 1, frame - 1, frame, frame + 1, 2 * frame, 1 << 20, 10 << 20, 0];
      for (const size of sizes) await confirmed(channel, queue, noise(size));
      for (const size of sizes) {
        const message = await channel.get(queue, { noAck: true });
        expect(`a message of ${size} bytes`, message !== false, true);
        expect('size', message.content.length, size);
        expect(`hash of ${size} bytes`, sha256(message.content), sha256(noise(size)));
      }
    }),

  properties_and_headers: (uri) =>
    channelOn(uri, async (channel) => {
      const typed = (type, value) => ({ '!': type, value });
      const timestamp = typed('timestamp', 1614834367);
      const decimal = typed('decimal', { places: 3, digits: 12345 });
      // Header by header: what is sent, and what amqplib makes of it when it comes back.
      const array = [1, 'two', null, [true, []], { in: 'array' }];
      const nested = { deep: { deeper: { deepest: [1] } }, empty: {} };
      const table = {
        string: ['h\u00e9llo \u732b', 'h\u00e9llo \u732b'],
        emptyString: ['', ''],
        bytes: [Buffer.from([0, 255, 128]), Buffer.from([0, 255, 128])],
        yes: [true, true],
        no: [false, false],
        int8: [-128, -128],
        uint8: [typed('uint8', 255), 255],
        int16: [-32768, -32768],
        uint16: [typed('uint16', 65535), 65535],
        int32: [-2147483648, -2147483648],
        uint32: [typed('uint32', 4294967295), 4294967295],
        int64: [-(2 ** 53), -(2 ** 53)],
        double: [0.1, 0.1],
        float: [typed('float', 1.5), 1.5],
        decimal: [decimal, decimal],
        timestamp: [timestamp, timestamp],
        nothing: [null, null],
        array: [array, array],
        table: [nested, nested],
      };
      const column = (place) =>
        Object.fromEntries(Object.entries(table).map(([key, pair]) => [key, pair[place]]));
      const properties = {
        contentType: 'application/json',
        contentEncoding: 'utf-8',
        deliveryMode: 2,
        priority: 7,
        correlationId: 'correlation',
        replyTo: 'reply',
        expiration: '60000',
        messageId: 'message',
        timestamp: 1614834367,
        type: 'type',
        userId: decodeURIComponent(new URL(uri).username),
        appId: 'app',
      };
      const queue = await exclusiveQueue(channel);
      const got = new Collected();
      await channel.consume(queue, got.push, { noAck: true });
      await confirmed(channel, queue, 'all', { ...properties, headers: column(0) });
      await confirmed(channel, queue, 'none');
      const [all, none] = await got.atLeast(2);
      for (const [name, value] of Object.entries(properties)) {
        expect(`property ${name}`, all.properties[name], value);
      }
      for (const [key, value] of Object.entries(column(1))) {
        expect(`header ${key}`, all.properties.headers[key], value);
      }
      expect('headers', Object.keys(all.properties.headers).sort(), Object.keys(table).sort());
      for (const name of Object.keys(properties)) {
        expect(`no property ${name}`, none.properties[name], undefined);
      }
    }),

  hundred_channels: (uri) =>
    connected(uri, async (connection) => {
      const opened = Array.from({ length: 100 }, () => connection.createChannel());
      const channels = await Promise.all(opened);
      const queues = await Promise.all(channels.map(exclusiveQueue));
      const got = new Collected();
      const consume = (channel, number) => {
        const note = ({ content }) => got.push([number, content.toString()]);
        return channel.consume(queues[number], note, { noAck: true });
      };
      await Promise.all(channels.map(consume));
      channels.forEach((channel, number) => {
        channel.sendToQueue(queues[(number + 1) % 100], Buffer.from(`from ${number}`));
      });
      const deliveries = new Map(await got.atLeast(100));
      for (let number = 0; number < 100; number++) {
        const wanted = `from ${(number + 99) % 100}`;
        expect(`delivery on channel ${number}`, deliveries.get(number), wanted);
      }
      await Promise.all(channels.filter((_, number) => number % 2 === 0).map((c) => c.close()));
      expect('a channel whose neighbours closed', await ready(channels[1], queues[1]), 0);
      await (await connection.createChannel()).close();
    }),

  twenty_thousand_in_order: (uri) =>
    connected(uri, (publishing) =>
      connected(uri, async (consuming) => {
        const total = 20000;
        const consumer = await consuming.createChannel();
        const queue = await exclusiveQueue(consumer);
        const publisher = await publishing.createChannel();
        const exchange = await temporaryExchange(consumer, 'fanout');
        await consumer.bindQueue(queue, exchange, '');
        await consumer.prefetch(500);
        const got = new Collected();
        await consumer.consume(queue, (message) => {
          if (message.fields.deliveryTag % 100 === 0) consumer.ack(message, true);
          got.push(Number(message.content));
        });
        for (let number = 0; number < total; number++) {
          const room = publisher.publish(exchange, '', Buffer.from(String(number)));
          if (!room) await once(publisher, 'drain');
        }
        const numbers = await got.atLeast(total);
        const wrong = numbers.filter((number, place) => number !== place);
        expect('messages out of their place', wrong.slice(0, 5), []);
        await consumer.close();
        expect('left over', await drain(await consuming.createChannel(), queue), []);
      }),
    ),

  consumer_cancel: (uri) =>
    channelOn(uri, async (channel) => {
      const queue = await exclusiveQueue(channel);
      const got = new Collected();
      const { consumerTag } = await channel.consume(queue, got.push, { noAck: true });
      await confirmed(channel, queue, 'before');
      await got.atLeast(1);
      const cancelled = await channel.cancel(consumerTag);
      expect('cancel-ok', cancelled, { consumerTag });
      await confirmed(channel, queue, 'after');
      const state = await channel.checkQueue(queue);
      expect('state', state, { queue, messageCount: 1, consumerCount: 0 });
      expect('deliveries', got.items.length, 1);
    }),

  queue_delete_cancels_the_consumer: (uri) =>
    connected(uri, async (connection) => {
      const consumer = await connection.createChannel();
      const queue = await exclusiveQueue(consumer);
      const got = new Collected();
      await consumer.consume(queue, got.push);
      await (await connection.createChannel()).deleteQueue(queue);
      // amqplib's word for basic.cancel from the broker is a message that is null.
      expect('notification', await got.atLeast(1), [null]);
      await exclusiveQueue(consumer);
    }),

  passive_declare_of_a_missing_queue: (uri) =>
    connected(uri, async (connection) => {
      const missing = fresh('missing');
      const channel = await connection.createChannel();
      const errored = once(channel, 'error');
      const refused = await channel.checkQueue(missing).then(
        () => 'declare-ok',
        (error) => error.message,
      );
      const text = `404 (NOT-FOUND) with message "NOT_FOUND - no queue '${missing}' in vhost '/'"`;
      expect('refused', refused, `Operation failed: QueueDeclare; ${text}`);
      const [error] = await errored;
      expect('error event', [error.code, error.classId, error.methodId], [404, 50, 10]);
      await (await connection.createChannel()).close();
    }),

  queue_purge_and_delete: (uri) =>
    channelOn(uri, async (channel) => {
      const queue = await exclusiveQueue(channel);
      for (const body of ['a', 'b', 'c']) await confirmed(channel, queue, body);
      expect('purged', await channel.purgeQueue(queue), { messageCount: 3 });
      await confirmed(channel, queue, 'd');
      expect('deleted with', await channel.deleteQueue(queue), { messageCount: 1 });
    }),

  connection_close: (uri) =>
    connected(uri, async (observing) => {
      const connection = await amqplib.connect(uri);
      const queue = await exclusiveQueue(await connection.createChannel());
      const closed = once(connection, 'close');
      await connection.close();
      await closed;
      const observer = await observing.createChannel();
      observer.on('error', () => {});
      const error = await observer.checkQueue(queue).then(
        () => undefined,
        (refused) => refused,
      );
      expect('the exclusive queue of the closed connection', error?.code, 404);
    }),
};

/** Runs one scenario against the clock; amqplib has no deadline of its own. */
async function run(name, uri) {
  let timer;
  const deadline = new Promise((_, reject) => {
    const late = () => reject(new Unexpected(`not finished after ${SCENARIO_SECS} s`));
    timer = setTimeout(late, SCENARIO_SECS * 1000);
  });
  try {
    await Promise.race([scenarios[name](uri), deadline]);
  } finally {
    clearTimeout(timer);
  }
}

async function main([uri, ...named]) {
  const unknown = named.filter((name) => !(name in scenarios));
  if (!uri || unknown.length > 0) {
    console.error(`usage: node interop.js URI [SCENARIO...]; unknown: ${unknown.join(', ')}`);
    return 2;
  }
  for (const name of named.length > 0 ? named : Object.keys(scenarios)) {
    try {
      await run(name, uri);
    } catch (error) {
      const report = error instanceof Unexpected ? error.message : error.stack;
      console.log(`FAILED ${name}: ${report}`);
      return 1;
    }
    console.log(`ok ${name}`);
  }
  return 0;
}

main(process.argv.slice(2)).then((code) => process.exit(code));
