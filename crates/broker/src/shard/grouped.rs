//! Dealing from a queue with message groups: see `queue/groups.rs`.

use crate::queue::consumers::{ConsumerKey, Turn};
use crate::queue::{Group, Queue, Taken};
use crate::shard::deal::{Table, hand_out, may_take, next_turn};

/// Hands out one message, or sets one aside. `false` if neither can be done. **Cost**: by what is handed out and set aside, but for the logarithm of how
/// many are aside.
pub(super) fn deal_grouped(queue: &mut Queue, table: &mut Table) -> bool {
    let Queue {
        consumers, groups, ..
    } = queue;
    while let Some((consumer, groups)) = consumers.pop_woken().zip(groups.as_mut()) {
        groups.unblock(consumer);
    }
    // What came back is older than all that is aside, or as old: it has to stand among these to be looked at in order.
    while queue.first_returned().is_some() && !queue.groups_are_full() {
        if !set_first_aside(queue) {
            return false;
        }
    }
    deal_aside(queue, table) || deal_first(queue, table)
}

fn set_first_aside(queue: &mut Queue) -> bool {
    let group = queue.first_in_line().and_then(|(_, group)| group);
    let Some(taken) = queue.take_line(1) else {
        return false;
    };
    queue.set_aside(group, taken);
    true
}

/// Hands out the oldest message that is aside and can go.
fn deal_aside(queue: &mut Queue, table: &mut Table) -> bool {
    // Where one that came back finds no room, younger ones wait for it: they may be of its group.
    let upto = queue.first_returned().unwrap_or(u64::MAX);
    let mut anybody = queue.consumers.can_take();
    while let Some((seq, owner)) = queue
        .groups
        .as_ref()
        .and_then(|groups| groups.next(anybody))
        && seq < upto
    {
        let Some(turn) = turn_of(queue, owner, table) else {
            match (owner, &mut queue.groups) {
                (Some(owner), Some(groups)) => groups.block(owner),
                _ => anybody = false,
            }
            continue;
        };
        let group = queue.groups.as_ref().and_then(|of| of.group_aside(seq));
        if let Some(taken) = queue.take_aside(seq) {
            give(queue, group, turn, taken, table);
            return true;
        }
    }
    false
}

/// Hands out the first message of the queue, or sets it aside.
fn deal_first(queue: &mut Queue, table: &mut Table) -> bool {
    let has_room = !queue.groups_are_full();
    if !(has_room || queue.first_returned().is_some()) || !queue.consumers.can_take() {
        return false;
    }
    let Some((seq, group)) = queue.first_in_line() else {
        return false;
    };
    let turn = match waits(queue, group, seq) {
        true => None,
        false => {
            let groups = queue.groups.as_ref();
            let owner = group.and_then(|group| groups?.owner(group));
            turn_of(queue, owner, table)
        }
    };
    if turn.is_none() && !has_room {
        return false;
    }
    let Some(taken) = queue.take_line(1) else {
        return false;
    };
    match turn {
        Some(turn) => give(queue, group, turn, taken, table),
        None => queue.set_aside(group, taken),
    }
    true
}

/// Whether messages of its group are aside that a message has to wait for.
fn waits(queue: &Queue, group: Option<Group>, seq: u64) -> bool {
    let groups = group.zip(queue.groups.as_ref());
    groups.is_some_and(|(group, groups)| groups.has_older_aside(group, seq))
}

/// The turn of whoever may have a message: the owner of its group, or anybody where that has none.
fn turn_of(queue: &mut Queue, owner: Option<ConsumerKey>, table: &mut Table) -> Option<Turn> {
    let Some(owner) = owner else {
        return next_turn(queue, 1, table);
    };
    let (id, shard, peers) = (queue.id, table.shard, &mut table.peers);
    let consumers = &mut queue.consumers;
    consumers.next_of(owner, |consumer| may_take(consumer, shard, peers, id))
}

fn give(queue: &mut Queue, group: Option<Group>, turn: Turn, taken: Taken, table: &mut Table) {
    if let Some((group, groups)) = group.zip(queue.groups.as_mut())
        && !turn.no_ack
    {
        groups.note_handed_out(group, turn.key);
    }
    hand_out(queue, turn, taken, table);
}
