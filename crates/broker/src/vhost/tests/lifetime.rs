//! What goes with what, and that it is gone: from the directories, from bindings, and from memory.

use super::*;
use crate::exchange::Destination;

/// Ends a queue as its shard does.
fn end(vhost: &Vhost, queue: &Arc<QueueHandle>) {
    queue.mark_deleted();
    vhost.forget_queue(queue);
}

fn has(vhost: &Vhost, exchange: &str) -> bool {
    vhost.find_exchange(exchange).is_some()
}

#[test]
fn a_name_is_free_as_soon_as_its_queue_is_marked() {
    let vhost = vhost();
    let old = queue(&vhost, "q");
    vhost
        .bind_queue(ME, "q", binding("amq.fanout", ""))
        .unwrap();
    old.mark_deleted();
    assert!(vhost.find_queue("q").is_none());
    assert!(matches!(
        vhost.bind_queue(ME, "q", binding("amq.fanout", "")),
        Err(Error::NotFound(_))
    ));
    let new = queue(&vhost, "q");
    assert_ne!(new.id, old.id);
    vhost
        .bind_queue(ME, "q", binding("amq.fanout", ""))
        .unwrap();
    // The shard's word comes late: it is about the old one.
    vhost.forget_queue(&old);
    assert!(Arc::ptr_eq(&vhost.queue("q").unwrap(), &new));
    assert_eq!(vhost.queues_count(), 1);
    assert_eq!(vhost.exchange("amq.fanout").unwrap().bindings_count(), 1);
    assert!(old.sources.lock().is_empty());
    assert_eq!(new.sources.lock().len(), 1);
}

#[test]
fn a_queue_takes_its_bindings_along() {
    let vhost = vhost();
    let (mine, stays) = (queue(&vhost, "mine"), queue(&vhost, "stays"));
    for source in ["amq.fanout", "amq.direct", "amq.topic", "amq.headers"] {
        for key in ["", "a", "b"] {
            vhost.bind_queue(ME, "mine", binding(source, key)).unwrap();
        }
        vhost.bind_queue(ME, "stays", binding(source, "a")).unwrap();
    }
    let weak = Arc::downgrade(&mine);
    end(&vhost, &mine);
    for source in ["amq.fanout", "amq.direct", "amq.topic", "amq.headers"] {
        let exchange = vhost.exchange(source).unwrap();
        assert_eq!(exchange.bindings_count(), 1, "{source}");
        exchange.each_binding(|_, _, to| assert_eq!(*to, Destination::Queue(stays.clone())));
    }
    assert_eq!(vhost.queues_count(), 1);
    assert!(mine.sources.lock().is_empty());
    assert_eq!(stays.sources.lock().len(), 4);
    drop(mine);
    let mut commands = Vec::new();
    for shard in 0..2 {
        vhost.shards.mailbox(ShardId(shard)).take(&mut commands);
        commands.clear();
    }
    assert!(weak.upgrade().is_none(), "something still holds the queue");
}

#[test]
fn an_exchange_takes_its_bindings_along() {
    let vhost = vhost();
    let queue = queue(&vhost, "q");
    let middle = exchange(&vhost, an_exchange("middle"));
    let after = exchange(&vhost, an_exchange("after"));
    for key in ["", "a", "b"] {
        vhost.bind_queue(ME, "q", binding("middle", key)).unwrap();
        vhost
            .bind_exchange("after", binding("middle", key))
            .unwrap();
        vhost
            .bind_exchange("middle", binding("amq.topic", key))
            .unwrap();
    }
    vhost.bind_queue(ME, "q", binding("after", "")).unwrap();
    let version = vhost.exchange("amq.topic").unwrap().version();
    vhost.delete_exchange("middle", false).unwrap();
    let topic = vhost.exchange("amq.topic").unwrap();
    assert_eq!(topic.bindings_count(), 0);
    assert!(topic.version() > version);
    assert_eq!(queue.sources.lock().len(), 1);
    assert!(after.sources.lock().is_empty());
    let weak = Arc::downgrade(&middle);
    drop(middle);
    assert!(weak.upgrade().is_none(), "something still holds it");
}

#[test]
fn an_auto_delete_exchange_goes_with_its_last_binding_and_not_before_the_first() {
    let vhost = vhost();
    queue(&vhost, "q");
    exchange(&vhost, auto_delete("x"));
    vhost.unbind_queue(ME, "q", binding("x", "none")).unwrap();
    // Bindings that lead to it do not count.
    vhost.bind_exchange("x", binding("amq.fanout", "")).unwrap();
    vhost
        .unbind_exchange("x", binding("amq.fanout", ""))
        .unwrap();
    assert!(has(&vhost, "x"));
    vhost.bind_queue(ME, "q", binding("x", "1")).unwrap();
    vhost.bind_queue(ME, "q", binding("x", "2")).unwrap();
    vhost.unbind_queue(ME, "q", binding("x", "1")).unwrap();
    assert!(has(&vhost, "x"));
    vhost.unbind_queue(ME, "q", binding("x", "2")).unwrap();
    assert!(!has(&vhost, "x"));
}

