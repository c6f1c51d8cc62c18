//! Starts that are cancelled, and the numbers of descriptors.

use super::{
    super::{limits::Part, process::OpenFiles, reap::Pid},
    ChildId, HANDED, Launch, Stage, channel_number,
    child::{ALL_SIGNALS, Shared},
    descriptors::{end_of_descriptors, other_descriptors, standard_streams},
    dev_null, forwarded_channel_number,
    parent::{SpawnStack, make_child},
};
use nix::libc;
use std::{
    ffi::CString,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    ptr,
};

fn launch<'a>(argv: &'a [CString], null: BorrowedFd<'a>, sockets: &'a [BorrowedFd<'a>]) -> Launch<'a> {
    Launch {
        program: c"/bin/sh",
        argv,
        env: &[],
        cwd: c"/",
        stdin: null,
        stdout: null,
        stderr: null,
        sockets,
        watched: false,
        channel: None,
        credentials: None,
        open_files: OpenFiles { soft: 1024, hard: 1024 },
        limits: None,
        cgroup: None,
        mark: None,
    }
}

fn exit_code(pid: Pid) -> i32 {
    let mut status = 0;
    // SAFETY: waits for a child of this test; `status` is a valid place.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert!(libc::WIFEXITED(status), "{status:#x}");
    libc::WEXITSTATUS(status)
}

#[test]
fn a_child_that_is_cancelled_during_its_creation_executes_nothing() {
    let null = dev_null().unwrap();
    let argv = [c"sh", c"-c", c"exit 7"].map(CString::from);
    let launch = launch(&argv, null.as_fd(), &[]);
    let mut stack = SpawnStack::new().unwrap();
    // The cancellation of an earlier start of the thread does not affect later ones.
    let earlier = ChildId::default();
    assert!(earlier.begin(stack.next_attempt()));
    for (is_cancelled, code) in [(false, 7), (true, 127), (false, 7)] {
        let (attempt, id) = (stack.next_attempt(), ChildId::default());
        assert!(id.begin(attempt));
        let mut words: Vec<_> = argv.iter().map(|word| word.as_ptr()).collect();
        words.push(ptr::null());
        let mut shared = Shared {
            launch: &launch,
            streams: standard_streams(&launch),
            keeps_below: None,
            argv: words,
            env: vec![ptr::null()],
            other_descriptors: Vec::new(),
            pid_places: [ptr::null_mut(); 2],
            parent: std::process::id(),
            signals: ALL_SIGNALS,
            attempt,
        };
        earlier.cancel();
        if is_cancelled {
            id.cancel();
        }
        let pid = make_child(&mut stack.stack, &mut shared, &id).unwrap();
        assert_eq!((id.get(), exit_code(pid)), (Some(pid), code));
    }
    let late = ChildId::default();
    late.cancel();
    assert!(!late.begin(stack.next_attempt()), "no child is created");
}

#[test]
fn a_stage_is_decoded_from_its_number() {
    let limits = [Part::Resource(0), Part::Resource(15), Part::Privileges].map(Stage::Limits);
    for stage in
        [Stage::Fork, Stage::Streams, Stage::Credentials, Stage::Chdir, Stage::Exec].into_iter().chain(limits)
    {
        assert_eq!(Stage::from_number(stage.number()), stage);
    }
}

#[test]
fn a_source_with_the_number_of_a_target_is_moved_first() {
    let null = dev_null().unwrap();
    let sockets = vec![null.as_fd(); 200];
    let launch = Launch {
        channel: Some((null.as_fd(), channel_number(sockets.len()))),
        ..launch(&[], null.as_fd(), &sockets)
    };
    let end = end_of_descriptors(&launch);
    assert_eq!(usize::try_from(end).unwrap(), HANDED + 201);
    assert!(null.as_raw_fd() < end, "it has the number of a target");
    let mut moved = Vec::new();
    let all = other_descriptors(&launch, &mut moved).unwrap();
    assert_eq!((all.len(), moved.len()), (201, 201));
    assert!(all.iter().all(|(fd, _)| *fd >= end), "{all:?}");
    assert_eq!(all.last().map(|(_, to)| *to), Some(end - 1), "above the sockets");
    let alone = Launch { sockets: &[], channel: Some((null.as_fd(), channel_number(0))), ..launch };
    let all = other_descriptors(&alone, &mut moved).unwrap();
    assert_eq!((all[0].1, end_of_descriptors(&alone)), (15, 16));
    // Node keeps no descriptors from its children above an unused number above 15.
    assert_eq!([0, 13, 14, 200].map(forwarded_channel_number), [17, 17, 18, 204]);
}
