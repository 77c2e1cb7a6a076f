use super::*;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

fn index(i: u16) -> NodeIndex {
    NodeIndex::new(i).unwrap()
}

fn pool(n: u16) -> (Pool, Vec<NodeIndex>) {
    let key = IdentityKey::from_seed(&[1; 32]);
    let pool = Pool::new(&key, DialOptions::default()).unwrap();
    let peer = |i: u16| Peer {
        index: index(i),
        endpoint: Endpoint::new(format!("127.0.0.1:{}", 10_000 + i)).unwrap(),
        key: key.public(),
    };
    pool.set_peers((1..=n).map(peer)).unwrap();
    let all = pool.indices();
    (pool, all)
}

fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Node `i` answers after `script[i - 1]` ms; 0 fails at once.
async fn ask(pool: &Pool, want: usize, script: &'static [u64]) -> (Outcome<u16>, usize) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let outcome = pool
        .ask(&pool.indices(), want, Deadline::after(millis(2000)), move |i, _| {
            counter.fetch_add(1, Ordering::Relaxed);
            let delay = script[usize::from(i.get()) - 1];
            async move {
                if delay == 0 {
                    return Err(Fault::unavailable("down"));
                }
                tokio::time::sleep(millis(delay)).await;
                Ok(i.get())
            }
        })
        .await;
    (outcome, calls.load(Ordering::Relaxed))
}

