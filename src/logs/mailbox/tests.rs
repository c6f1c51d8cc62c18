use tracing::Level;

use super::{Mailbox, Message, OwnLine};
use crate::spec::LogHistory;

fn own(mailbox: &Mailbox, text: &str) {
    mailbox.send_own(OwnLine::new(Level::INFO, text.to_owned()));
}

/// Receives everything: the texts of own lines, and the number that was reported as dropped.
fn receive_all(mailbox: &Mailbox) -> (Vec<String>, u64) {
    let (mut lines, mut dropped) = (Vec::new(), 0);
    while let Some(message) = mailbox.receive() {
        match message {
            Message::Own(line) => lines.push(line.message),
            Message::Dropped(count) => dropped += count,
            other => panic!("{other:?}"),
        }
    }
    (lines, dropped)
}

#[test]
fn own_lines_are_bounded_and_dropped_ones_are_counted() {
    let mailbox = Mailbox::new(LogHistory::default()).unwrap();
    for _ in 0..100_000 {
        own(&mailbox, "0123456789");
    }
    let (lines, dropped) = receive_all(&mailbox);
    assert!(lines.len() * 10 <= super::OWN_LIMIT, "{}", lines.len());
    assert_eq!(lines.len() as u64 + dropped, 100_000);
    own(&mailbox, "again");
    assert_eq!(receive_all(&mailbox), (vec!["again".to_owned()], 0));
}

#[test]
fn dropped_lines_are_reported_before_the_next_line() {
    let mailbox = Mailbox::new(LogHistory::default()).unwrap();
    own(&mailbox, &"x".repeat(200 * 1024));
    own(&mailbox, &"y".repeat(200 * 1024));
    assert!(matches!(mailbox.receive(), Some(Message::Own(_))));
    own(&mailbox, "z");
    assert!(matches!(mailbox.receive(), Some(Message::Dropped(1))));
    assert!(matches!(mailbox.receive(), Some(Message::Own(line)) if line.message == "z"));
    assert!(mailbox.receive().is_none());
}

#[test]
fn own_lines_can_overtake_and_the_others_keep_their_order() {
    let mailbox = Mailbox::new(LogHistory::default()).unwrap();
    mailbox.send(Message::RunEnded(1));
    own(&mailbox, "one");
    mailbox.send(Message::Remove(1));
    own(&mailbox, "two");
    mailbox.clear_wakeup();
    for text in ["one", "two"] {
        assert!(matches!(mailbox.receive_own(), Some(Message::Own(line)) if line.message == text));
    }
    assert!(mailbox.receive_own().is_none());
    assert!(mailbox.wake.read().is_err(), "no wake-up is left");
    mailbox.wake_if_pending();
    assert_eq!(mailbox.wake.read(), Ok(1), "the others still wait");
    assert!(matches!(mailbox.receive(), Some(Message::RunEnded(1))));
    assert!(matches!(mailbox.receive(), Some(Message::Remove(1))));
    assert!(mailbox.receive().is_none());
}

#[test]
fn at_most_one_ended_run_of_an_instance_waits() {
    let mailbox = Mailbox::new(LogHistory::default()).unwrap();
    for _ in 0..10 {
        mailbox.send(Message::RunEnded(1));
        mailbox.send(Message::RunEnded(2));
    }
    assert!(matches!(mailbox.receive(), Some(Message::RunEnded(1))));
    mailbox.send(Message::RunEnded(1));
    assert!(matches!(mailbox.receive(), Some(Message::RunEnded(2))));
    assert!(matches!(mailbox.receive(), Some(Message::RunEnded(1))));
    assert!(mailbox.receive().is_none());
}

/// A step of one of the two threads. Each is done under the lock or is one system call, so their orders are
/// all interleavings of the two threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The supervisor sends another message.
    SendOther,
    SendOwn,
    /// The supervisor holds wake-ups back, and ends that.
    Hold,
    Release,
    /// The pump is woken by the mailbox, or by a worker.
    Wake,
    WakeByWorker,
    Receive,
    /// The pump waits for stdout, receives own lines as long as stderr accepts them, and stops waiting.
    Wait,
    ReceiveOwn,
    StopWaiting,
}

/// The state of the pump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pump {
    Asleep,
    Receiving,
    Waiting,
}

fn next_steps(pump: Pump) -> &'static [Step] {
    use Step::*;
    match pump {
        Pump::Asleep => &[SendOther, SendOwn, Hold, Release, Wake, WakeByWorker, Wait],
        Pump::Receiving => &[SendOther, SendOwn, Hold, Release, Receive],
        Pump::Waiting => &[SendOther, SendOwn, Hold, Release, ReceiveOwn, StopWaiting],
    }
}

/// Runs the steps; returns whether a pump that sleeps afterwards is or will be woken for waiting messages.
fn is_woken(steps: &[Step]) -> (Pump, bool) {
    let mailbox = Mailbox::new(LogHistory::default()).unwrap();
    let (mut pump, mut sent, mut held) = (Pump::Asleep, 0, 0);
    for step in steps {
        match step {
            Step::SendOther => {
                sent += 1;
                mailbox.send(Message::RunEnded(sent));
            }
            Step::SendOwn => own(&mailbox, "line"),
            Step::Hold => {
                held += 1;
                mailbox.hold();
            }
            Step::Release if held > 0 => {
                held -= 1;
                mailbox.release();
            }
            Step::Release => {}
            Step::Wake => {
                mailbox.clear_wakeup();
                pump = Pump::Receiving;
            }
            Step::WakeByWorker => pump = Pump::Receiving,
            Step::Receive => {
                if mailbox.receive().is_none() {
                    pump = Pump::Asleep;
                }
            }
            Step::Wait => {
                mailbox.clear_wakeup();
                pump = Pump::Waiting;
            }
            Step::ReceiveOwn => drop(mailbox.receive_own()),
            Step::StopWaiting => {
                mailbox.wake_if_pending();
                pump = Pump::Asleep;
            }
        }
    }
    for _ in 0..held {
        mailbox.release();
    }
    let waits = !mailbox.lock().messages.is_empty();
    (pump, !waits || mailbox.wake.read().is_ok())
}

#[test]
fn no_order_of_events_leaves_the_pump_asleep_while_a_message_waits() {
    const MAX_STEPS: usize = 7;
    let mut orders = vec![Vec::new()];
    let mut checked = 0;
    while let Some(steps) = orders.pop() {
        let (pump, is_woken) = is_woken(&steps);
        assert!(pump != Pump::Asleep || is_woken, "the pump is not woken after {steps:?}");
        checked += 1;
        if steps.len() < MAX_STEPS {
            orders.extend(next_steps(pump).iter().map(|step| [&steps[..], &[*step]].concat()));
        }
    }
    assert!(checked > 10_000, "{checked}");
}
