//! The messages that are sent, and the consequences of each answer.

use std::cell::Cell;
use std::io::{Read, Write};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::rc::Rc;
use std::thread::{self, JoinHandle};

use zbus::Message;
use zbus::zvariant::Value;

use super::fake_bus::{POLKIT, Side, THE_BUS, check as asked};
use super::*;

mod lost_bus;

/// An authority whose bus is this function, called with the listening socket.
fn authority<T: Send + 'static>(
    bus: impl FnOnce(UnixListener) -> T + Send + 'static,
) -> (Authority, JoinHandle<T>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus");
    let listener = UnixListener::bind(&path).unwrap();
    let mut authority = Authority::new(subject(1000), Dialog::Impossible, None);
    authority.bus = path;
    authority.patience = Duration::from_secs(20);
    (authority, thread::spawn(move || bus(listener)), dir)
}

/// A subject whose descriptor is never readable.
fn subject(uid: u32) -> Subject {
    Subject {
        pid: 4242,
        start_time: 99,
        uid,
        pidfd: UnixDatagram::unbound().unwrap().into(),
    }
}

/// The result of this one answer to one question.
fn after(answer: impl Fn(&mut Side, &Message) + Send + 'static) -> Result<(), Denied> {
    after_each_of(1, answer)
}

/// The result of this answer on each of several connections, one after the other.
fn after_each_of(
    connections: usize,
    answer: impl Fn(&mut Side, &Message) + Send + 'static,
) -> Result<(), Denied> {
    let (mut authority, bus, _dir) = authority(move |listener| {
        for _ in 0..connections {
            let mut side = Side::accept(&listener);
            let check = side.call_of("CheckAuthorization");
            side.say_who_polkit_is();
            answer(&mut side, &check);
            side.stream.shutdown(std::net::Shutdown::Write).unwrap();
            while side.called().is_some() {}
        }
    });
    let told = Rc::new(Cell::new(0));
    let counted = told.clone();
    authority.when_allowed(move |_| counted.set(counted.get() + 1));
    let answered = authority.may(Action::UseBox, &[]);
    assert_eq!(told.get(), u32::from(answered.is_ok()));
    drop(authority);
    bus.join().unwrap();
    answered
}

#[test]
fn the_question_has_the_types_that_polkit_looks_for() {
    let (mut authority, bus, _dir) = authority(|listener| {
        let mut side = Side::accept(&listener);
        let call = side.call_of("CheckAuthorization");
        side.say_who_polkit_is();
        side.answer(&call, POLKIT, (true, false), &[]);
        call
    });
    let pidfd = nix::sys::stat::fstat(&authority.subject.pidfd).unwrap();
    authority.connect();
    let details = [("box-id", "7".to_owned()), ("command", "run".to_owned())];
    authority.may(Action::ShareNetwork, &details).unwrap();
    let call = bus.join().unwrap();
    let header = call.header();
    assert_eq!(header.destination().unwrap(), "org.freedesktop.PolicyKit1");
    let path = "/org/freedesktop/PolicyKit1/Authority";
    assert_eq!(header.path().unwrap(), path);
    let interface = "org.freedesktop.PolicyKit1.Authority";
    assert_eq!(header.interface().unwrap(), interface);
    let types = header.signature().to_string_no_parens();
    assert_eq!(types, "(sa{sv})sa{ss}us");
    let ((kind, process), action, details, flags, cancellation_id) = asked(&call);
    assert_eq!(kind, "unix-process");
    assert_eq!(*process["pid"], Value::U32(4242));
    assert_eq!(*process["start-time"], Value::U64(99));
    assert_eq!(*process["uid"], Value::I32(1000));
    assert_eq!(process["pidfd"].value_signature(), "h");
    assert_eq!(process.len(), 4);
    assert_eq!(action, "io.github.isolate_run.share-network");
    let expected = [("box-id", "7"), ("command", "run")];
    assert_eq!(
        details,
        expected
            .map(|(name, value)| (name.into(), value.into()))
            .into()
    );
    assert_eq!((flags, &*cancellation_id), (0, "1"));
    // The descriptor itself was sent along.
    let arrived = nix::sys::stat::fstat(&call.data().fds()[0]).unwrap();
    assert_eq!(arrived.st_ino, pidfd.st_ino);
}

/// polkit has asked somebody for a password for this process, some time ago, and asks no more.
#[test]
fn a_yes_by_a_password_is_not_for_other_processes() {
    for (details, for_others) in [
        (&[][..], true),
        (
            &[("polkit.temporary_authorization_id", "tmpauthz7")][..],
            false,
        ),
    ] {
        let (mut authority, bus, _dir) = authority(|listener| {
            let mut side = Side::accept(&listener);
            let call = side.call_of("CheckAuthorization");
            side.say_who_polkit_is();
            side.answer(&call, POLKIT, (true, false), details);
        });
        let told = Rc::new(Cell::new(None));
        let noted = told.clone();
        authority.when_allowed(move |for_others| noted.set(Some(for_others)));
        authority.may(Action::UseBox, &[]).unwrap();
        bus.join().unwrap();
        assert_eq!(told.get(), Some(for_others));
    }
}

