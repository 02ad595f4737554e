# The flow of `tests/tests/interop/flow.rs`, with bunny: `ruby flow.rb AMQP AMQPS CA_FILE`.

require "bunny"
require "timeout"

WAIT = 60

# Has something done to the broker.
def ask(wanted)
  puts "do #{wanted}"
  $stdout.flush
  expect(wanted, $stdin.gets, "done\n")
end

def expect(what, got, wanted)
  abort "#{what}: expected #{wanted.inspect}, got #{got.inspect}" unless got == wanted
end

def soon(queue)
  Timeout.timeout(WAIT) { queue.pop }
end

def publish(exchange, key, body)
  exchange.publish(body, routing_key: key, persistent: true, mandatory: true)
end

def declare_bind_confirm_return(channel)
  exchange = channel.topic("flow", durable: true)
  queue = channel.queue("flow", durable: true)
  queue.bind(exchange, routing_key: "a.#")
  channel.confirm_select
  returned = Queue.new
  exchange.on_return { |info, _, _| returned << info.reply_code }
  10.times { |number| publish(exchange, "a.b", number.to_s) }
  publish(exchange, "nowhere", "x")
  expect("confirms", channel.wait_for_confirms, true)
  expect("reply code", soon(returned), 312)
  [exchange, queue]
end

def prefetch_reject_cancel(channel, queue)
  channel.prefetch(2)
  came = Queue.new
  consumer = queue.subscribe(manual_ack: true) { |info, _, body| came << [info, body] }
  first, second = soon(came), soon(came)
  expect("bodies", [first[1], second[1]], ["0", "1"])
  queue.message_count
  expect("deliveries beyond the prefetch", came.size, 0)
  channel.reject(first[0].delivery_tag, true)
  again = soon(came)
  expect("the rejected one", [again[1], again[0].redelivered?], ["0", true])
  consumer.cancel
  channel.ack(second[0].delivery_tag)
  channel.ack(again[0].delivery_tag)
  expect("messages left", queue.message_count, 8)
end

def kill(channel, exchange, recovered)
  publish(exchange, "a.b", "last")
  expect("confirms", channel.wait_for_confirms, true)
  ask("kill")
  soon(recovered)
  queue = channel.queue("flow", durable: true)
  bodies = []
  while (body = queue.pop[2])
    bodies << body
  end
  expect("what is there after the kill", bodies, ("2".."9").to_a + ["last"])
end

def block(connection)
  told = Queue.new
  connection.on_blocked { |blocked| told << blocked.reason }
  connection.on_unblocked { |_| told << "unblocked" }
  channel = connection.create_channel
  ask("block")
  channel.default_exchange.publish("x", routing_key: "nowhere")
  expect("blocked", soon(told), "low on memory")
  ask("unblock")
  expect("unblocked", soon(told), "unblocked")
end

def encrypted(uri, authority)
  connection = Bunny.new(uri, tls: true, tls_ca_certificates: [authority], verify_peer: true)
  connection.start
  channel = connection.create_channel
  queue = channel.queue("", exclusive: true)
  channel.confirm_select
  body = "x" * 1_000_000
  channel.default_exchange.publish(body, routing_key: queue.name)
  expect("confirms", channel.wait_for_confirms, true)
  expect("body over TLS", queue.pop[2] == body, true)
  connection.close
end

recovered = Queue.new
options = { network_recovery_interval: 0.5, recovery_completed: -> { recovered << true } }
connection = Bunny.new(ARGV[0], options)
connection.start
channel = connection.create_channel
exchange, queue = declare_bind_confirm_return(channel)
prefetch_reject_cancel(channel, queue)
kill(channel, exchange, recovered)
block(connection)
connection.close
encrypted(ARGV[1], ARGV[2])
puts "ok flow"