#[test]
fn auto_delete_exchanges_go_one_with_the_other() {
    for end_by in ["queue", "unbind", "exchange"] {
        let vhost = vhost();
        let queue = queue(&vhost, "q");
        for (name, to) in [("c", "last"), ("b", "c"), ("a", "b"), ("beside", "b")] {
            exchange(&vhost, auto_delete(to));
            exchange(&vhost, auto_delete(name));
            vhost.bind_exchange(to, binding(name, "")).unwrap();
        }
        exchange(&vhost, an_exchange("stays"));
        vhost.bind_exchange("a", binding("stays", "")).unwrap();
        vhost
            .bind_exchange("amq.fanout", binding("beside", ""))
            .unwrap();
        vhost.bind_queue(ME, "q", binding("last", "")).unwrap();
        match end_by {
            "queue" => end(&vhost, &queue),
            "unbind" => {
                let binding = binding("last", "");
                vhost.unbind_queue(ME, "q", binding).unwrap();
            }
            _ => {
                vhost.delete_exchange("last", false).unwrap();
            }
        }
        for gone in ["last", "c", "b", "a"] {
            assert!(!has(&vhost, gone), "{gone} by {end_by}");
        }
        assert!(has(&vhost, "beside"), "it leads elsewhere, too");
        let stays = vhost.exchange("stays").unwrap();
        assert_eq!(stays.bindings_count(), 0);
        assert_eq!(vhost.exchange("beside").unwrap().bindings_count(), 1);
    }
}

/// Whoever may declare exchanges can make a chain of any length; its end must not need a stack of that depth.
#[test]
fn a_long_chain_ends_in_little_stack() {
    const LENGTH: usize = 20_000;
    let vhost = vhost();
    let queue = queue(&vhost, "q");
    for i in 0..LENGTH {
        let name = format!("x{i}");
        vhost.declare_exchange(auto_delete(&name)).unwrap();
        match i {
            0 => {
                vhost.bind_queue(ME, "q", binding(&name, "")).unwrap();
            }
            _ => {
                let before = format!("x{}", i - 1);
                vhost.bind_exchange(&before, binding(&name, "")).unwrap();
            }
        }
    }
    let little = std::thread::Builder::new().stack_size(256 * 1024);
    std::thread::scope(|scope| {
        let ending = little.spawn_scoped(scope, || end(&vhost, &queue));
        ending.unwrap().join().unwrap();
    });
    assert!(!has(&vhost, "x0") && !has(&vhost, &format!("x{}", LENGTH - 1)));
    assert_eq!(vhost.exchanges_count(), PREDECLARED.len());
}

#[test]
fn exchanges_in_a_circle_leave_nothing_behind() {
    for kind in [an_exchange as fn(&str) -> ExchangeDeclaration, auto_delete] {
        let vhost = vhost();
        let weak: Vec<Weak<Exchange>> = ["a", "b", "c"]
            .map(|name| Arc::downgrade(&exchange(&vhost, kind(name))))
            .to_vec();
        for (from, to) in [("a", "b"), ("b", "c"), ("c", "a"), ("a", "a")] {
            vhost.bind_exchange(to, binding(from, "k")).unwrap();
            vhost.bind_exchange(to, binding(from, "l")).unwrap();
        }
        for name in ["a", "b", "c"] {
            vhost.delete_exchange(name, false).unwrap();
            assert!(!has(&vhost, name));
        }
        assert!(weak.iter().all(|weak| weak.upgrade().is_none()));
        assert_eq!(vhost.exchanges_count(), PREDECLARED.len());
    }
}

#[test]
fn an_auto_delete_circle_goes_when_it_is_cut() {
    let vhost = vhost();
    let queue = queue(&vhost, "q");
    let weak: Vec<Weak<Exchange>> = ["a", "b"]
        .map(|name| Arc::downgrade(&exchange(&vhost, auto_delete(name))))
        .to_vec();
    vhost.bind_exchange("b", binding("a", "")).unwrap();
    vhost.bind_exchange("a", binding("b", "")).unwrap();
    vhost.bind_queue(ME, "q", binding("b", "")).unwrap();
    end(&vhost, &queue);
    assert!(
        has(&vhost, "a") && has(&vhost, "b"),
        "each still has a binding"
    );
    vhost.unbind_exchange("a", binding("b", "")).unwrap();
    assert!(!has(&vhost, "a") && !has(&vhost, "b"));
    assert!(weak.iter().all(|weak| weak.upgrade().is_none()));
}

#[test]
fn a_new_exchange_of_an_old_name_is_another_one() {
    let vhost = vhost();
    queue(&vhost, "q");
    let old = exchange(&vhost, an_exchange("x"));
    vhost.bind_queue(ME, "q", binding("x", "")).unwrap();
    let version = old.version();
    vhost.delete_exchange("x", false).unwrap();
    assert!(old.is_deleted() && old.version() > version);
    let new = exchange(&vhost, auto_delete("x"));
    assert!(!Arc::ptr_eq(&old, &new) && !new.is_deleted());
    assert_eq!((old.bindings_count(), new.bindings_count()), (0, 0));
    assert!(vhost.queue("q").unwrap().sources.lock().is_empty());
}