#[test]
fn each_answer_but_yes_is_a_no_of_its_own() {
    let says = |answer: (bool, bool), details: &'static [(&str, &str)]| {
        after(move |side, call| side.answer(call, POLKIT, answer, details))
    };
    says((true, false), &[]).unwrap();
    let why = |answer, details| says(answer, details).unwrap_err().why;
    assert!(matches!(why((false, false), &[]), Why::NotAllowed));
    assert!(matches!(why((true, true), &[]), Why::NotAllowed));
    assert!(matches!(
        why((false, true), &[("polkit.result", "auth_admin")]),
        Why::Challenge { own: false }
    ));
    assert!(matches!(
        why((false, true), &[("polkit.result", "auth_self_keep")]),
        Why::Challenge { own: true }
    ));
    assert!(matches!(
        why((false, false), &[("polkit.dismissed", "true")]),
        Why::Dismissed
    ));
}

#[test]
fn an_error_or_garbage_in_place_of_an_answer_is_a_no() {
    let refused = |sender: &'static str, name: &'static str, text: &'static str| {
        after(move |side, call| side.send(call, sender, Some(name), &text))
            .unwrap_err()
            .why
    };
    let failed = "org.freedesktop.PolicyKit1.Error.Failed";
    let unknown = refused(POLKIT, failed, "Action x is not registered");
    assert!(matches!(unknown, Why::NotRegistered(_)), "{unknown:?}");
    let missing = refused(THE_BUS, "org.freedesktop.DBus.Error.ServiceUnknown", "");
    assert!(matches!(missing, Why::NoPolkit(_)), "{missing:?}");
    // It might make sense over another connection.
    let other = after_each_of(2, |side, call| {
        side.send(call, POLKIT, None, &true);
    });
    assert!(matches!(other.unwrap_err().why, Why::Failed(_)));
    let garbage = after_each_of(2, |side, _| side.stream.write_all(&[b'x'; 64]).unwrap());
    assert!(matches!(garbage.unwrap_err().why, Why::Failed(_)));
}

#[test]
fn an_answer_of_somebody_else_or_to_something_else_is_none() {
    let answered = after(|side, call| {
        // A number that no call of theirs has.
        let other = Message::method_call("/", "Other").unwrap();
        let other = other.build(&()).unwrap();
        side.answer(&other, POLKIT, (true, false), &[]);
        side.answer(call, ":1.6", (true, false), &[]);
        // This may be a polkit that has taken over.
        side.say_who_polkit_is();
        side.answer(call, POLKIT, (false, false), &[]);
    });
    assert!(matches!(answered.unwrap_err().why, Why::NotAllowed));
    let (mut authority, bus, _dir) = authority(|listener| {
        let mut side = Side::accept(&listener);
        let check = side.call_of("CheckAuthorization");
        let lookup = side.call_of("GetNameOwner");
        side.send(&lookup, ":1.6", None, &":1.6");
        side.answer(&check, ":1.6", (true, false), &[]);
        side.send(&lookup, THE_BUS, None, &POLKIT);
        side.say_who_polkit_is();
        while side.called().is_some() {}
    });
    authority.patience = Duration::from_millis(300);
    let answered = authority.may(Action::UseBox, &[]);
    assert!(matches!(answered.unwrap_err().why, Why::TimedOut(_)));
    drop(authority);
    bus.join().unwrap();
}

#[test]
fn a_polkit_that_is_being_started_is_looked_up_when_it_has_answered() {
    let (mut authority, bus, _dir) = authority(|listener| {
        let mut side = Side::accept(&listener);
        let check = side.call_of("CheckAuthorization");
        let lookup = side.call_of("GetNameOwner");
        let error = "org.freedesktop.DBus.Error.NameHasNoOwner";
        side.send(&lookup, THE_BUS, Some(error), &"not yet");
        side.answer(&check, POLKIT, (true, false), &[]);
        side.say_who_polkit_is();
    });
    authority.may(Action::UseBox, &[]).unwrap();
    bus.join().unwrap();
}

