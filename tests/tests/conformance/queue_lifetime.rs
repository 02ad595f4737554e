//! Queues that end by themselves: exclusive, auto-delete, and `x-expires`.

use std::time::{Duration, Instant};

use amq_protocol::protocol::{basic, exchange, queue};
use leveret_tests::client::{Channel, Connection, Method, table, unique};

fn passive(name: &str) -> queue::Declare {
    queue::Declare {
        queue: name.into(),
        passive: true,
        ..Default::default()
    }
}

fn not_found(name: &str) -> String {
    format!("NOT_FOUND - no queue '{name}' in vhost '/'")
}

fn auto_delete_queue(channel: &Channel) -> String {
    let name = unique("auto");
    let declare = queue::Declare {
        queue: name.as_str().into(),
        auto_delete: true,
        ..Default::default()
    };
    channel.call(declare);
    name
}

#[test]
fn an_exclusive_queue_is_locked_to_other_connections() {
    let owner = Connection::open().channel(1);
    let name = unique("exclusive");
    owner.call(queue::Declare {
        queue: name.as_str().into(),
        exclusive: true,
        ..Default::default()
    });
    owner.bind(&name, "amq.direct", "");
    let queue = || name.as_str().into();
    let other = Connection::open().channel(1);
    let operations = [
        queue::Declare {
            queue: queue(),
            exclusive: true,
            ..Default::default()
        }
        .into_class(),
        passive(&name).into_class(),
        queue::Bind {
            queue: queue(),
            exchange: "amq.direct".into(),
            ..Default::default()
        }
        .into_class(),
        queue::Unbind {
            queue: queue(),
            exchange: "amq.direct".into(),
            ..Default::default()
        }
        .into_class(),
        queue::Purge {
            queue: queue(),
            nowait: false,
        }
        .into_class(),
        queue::Delete {
            queue: queue(),
            ..Default::default()
        }
        .into_class(),
        basic::Get {
            queue: queue(),
            no_ack: false,
        }
        .into_class(),
        basic::Consume {
            queue: queue(),
            ..Default::default()
        }
        .into_class(),
    ];
    let text = format!(
        "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{name}' in vhost '/'. \
         It could be originally declared on another connection or the exclusive property value \
         does not match that of the original declaration."
    );
    for operation in operations {
        other.fails_class(&operation, 405, &text[..text.len().min(255)]);
        other.reopen();
    }
}

#[test]
fn an_exclusive_queue_can_be_published_to_by_anyone() {
    let owner = Connection::open().channel(1);
    let name = owner.queue();
    Connection::open()
        .channel(1)
        .publish("", &name, "from outside");
    owner.await_ready(&name, 1);
}

#[test]
fn an_exclusive_queue_is_shared_by_the_channels_of_its_connection() {
    let connection = Connection::open();
    let name = connection.channel(1).queue();
    let two = connection.channel(2);
    two.consume_no_ack(&name);
    two.publish("", &name, "shared");
    assert_eq!(two.deliver().text(), "shared");
}

#[test]
fn an_exclusive_queue_outlives_its_channel() {
    let connection = Connection::open();
    let one = connection.channel(1);
    let name = one.queue();
    one.close();
    connection.channel(2).inspect(&name);
}

#[test]
fn an_exclusive_queue_goes_with_a_lost_connection() {
    let owner = Connection::open();
    let name = owner.channel(1).queue();
    owner.cut();
    Connection::open().channel(1).await_queue_gone(&name);
}

#[test]
fn an_auto_delete_queue_stays_before_its_first_consumer() {
    let connection = Connection::open();
    let name = auto_delete_queue(&connection.channel(1));
    connection.close();
    let channel = Connection::open().channel(1);
    channel.fill(&name, &["got"]);
    channel.take(&name);
    channel.inspect(&name);
    channel.call(queue::Delete {
        queue: name.as_str().into(),
        ..Default::default()
    });
}

#[test]
fn an_auto_delete_queue_goes_with_its_last_consumers_cancel() {
    let channel = Connection::open().channel(1);
    let name = auto_delete_queue(&channel);
    let (one, two) = (channel.consume(&name), channel.consume(&name));
    channel.cancel(&one);
    channel.inspect(&name);
    channel.cancel(&two);
    channel.await_queue_gone(&name);
}

#[test]
fn an_auto_delete_queue_goes_with_its_last_consumers_channel() {
    let connection = Connection::open();
    let (one, two) = (connection.channel(1), connection.channel(2));
    let name = auto_delete_queue(&one);
    two.consume(&name);
    two.close();
    one.await_queue_gone(&name);
}

