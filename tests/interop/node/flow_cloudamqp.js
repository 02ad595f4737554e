'use strict';
/* The flow of `tests/tests/interop/flow.rs`, with @cloudamqp/amqp-client: `node flow_cloudamqp.js AMQP AMQPS CA_FILE`. */

const { AMQPClient } = require('@cloudamqp/amqp-client');
const { ask, Came, expect, flow, until } = require('./flow');
const { readFileSync } = require('node:fs');

const persistent = { deliveryMode: 2 };

async function bodies(channel, queue) {
  const found = [];
  for (let message; (message = await channel.basicGet(queue, { noAck: true })); ) found.push(message.bodyString());
  return found;
}

async function declareBindConfirmReturn(channel) {
  await channel.exchangeDeclare('flow', 'topic', { durable: true });
  await channel.queueDeclare('flow', { durable: true });
  await channel.queueBind('flow', 'flow', 'a.#');
  await channel.confirmSelect();
  const returned = new Came();
  channel.onReturn = (message) => returned.push(message.replyCode);
  for (let number = 0; number < 10; number += 1) {
    await channel.basicPublish('flow', 'a.b', String(number), persistent);
  }
  await channel.basicPublish('flow', 'nowhere', 'x', {}, true);
  expect('reply code', await returned.next(), 312);
}

async function prefetchRejectCancel(channel) {
  await channel.basicQos(2);
  const came = new Came();
  const consumer = await channel.basicConsume('flow', { noAck: false }, (message) => came.push(message));
  const [first, second] = [await came.next(), await came.next()];
  expect('bodies', [first.bodyString(), second.bodyString()], ['0', '1']);
  await channel.queueDeclare('flow', { passive: true });
  expect('deliveries beyond the prefetch', came.waiting(), 0);
  await first.reject(true);
  const again = await came.next();
  expect('the rejected one', [again.bodyString(), again.redelivered], ['0', true]);
  await consumer.cancel();
  await second.ack();
  await again.ack();
  expect('messages left', (await channel.queueDeclare('flow', { passive: true })).messageCount, 8);
}

async function kill(uri, channel) {
  await channel.basicPublish('flow', 'a.b', 'last', persistent);
  await ask('kill');
  const client = await until('connected again', async () => {
    const again = new AMQPClient(uri);
    await again.connect();
    return again;
  });
  const wanted = ['2', '3', '4', '5', '6', '7', '8', '9', 'last'];
  expect('what is there after the kill', await bodies(await client.channel(), 'flow'), wanted);
  return client;
}

async function block(client) {
  const told = new Came();
  client.onblocked = (reason) => told.push(reason);
  client.onunblocked = () => told.push('unblocked');
  const channel = await client.channel();
  await ask('block');
  // The client keeps publishers waiting from then on.
  channel.basicPublish('', 'nowhere', 'x').catch(() => {});
  expect('blocked', await told.next(), 'low on memory');
  await ask('unblock');
  expect('unblocked', await told.next(), 'unblocked');
}

async function encrypted(uri, authority) {
  const client = new AMQPClient(uri, { ca: readFileSync(authority) });
  await client.connect();
  const channel = await client.channel();
  const { name } = await channel.queueDeclare('', { exclusive: true });
  const body = 'x'.repeat(1_000_000);
  await channel.confirmSelect();
  await channel.basicPublish('', name, body);
  expect('body over TLS', (await bodies(channel, name))[0] === body, true);
  await client.close();
}

flow(async (plain, overTls, authority) => {
  const first = new AMQPClient(plain);
  first.onerror = () => {};
  await first.connect();
  const channel = await first.channel();
  await declareBindConfirmReturn(channel);
  await prefetchRejectCancel(channel);
  const client = await kill(plain, channel);
  await block(client);
  await client.close();
  await encrypted(overTls, authority);
});