#[tokio::test(start_paused = true)]
async fn asks_exactly_as_many_as_wanted_when_all_is_well() {
    let (pool, _) = pool(5);
    let (outcome, calls) = ask(&pool, 3, &[5, 5, 5, 5, 5]).await;
    assert_eq!((outcome.answers.len(), calls), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_replaced_at_once() {
    let (pool, _) = pool(5);
    let begun = Instant::now();
    let (outcome, calls) = ask(&pool, 3, &[0, 5, 5, 5, 5]).await;
    assert_eq!((outcome.answers.len(), calls), (3, 4));
    assert!(begun.elapsed() < millis(20));
    assert_eq!(outcome.failures[0].0, index(1));
    // The failed one is asked last from now on.
    let (outcome, calls) = ask(&pool, 3, &[0, 5, 5, 5, 5]).await;
    assert_eq!((outcome.failures.len(), calls), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn a_slow_node_is_hedged_and_not_waited_for() {
    let (pool, _) = pool(5);
    for _ in 0..20 {
        ask(&pool, 5, &[5, 5, 5, 5, 5]).await;
    }
    let begun = Instant::now();
    let (outcome, calls) = ask(&pool, 3, &[1000, 5, 5, 5, 5]).await;
    assert_eq!(outcome.answers.len(), 3);
    assert!(calls <= 4);
    assert!(begun.elapsed() < millis(50), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn fewer_than_wanted_end_before_the_deadline_with_every_failure() {
    let (pool, _) = pool(5);
    let begun = Instant::now();
    let (outcome, _) = ask(&pool, 3, &[0, 0, 0, 5, 5]).await;
    assert_eq!((outcome.answers.len(), outcome.failures.len()), (2, 3));
    assert!(begun.elapsed() < millis(300));
}

#[tokio::test(start_paused = true)]
async fn silent_nodes_are_failures_at_the_deadline() {
    let (pool, all) = pool(3);
    let begun = Instant::now();
    let outcome: Outcome<()> = pool
        .ask_all(&all, Deadline::after(millis(100)), |i, _| async move {
            if i.get() == 2 {
                std::future::pending::<()>().await;
            }
            Ok(())
        })
        .await;
    assert_eq!(outcome.answers.len(), 2);
    assert_eq!(outcome.failures[0].0, index(2));
    assert_eq!(begun.elapsed(), millis(100));
    assert!(!pool.health(index(2)).unwrap().reachable());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_question_drops_its_calls() {
    let (pool, all) = pool(3);
    let alive = Arc::new(());
    let held = Arc::clone(&alive);
    let question = pool.ask::<(), _, _>(&all, 3, Deadline::after(millis(9000)), move |_, _| {
        let held = Arc::clone(&held);
        async move {
            let _held = held;
            std::future::pending::<()>().await;
            Ok(())
        }
    });
    assert!(timeout_at(Instant::now() + millis(50), question).await.is_err());
    tokio::task::yield_now().await;
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[tokio::test]
async fn peers_that_stay_keep_their_history() {
    let (pool, _) = pool(3);
    pool.link(index(1)).unwrap().note(|h| h.answered(millis(7)));
    let key = IdentityKey::from_seed(&[1; 32]).public();
    let peer = |i: u16, port: u16| Peer {
        index: index(i),
        endpoint: Endpoint::new(format!("127.0.0.1:{port}")).unwrap(),
        key,
    };
    pool.set_peers([peer(1, 10_001), peer(2, 20_002)]).unwrap();
    assert_eq!(pool.indices(), [index(1), index(2)]);
    assert_eq!(pool.health(index(1)).unwrap().latency(), Some(millis(7)));
    assert_eq!(pool.health(index(2)).unwrap().latency(), None);
}

/// Row 12: a node that stalls, and had been the fastest. It loses every race, so its
/// latency is never measured; that it lost is what marks it.
#[tokio::test(start_paused = true)]
async fn a_stalling_node_is_marked_slow_and_not_waited_for() {
    let (pool, _) = pool(5);
    for _ in 0..20 {
        ask(&pool, 5, &[5, 5, 5, 5, 5]).await;
    }
    let mut slow = 0;
    for _ in 0..500 {
        let begun = Instant::now();
        let (outcome, _) = ask(&pool, 3, &[1500, 5, 5, 5, 5]).await;
        assert_eq!(outcome.answers.len(), 3);
        assert!(begun.elapsed() < millis(50), "hedged: {:?}", begun.elapsed());
        slow += usize::from(begun.elapsed() > millis(8));
        tokio::time::sleep(millis(20)).await;
    }
    assert!(slow <= 5, "{slow} of 500 waited for the hedge");
    assert!(pool.health(index(1)).unwrap().reachable());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_slow_is_tried_again() {
    let (pool, _) = pool(4);
    for _ in 0..20 {
        ask(&pool, 4, &[2, 5, 5, 5]).await;
    }
    ask(&pool, 3, &[1500, 5, 5, 5]).await;
    let used = |outcome: Outcome<u16>| outcome.answers.iter().any(|(i, _)| *i == index(1));
    assert!(!used(ask(&pool, 3, &[2, 5, 5, 5]).await.0));
    tokio::time::sleep(millis(6000)).await;
    assert!(used(ask(&pool, 3, &[2, 5, 5, 5]).await.0));
}

/// A caller chooses its deadline. One that is too short must not make good nodes look dead.
#[tokio::test(start_paused = true)]
async fn a_callers_haste_blames_no_node() {
    let (pool, all) = pool(3);
    for _ in 0..20 {
        ask(&pool, 3, &[80, 80, 80]).await;
    }
    for own_timeout in [false, true] {
        let outcome: Outcome<()> = pool
            .ask(&all, 3, Deadline::after(millis(30)), |_, _| async move {
                if own_timeout {
                    return Err(Fault::new(FaultKind::DeadlineExceeded, "no time left"));
                }
                std::future::pending().await
            })
            .await;
        assert_eq!(outcome.failures.len(), 3);
        assert!(all.iter().all(|i| pool.health(*i).unwrap().reachable()));
    }
}

/// Two of five fall silent at once: both are replaced after one delay, not one after the other.
#[tokio::test(start_paused = true)]
async fn two_silent_nodes_are_replaced_at_once() {
    let (pool, _) = pool(5);
    for _ in 0..20 {
        ask(&pool, 5, &[5, 5, 6, 50, 50]).await;
    }
    let begun = Instant::now();
    let (outcome, calls) = ask(&pool, 3, &[1900, 1900, 6, 50, 50]).await;
    assert_eq!((outcome.answers.len(), calls), (3, 5));
    assert!(begun.elapsed() < millis(100), "{:?}", begun.elapsed());
    // And are asked last by whoever comes next.
    assert_eq!(ask(&pool, 3, &[1900, 1900, 6, 50, 50]).await.1, 3);
}

/// More requests are under way when two nodes fall silent than there is budget for: they are
/// finished as soon as others have earned it, and none waits for its deadline.
#[tokio::test(start_paused = true)]
async fn requests_that_find_the_budget_spent_go_on_when_more_is_earned() {
    let (pool, _) = pool(5);
    for _ in 0..20 {
        ask(&pool, 5, &[5, 5, 6, 6, 6]).await;
    }
    let pool = Arc::new(pool);
    let mut burst = JoinSet::new();
    for _ in 0..40 {
        let pool = Arc::clone(&pool);
        burst.spawn(async move { ask(&pool, 3, &[9000, 9000, 6, 6, 6]).await.0.answers.len() });
    }
    for _ in 0..400 {
        assert_eq!(ask(&pool, 3, &[9000, 9000, 6, 6, 6]).await.0.answers.len(), 3);
    }
    while let Some(answers) = burst.join_next().await {
        assert_eq!(answers.unwrap(), 3);
    }
}

/// After its penalty one request finds out, at its own cost, whether a slow node is back.
#[tokio::test(start_paused = true)]
async fn of_many_requests_one_tries_a_slow_node_again() {
    let (pool, _) = pool(4);
    for _ in 0..20 {
        ask(&pool, 4, &[2, 5, 5, 5]).await;
    }
    ask(&pool, 3, &[1900, 5, 5, 5]).await;
    tokio::time::sleep(millis(6000)).await;
    let pool = Arc::new(pool);
    let mut burst = JoinSet::new();
    for _ in 0..20 {
        let pool = Arc::clone(&pool);
        burst.spawn(async move { ask(&pool, 3, &[1900, 5, 5, 5]).await.1 });
    }
    let mut calls = 0;
    while let Some(made) = burst.join_next().await {
        calls += made.unwrap();
    }
    assert_eq!(calls, 20 * 3 + 1);
}