#[test]
fn questions_go_out_together_and_answers_are_remembered() {
    let (mut authority, bus, _dir) = authority(|listener| {
        let mut side = Side::accept(&listener);
        let first = side.call_of("CheckAuthorization");
        side.say_who_polkit_is();
        let second = side.call_of("CheckAuthorization");
        assert_ne!(asked(&first).4, asked(&second).4);
        side.answer(&second, POLKIT, (true, false), &[]);
        side.answer(&first, POLKIT, (true, false), &[]);
        let third = side.call_of("CheckAuthorization");
        assert_eq!(asked(&third).2["box-id"], "2");
        side.answer(&third, POLKIT, (false, false), &[]);
        assert!(side.called().is_none());
    });
    let details = |id: &str| [("box-id", id.to_owned())];
    authority.ask(Action::UseBox, &details("1"));
    authority.ask(Action::UseDevices, &[]);
    authority.wait().unwrap();
    authority.may(Action::UseBox, &details("1")).unwrap();
    for _ in 0..2 {
        let denied = authority.may(Action::UseBox, &details("2")).unwrap_err();
        assert!(matches!(denied.why, Why::NotAllowed));
    }
    authority.may(Action::UseBox, &details("1")).unwrap();
    drop(authority);
    bus.join().unwrap();
}

#[test]
fn somebody_is_asked_one_thing_at_a_time() {
    let (mut authority, bus, _dir) = authority(|listener| {
        let mut side = Side::accept(&listener);
        for _ in 0..2 {
            let check = side.call_of("CheckAuthorization");
            assert_eq!(asked(&check).3, 1);
            if asked(&check).1.ends_with("use-box") {
                side.say_who_polkit_is();
            }
            let more = side.called_within(Duration::from_millis(50));
            assert!(more.is_none(), "{more:?}");
            side.answer(&check, POLKIT, (true, false), &[]);
        }
    });
    authority.dialog = Dialog::Possible;
    authority.ask(Action::UseBox, &[]);
    authority.ask(Action::UseDevices, &[]);
    authority.wait().unwrap();
    bus.join().unwrap();
}

#[test]
fn what_is_not_answered_in_time_is_withdrawn() {
    let (mut authority, bus, _dir) = authority(|listener| {
        let mut side = Side::accept(&listener);
        let check = side.call_of("CheckAuthorization");
        side.call_of("GetNameOwner");
        let cancel = side.call_of("CancelCheckAuthorization");
        let cancelled: String = cancel.body().deserialize().unwrap();
        assert_eq!(cancelled, asked(&check).4);
    });
    authority.patience = Duration::from_millis(100);
    let denied = authority.may(Action::UseBox, &[]).unwrap_err();
    assert!(matches!(denied.why, Why::TimedOut(_)), "{denied}");
    bus.join().unwrap();
}

#[test]
fn nobody_is_asked_about_what_cannot_be_told() {
    let dir = tempfile::tempdir().unwrap();
    let denied = |subject: Subject, detail: &str| {
        let mut authority = Authority::new(subject, Dialog::Impossible, None);
        authority.bus = dir.path().join("none");
        let details = [("program", detail.to_owned())];
        authority.may(Action::UseBox, &details).unwrap_err().why
    };
    assert!(matches!(denied(subject(1 << 31), ""), Why::UidTooLarge));
    assert!(matches!(denied(subject(u32::MAX), ""), Why::UidTooLarge));
    let elsewhere = Subject {
        pid: 0,
        ..subject(7)
    };
    assert!(matches!(denied(elsewhere, ""), Why::NoPid));
    assert!(matches!(denied(subject(7), "a\0b"), Why::Detail(name) if name == "program"));
    assert!(matches!(denied(subject(7), ""), Why::NoBus(_)));
}

#[test]
fn nothing_is_waited_for_when_the_caller_has_ended() {
    let (mut authority, bus, _dir) = authority(|listener| {
        // This bus hangs.
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap()
    });
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(theirs);
    authority.subject.pidfd = ours.into();
    let denied = authority.may(Action::UseBox, &[]).unwrap_err();
    assert!(matches!(denied.why, Why::Ended), "{denied}");
    drop(authority);
    bus.join().unwrap();
}

#[test]
fn an_answer_is_heard_without_waiting_for_it() {
    for is_allowed in [true, false] {
        let (heard, hears) = std::sync::mpsc::channel();
        let (speak, speaks) = std::sync::mpsc::channel::<()>();
        let (mut authority, bus, _dir) = authority(move |listener| {
            let mut side = Side::accept(&listener);
            let check = side.call_of("CheckAuthorization");
            side.say_who_polkit_is();
            heard.send(()).unwrap();
            speaks.recv().unwrap();
            side.answer(&check, POLKIT, (is_allowed, false), &[]);
        });
        authority.ask(Action::UseBox, &[]);
        while hears.try_recv().is_err() {
            assert!(authority.proceed().is_none());
            thread::sleep(Duration::from_millis(1));
        }
        assert!(authority.proceed().is_none() && !authority.has_mail());
        speak.send(()).unwrap();
        let answered = loop {
            let ready = [((), readable(authority.ready()))];
            let until = Until::within(Duration::from_secs(20));
            assert_eq!(poll::first(ready, until).unwrap(), Some(()));
            if let Some(answered) = authority.proceed() {
                break answered;
            }
        };
        assert_eq!(answered.is_ok(), is_allowed);
        bus.join().unwrap();
    }
}
