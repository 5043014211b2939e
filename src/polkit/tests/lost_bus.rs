//! A bus that is lost, and one that strangers write to.

use super::*;

#[test]
fn a_bus_that_was_lost_is_tried_once_more() {
    let lost = |times: usize| {
        let (mut authority, bus, _dir) = authority(move |listener| {
            for _ in 0..times {
                let mut side = Side::accept(&listener);
                side.call_of("CheckAuthorization");
            }
            if times < 2 {
                let mut side = Side::accept(&listener);
                let check = side.call_of("CheckAuthorization");
                side.say_who_polkit_is();
                side.answer(&check, POLKIT, (true, false), &[]);
            }
        });
        let answered = authority.may(Action::UseBox, &[]);
        bus.join().unwrap();
        answered
    };
    lost(1).unwrap();
    assert!(matches!(lost(2).unwrap_err().why, Why::Failed(_)));
}

#[test]
fn the_pause_before_another_try_holds_nothing_else_up() {
    let (mut authority, bus, _dir) = authority(|listener| {
        drop(Side::accept(&listener));
        let mut side = Side::accept(&listener);
        let check = side.call_of("CheckAuthorization");
        side.say_who_polkit_is();
        side.answer(&check, POLKIT, (true, false), &[]);
    });
    authority.ask(Action::UseBox, &[]);
    let mut longest = Duration::ZERO;
    let answered = loop {
        let begin = std::time::Instant::now();
        let answered = authority.proceed();
        longest = longest.max(begin.elapsed());
        if let Some(answered) = answered {
            break answered;
        }
        let ready = [((), readable(authority.ready().unwrap()))];
        let until = Until::within(Duration::from_secs(20));
        assert_eq!(poll::first(ready, until).unwrap(), Some(()));
    };
    answered.unwrap();
    assert!(longest < PAUSE, "{longest:?}");
    bus.join().unwrap();
}

#[test]
fn whoever_sends_a_descriptor_is_not_heard_again_and_polkit_does_without_one() {
    let (mut authority, bus, _dir) = authority(|listener| {
        let mut side = Side::accept(&listener);
        let check = side.call_of("CheckAuthorization");
        assert_eq!(check.data().fds().len(), 1);
        let strangers = UnixDatagram::unbound().unwrap();
        crate::sys::socket::send(side.stream.as_fd(), b"x", Some(strangers.as_fd())).unwrap();
        let mut side = Side::accept(&listener);
        assert!(!side.negotiated);
        let check = side.call_of("CheckAuthorization");
        assert!(check.data().fds().is_empty() && !asked(&check).0.1.contains_key("pidfd"));
        side.say_who_polkit_is();
        side.answer(&check, POLKIT, (true, false), &[]);
    });
    authority.may(Action::UseBox, &[]).unwrap();
    bus.join().unwrap();
}
