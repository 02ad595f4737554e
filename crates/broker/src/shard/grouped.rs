//! Dealing from a queue with message groups: see `queue/groups.rs`.

use crate::queue::consumers::Turn;
use crate::queue::{Group, Queue, Taken};
use crate::shard::deal::{Table, hand_out, may_take, next_turn};

/// Hands out one message, or sets one aside. `false` if neither can be done.
pub(super) fn deal_grouped(queue: &mut Queue, table: &mut Table<'_>) -> bool {
    // What came back is older than all that is aside, or as old: it has to stand among these to be looked at in order.
    while queue.is_first_returned() && !queue.groups_are_full() {
        if !set_first_aside(queue) {
            return false;
        }
    }
    deal_aside(queue, table) || deal_first(queue, table)
}

fn set_first_aside(queue: &mut Queue) -> bool {
    let Some(taken) = queue.take_ready(1) else {
        return false;
    };
    let group = queue.group_of(&taken);
    if let Some(groups) = &mut queue.groups {
        groups.set_aside(group, taken);
    }
    true
}

/// Hands out the oldest message that is aside and can go.
fn deal_aside(queue: &mut Queue, table: &mut Table<'_>) -> bool {
    let firsts = queue.groups.as_ref().map(|groups| groups.firsts());
    for (seq, group) in firsts.unwrap_or_default() {
        let Some(turn) = turn_for(queue, group, table) else {
            continue;
        };
        let taken = queue.groups.as_mut().and_then(|groups| groups.take(seq));
        if let Some(taken) = taken {
            give(queue, group, turn, taken, table);
            return true;
        }
    }
    false
}

/// Hands out the first message of the queue, or sets it aside.
fn deal_first(queue: &mut Queue, table: &mut Table<'_>) -> bool {
    if queue.groups_are_full() || queue.first_run_len() == 0 || !queue.consumers.can_take() {
        return false;
    }
    let Some(taken) = queue.take_ready(1) else {
        return false;
    };
    let group = queue.group_of(&taken);
    let has_aside = |group| {
        queue
            .groups
            .as_ref()
            .is_some_and(|groups| groups.has_aside(group))
    };
    let turn = match group.is_some_and(has_aside) {
        true => None,
        false => turn_for(queue, group, table),
    };
    match (turn, &mut queue.groups) {
        (Some(turn), _) => give(queue, group, turn, taken, table),
        (None, Some(groups)) => groups.set_aside(group, taken),
        (None, None) => {}
    }
    true
}

/// The turn of whoever may have a message of a group: its owner's, or anybody's.
fn turn_for(queue: &mut Queue, group: Option<Group>, table: &mut Table<'_>) -> Option<Turn> {
    let groups = queue.groups.as_ref()?;
    match group.and_then(|group| groups.owner(group)) {
        Some(owner) => {
            let (id, shard, peers) = (queue.id, table.shard, &mut *table.peers);
            let consumers = &mut queue.consumers;
            consumers.next_of(owner, |consumer| may_take(consumer, shard, peers, id))
        }
        None => next_turn(queue, 1, table),
    }
}

fn give(queue: &mut Queue, group: Option<Group>, turn: Turn, taken: Taken, table: &mut Table<'_>) {
    if let Some((group, groups)) = group.zip(queue.groups.as_mut())
        && !turn.no_ack
    {
        groups.note_handed_out(group, turn.key);
    }
    hand_out(queue, turn, taken, table);
}
