<?php
// The flow of `tests/tests/interop/flow.rs`, with php-amqplib: `php flow.php AMQP AMQPS CA_FILE`.

require_once 'PhpAmqpLib/autoload.php';

use PhpAmqpLib\Connection\AMQPSSLConnection;
use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Message\AMQPMessage;

const WAIT = 60;

// Has something done to the broker.
function ask($wanted)
{
    echo "do $wanted\n";
    expect($wanted, fgets(STDIN), "done\n");
}

function expect($what, $got, $wanted)
{
    if ($got !== $wanted) {
        fwrite(STDERR, "$what: expected " . json_encode($wanted) . ', got ' . json_encode($got) . "\n");
        exit(1);
    }
}

function connect($uri)
{
    $at = parse_url($uri);
    return new AMQPStreamConnection($at['host'], $at['port'], $at['user'], $at['pass'], '/');
}

function persistent($body)
{
    return new AMQPMessage($body, ['delivery_mode' => AMQPMessage::DELIVERY_MODE_PERSISTENT]);
}

function until($wait, $is_so)
{
    $end = time() + WAIT;
    while (!$is_so()) {
        expect('in time', time() < $end, true);
        $wait();
    }
}

function declare_bind_confirm_return($channel)
{
    $channel->exchange_declare('flow', 'topic', false, true, false);
    $channel->queue_declare('flow', false, true, false, false);
    $channel->queue_bind('flow', 'flow', 'a.#');
    $channel->confirm_select();
    $acked = 0;
    $returned = [];
    $channel->set_ack_handler(function () use (&$acked) {
        $acked++;
    });
    $channel->set_return_listener(function ($code) use (&$returned) {
        $returned[] = $code;
    });
    for ($number = 0; $number < 10; $number++) {
        $channel->basic_publish(persistent("$number"), 'flow', 'a.b', true);
    }
    $channel->basic_publish(persistent('x'), 'flow', 'nowhere', true);
    $channel->wait_for_pending_acks_returns(WAIT);
    expect('acks and returns', [$acked, $returned], [11, [312]]);
}

function prefetch_reject_cancel($channel)
{
    $channel->basic_qos(0, 2, false);
    $came = [];
    $channel->basic_consume('flow', 'tag', false, false, false, false, function ($message) use (&$came) {
        $came[] = $message;
    });
    $wait = function () use ($channel) {
        $channel->wait(null, false, WAIT);
    };
    until($wait, function () use (&$came) {
        return count($came) >= 2;
    });
    $channel->queue_declare('flow', true);
    expect('deliveries', [count($came), $came[0]->getBody(), $came[1]->getBody()], [2, '0', '1']);
    $came[0]->reject(true);
    until($wait, function () use (&$came) {
        return count($came) >= 3;
    });
    expect('the rejected one', [$came[2]->getBody(), $came[2]->isRedelivered()], ['0', true]);
    $channel->basic_cancel('tag');
    $came[1]->ack();
    $came[2]->ack();
    expect('messages left', $channel->queue_declare('flow', true)[1], 8);
}

function bodies($channel, $queue)
{
    $bodies = [];
    while ($message = $channel->basic_get($queue, true)) {
        $bodies[] = $message->getBody();
    }
    return $bodies;
}

function kill($uri, $channel)
{
    $channel->basic_publish(persistent('last'), 'flow', 'a.b');
    $channel->wait_for_pending_acks(WAIT);
    ask('kill');
    $end = time() + WAIT;
    while (true) {
        try {
            $connection = connect($uri);
            break;
        } catch (Exception $error) {
            expect('connected in time', time() < $end, true);
        }
    }
    $wanted = ['2', '3', '4', '5', '6', '7', '8', '9', 'last'];
    expect('what is there after the kill', bodies($connection->channel(), 'flow'), $wanted);
    return $connection;
}

function block($connection)
{
    $told = [];
    $connection->set_connection_block_handler(function ($reason) use (&$told) {
        $told[] = $reason;
    });
    $connection->set_connection_unblock_handler(function () use (&$told) {
        $told[] = 'unblocked';
    });
    $channel = $connection->channel();
    $wait = function () use ($connection) {
        $connection->wait(null, false, WAIT);
    };
    ask('block');
    $channel->basic_publish(new AMQPMessage('x'), '', 'nowhere');
    until($wait, function () use (&$told) {
        return count($told) >= 1;
    });
    ask('unblock');
    until($wait, function () use (&$told) {
        return count($told) >= 2;
    });
    expect('blocked and unblocked', $told, ['low on memory', 'unblocked']);
}

function encrypted($uri, $authority)
{
    $at = parse_url($uri);
    $options = ['cafile' => $authority, 'verify_peer' => true];
    $connection = new AMQPSSLConnection($at['host'], $at['port'], $at['user'], $at['pass'], '/', $options);
    $channel = $connection->channel();
    list($queue) = $channel->queue_declare('', false, false, true);
    $body = str_repeat('x', 1000000);
    $channel->confirm_select();
    $channel->basic_publish(new AMQPMessage($body), '', $queue);
    $channel->wait_for_pending_acks(WAIT);
    expect('body over TLS', bodies($channel, $queue) === [$body], true);
    $connection->close();
}

list(, $plain, $over_tls, $authority) = $argv;
$channel = connect($plain)->channel();
declare_bind_confirm_return($channel);
prefetch_reject_cancel($channel);
$connection = kill($plain, $channel);
block($connection);
$connection->close();
encrypted($over_tls, $authority);
echo "ok flow\n";
