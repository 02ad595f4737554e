'use strict';
/* What the flows of `tests/tests/interop/flow.rs` share: talking with the test, waiting, comparing. */

const readline = require('node:readline');
const { isDeepStrictEqual, inspect } = require('node:util');

const WAIT_MS = 60_000;

const answers = [];
const asked = [];
readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const next = asked.shift();
  if (next) next(line);
  else answers.push(line);
});

/** Has something done to the broker. */
async function ask(wanted) {
  console.log(`do ${wanted}`);
  const answer = answers.length ? answers.shift() : await new Promise((resolve) => asked.push(resolve));
  expect(wanted, answer, 'done');
}

function expect(what, got, wanted) {
  if (!isDeepStrictEqual(got, wanted)) {
    throw new Error(`${what}: expected ${inspect(wanted)}, got ${inspect(got)}`);
  }
}

function late(what) {
  return new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`not in time: ${what}`)), WAIT_MS).unref();
  });
}

/** Tries again and again until it does not fail. */
async function until(what, attempt) {
  const end = Date.now() + WAIT_MS;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > end) throw new Error(`not in time: ${what}: ${error}`);
    }
  }
}

/** What comes, in its order. */
class Came {
  constructor() {
    this.items = [];
    this.takers = [];
  }

  push(item) {
    const taker = this.takers.shift();
    if (taker) taker(item);
    else this.items.push(item);
  }

  next() {
    if (this.items.length) return Promise.resolve(this.items.shift());
    const coming = new Promise((resolve) => this.takers.push(resolve));
    return Promise.race([coming, late('something that comes')]);
  }

  waiting() {
    return this.items.length;
  }
}

/** Runs a flow with the arguments of the command line. */
function flow(run) {
  run(...process.argv.slice(2)).then(
    () => {
      console.log('ok flow');
      process.exit(0);
    },
    (error) => {
      console.error(error);
      process.exit(1);
    },
  );
}

module.exports = { ask, Came, expect, flow, until };
