//! Order in which connections of groups are polled.

use super::*;

/// Runs a connection of this group that is ready this number of times, each for longer than a quantum. It records its
/// group, 0 if it has none.
async fn connection(turns: Turns, group: Option<GroupId>, times: usize, order: Rc<RefCell<Vec<u64>>>) {
    let (queue, mut left) = (SendQueue::default(), times);
    if let Some(group) = group {
        queue.set_group(group);
    }
    let ready = poll_fn(|cx| {
        order.borrow_mut().push(group.map_or(0, |GroupId(group)| group));
        std::thread::sleep(2 * QUANTUM);
        left -= 1;
        if left == 0 {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    });
    turns.take(&queue, ready).await;
}

/// Returns the groups of the connections that were polled, in order.
async fn order_of(connections: &[(Option<u64>, usize)]) -> Vec<u64> {
    let (turns, order) = (Turns::default(), Rc::<RefCell<Vec<u64>>>::default());
    let admitting = actix_rt::spawn(turns.clone().admit());
    let connections = connections
        .iter()
        .map(|(group, times)| actix_rt::spawn(connection(turns.clone(), group.map(GroupId), *times, order.clone())));
    futures::future::join_all(connections.collect::<Vec<_>>()).await;
    admitting.abort();
    assert!(turns.0.waiting.borrow().is_empty());
    order.take()
}

#[actix_rt::test]
async fn a_group_with_one_connection_has_every_second_turn_beside_a_herd() {
    let mut connections = vec![(Some(1), 10); 20];
    connections.push((Some(2), 10));
    let order = order_of(&connections).await;
    assert_eq!(order.len(), 210);
    let turns: Vec<usize> = (0..order.len()).filter(|place| order[*place] == 2).collect();
    // The first turns, whose cost is not known, are taken together.
    assert!(turns.windows(2).skip(1).all(|pair| pair[1] <= pair[0] + 2), "{turns:?}");
    assert!(turns[9] < 60, "{turns:?}");
}

#[actix_rt::test]
async fn a_group_that_is_alone_is_polled_in_the_order_of_the_runtime() {
    let order = order_of(&[(Some(1), 3), (None, 3), (Some(1), 3)]).await;
    assert_eq!(order, [1, 0, 1, 1, 0, 1, 1, 0, 1]);
}

#[actix_rt::test]
async fn connections_without_a_group_have_turns_of_their_own() {
    let order = order_of(&[(Some(1), 2), (Some(2), 2), (None, 2), (Some(1), 20)]).await;
    let places: Vec<usize> = (0..order.len()).filter(|place| order[*place] == 0).collect();
    assert_eq!(places.len(), 2);
    assert!(places[1] < 12, "{order:?}");
}

#[test]
fn a_turn_sends_no_more_than_its_bytes_where_groups_share_the_thread() {
    let turns = Turns::default();
    turns.sent(MAX_BYTES);
    assert_eq!(turns.left(), usize::MAX);
    turns.0.left.set(Some(MAX_BYTES));
    turns.sent(1000);
    assert_eq!(turns.left(), MAX_BYTES - 1000);
    turns.sent(MAX_BYTES);
    assert_eq!(turns.left(), 0);
}
