'use strict';
/* The flow of `tests/tests/interop/flow.rs`, with amqplib: `node flow_amqplib.js AMQP AMQPS CA_FILE`. */

const amqplib = require('amqplib');
const { ask, Came, expect, flow, until } = require('./flow');
const { readFileSync } = require('node:fs');

async function bodies(channel, queue) {
  const found = [];
  for (let message; (message = await channel.get(queue, { noAck: true })); ) found.push(message.content.toString());
  return found;
}

async function declareBindConfirmReturn(channel) {
  await channel.assertExchange('flow', 'topic', { durable: true });
  await channel.assertQueue('flow', { durable: true });
  await channel.bindQueue('flow', 'flow', 'a.#');
  const returned = new Came();
  channel.on('return', (message) => returned.push(message.fields.replyCode));
  for (let number = 0; number < 10; number += 1) {
    channel.publish('flow', 'a.b', Buffer.from(String(number)), { persistent: true });
  }
  channel.publish('flow', 'nowhere', Buffer.from('x'), { mandatory: true });
  await channel.waitForConfirms();
  expect('reply code', await returned.next(), 312);
}

async function prefetchRejectCancel(channel) {
  await channel.prefetch(2);
  const came = new Came();
  const { consumerTag } = await channel.consume('flow', (message) => came.push(message));
  const [first, second] = [await came.next(), await came.next()];
  expect('bodies', [first.content.toString(), second.content.toString()], ['0', '1']);
  await channel.checkQueue('flow');
  expect('deliveries beyond the prefetch', came.waiting(), 0);
  channel.reject(first, true);
  const again = await came.next();
  expect('the rejected one', [again.content.toString(), again.fields.redelivered], ['0', true]);
  await channel.cancel(consumerTag);
  channel.ack(second);
  channel.ack(again);
  expect('messages left', (await channel.checkQueue('flow')).messageCount, 8);

  const { queue } = await channel.assertQueue('', { exclusive: true });
  const lost = new Came();
  await channel.consume(queue, (message) => lost.push(message));
  await channel.deleteQueue(queue);
  // A cancel of the broker comes as null.
  expect('cancelled', await lost.next(), null);
}

async function kill(uri, channel) {
  channel.publish('flow', 'a.b', Buffer.from('last'), { persistent: true });
  await channel.waitForConfirms();
  await ask('kill');
  const connection = await until('connected again', () => amqplib.connect(uri));
  const wanted = ['2', '3', '4', '5', '6', '7', '8', '9', 'last'];
  expect('what is there after the kill', await bodies(await connection.createChannel(), 'flow'), wanted);
  return connection;
}

async function block(connection) {
  const told = new Came();
  connection.on('blocked', (reason) => told.push(reason));
  connection.on('unblocked', () => told.push('unblocked'));
  const channel = await connection.createChannel();
  await ask('block');
  channel.publish('', 'nowhere', Buffer.from('x'));
  expect('blocked', await told.next(), 'low on memory');
  await ask('unblock');
  expect('unblocked', await told.next(), 'unblocked');
}

async function encrypted(uri, authority) {
  const connection = await amqplib.connect(uri, { ca: [readFileSync(authority)] });
  const channel = await connection.createConfirmChannel();
  const { queue } = await channel.assertQueue('', { exclusive: true });
  const body = 'x'.repeat(1_000_000);
  channel.sendToQueue(queue, Buffer.from(body));
  await channel.waitForConfirms();
  expect('body over TLS', (await bodies(channel, queue))[0] === body, true);
  await connection.close();
}

flow(async (plain, overTls, authority) => {
  const first = await amqplib.connect(plain);
  first.on('error', () => {});
  const channel = await first.createConfirmChannel();
  channel.on('error', () => {});
  await declareBindConfirmReturn(channel);
  await prefetchRejectCancel(channel);
  const connection = await kill(plain, channel);
  await block(connection);
  await connection.close();
  await encrypted(overTls, authority);
});