#[test]
fn an_auto_delete_queue_goes_with_its_last_consumers_connection() {
    let channel = Connection::open().channel(1);
    // Asking while the queue goes must do no harm, at whatever moment.
    for _ in 0..20 {
        let name = auto_delete_queue(&channel);
        let consumer = Connection::open();
        consumer.channel(1).consume(&name);
        consumer.cut();
        channel.await_queue_gone(&name);
    }
}

#[test]
fn an_auto_delete_queue_goes_with_messages_in_it() {
    let channel = Connection::open().channel(1);
    let name = auto_delete_queue(&channel);
    channel.fill(&name, &["left behind"]);
    let consumer = channel.connection().channel(2);
    let tag = consumer.consume(&name);
    consumer.deliver();
    consumer.cancel(&tag);
    channel.await_queue_gone(&name);
}

#[test]
fn auto_delete_of_a_queue_goes_on_to_its_exchange() {
    let channel = Connection::open().channel(1);
    let (name, exchange) = (auto_delete_queue(&channel), channel.exchange("fanout"));
    channel.bind(&name, &exchange, "");
    let tag = channel.consume(&name);
    channel.cancel(&tag);
    let passive = exchange::Declare {
        exchange: exchange.as_str().into(),
        passive: true,
        ..Default::default()
    };
    channel.await_refusal(|| passive.clone().into_class(), 404);
}

/// Declares an exclusive queue that expires after `ms`, and an exchange that goes with it: asking for
/// the queue itself would renew it.
fn expiring(channel: &Channel, ms: i32) -> (String, String) {
    let queue = channel.queue_with(table([("x-expires", ms.into())]));
    let exchange = channel.exchange("fanout");
    channel.bind(&queue, &exchange, "");
    (queue, exchange)
}

/// Waits until an exchange is gone, and does something before each look at it.
#[track_caller]
fn await_exchange_gone(channel: &Channel, exchange: &str, meanwhile: impl Fn()) {
    let passive = exchange::Declare {
        exchange: exchange.into(),
        passive: true,
        ..Default::default()
    };
    let look = || {
        meanwhile();
        passive.clone().into_class()
    };
    channel.await_refusal(look, 404);
}

#[test]
fn an_unused_queue_expires() {
    let channel = Connection::open().channel(1);
    let since = Instant::now();
    let (queue, exchange) = expiring(&channel, 1000);
    await_exchange_gone(&channel, &exchange, || ());
    let waited = since.elapsed();
    assert!(
        waited > Duration::from_millis(900),
        "expired after {waited:?}"
    );
    assert!(waited < Duration::from_secs(5), "expired after {waited:?}");
    channel.fails(passive(&queue), 404, &not_found(&queue));
}

#[test]
fn a_queue_with_a_consumer_does_not_expire() {
    let channel = Connection::open().channel(1);
    // Long enough for the consumer to be there in time on a busy machine, and far shorter than the clock.
    let (used, _) = expiring(&channel, 2000);
    channel.consume_no_ack(&used);
    let (_, clock) = expiring(&channel, 5000);
    await_exchange_gone(&channel, &clock, || ());
    channel.inspect(&used);
}

#[test]
fn each_sort_of_declare_and_get_puts_off_expiry() {
    let connection = Connection::open();
    let (channel, other) = (connection.channel(1), connection.channel(2));
    // Far longer than a busy machine keeps a request waiting, and far shorter than the clock.
    let declared = unique("declared");
    let (inspected, _) = expiring(&channel, 3000);
    let (got, _) = expiring(&channel, 3000);
    let (_, clock) = expiring(&channel, 8000);
    let again = || queue::Declare {
        queue: declared.as_str().into(),
        exclusive: true,
        arguments: table([("x-expires", 3000.into())]),
        ..Default::default()
    };
    channel.call(again());
    // A message in it, which a queue that had ended meanwhile would have lost.
    channel.fill(&declared, &["kept"]);
    await_exchange_gone(&channel, &clock, || {
        assert_eq!(other.call(again()).message_count, 1);
        other.inspect(&inspected);
        other.get(&got);
    });
    other.inspect(&inspected);
    other.inspect(&got);
}

#[test]
fn what_is_published_does_not_put_off_expiry() {
    let channel = Connection::open().channel(1);
    let (queue, exchange) = expiring(&channel, 1000);
    let since = Instant::now();
    await_exchange_gone(&channel, &exchange, || {
        channel.publish("", &queue, "unread")
    });
    let waited = since.elapsed();
    assert!(waited < Duration::from_secs(10), "expired after {waited:?}");
}
