//! Clients that do not play along: the supervisor goes on, and everybody else is served.

use std::{
    io::{BufRead, Read, Write},
    os::unix::net::UnixStream,
};

use super::{APPS, Rough, socket, statuses, supervisor};
use crate::support::{Bed, Procrun, SIGCONT, SIGSTOP, procfs, wait_until};

#[test]
fn garbage_and_half_messages_get_an_answer_or_nothing() {
    let bed = Bed::with(APPS);
    let mut run = supervisor(&bed, false, 3);
    let path = socket(&bed);
    for garbage in ["GET / HTTP/1.1\r\n\r", "{}", "null", "\u{0}\u{1}", "{\"protocol\":\"1\"}"] {
        let mut rough = Rough::new(&path);
        rough.say(garbage);
        assert_eq!(rough.hear()["protocol"], 2, "it says who it is");
        assert!(rough.hear()["failed"]["message"].is_string(), "{garbage}");
        assert!(rough.hear().is_null(), "and hangs up");
    }
    let mut rough = Rough::new(&path);
    rough.say(r#"{"protocol":1,"procrun":"0.0.9"}"#);
    assert_eq!(rough.hear()["protocol"], 2, "which an old client understands");
    let answer = rough.hear()["failed"]["message"].to_string();
    assert!(answer.contains("with protocol version 2"), "{answer}");
    assert!(answer.contains("the client is procrun 0.0.9 with protocol version 1"), "{answer}");

    let mut rough = Rough::greeted(&path);
    for request in ["\"dance\"", "{\"act\":{}}", "[]", "", "{\"act\":{\"action\":\"stop\",\"targets\":[1]}}"]
    {
        assert!(rough.asks(request)["failed"]["message"].is_string(), "{request}");
    }
    assert!(rough.asks("\"ping\"")["overview"]["supervisor"]["pid"].is_u64(), "and is served further");

    let mut half = Rough::greeted(&path);
    half.stream.write_all(b"{\"act\":{\"action\":\"st").unwrap();
    drop(half);
    let mut pieces = Rough::new(&path);
    for byte in b"{\"protocol\":2,\"procrun\":\"slow\"}\n\"ping\"\n" {
        pieces.stream.write_all(&[*byte]).unwrap();
    }
    pieces.hear();
    assert!(pieces.hear()["overview"].is_object());
    assert_eq!(statuses(&bed), ["api online", "api online", "worker online"]);
    run.expect_stop();
}

#[test]
fn a_line_without_end_is_cut_off() {
    let bed = Bed::with(APPS);
    let run = supervisor(&bed, false, 3);
    let path = socket(&bed);
    let mut stranger = Rough::new(&path);
    stranger.stream.write_all(&[b'x'; 4096]).unwrap();
    stranger.hear();
    assert!(stranger.hear().to_string().contains("1024 bytes"));
    let mut known = Rough::greeted(&path);
    let piece = vec![b'x'; 64 * 1024];
    let sent: usize = (0..1000).map_while(|_| known.stream.write(&piece).ok()).sum();
    assert!(sent < 8 * 1024 * 1024, "{sent}");
    assert!(procfs::peak_kib(run.pid()) < 64 * 1024);
    bed.command(&["ping"]).ok();
}

#[test]
fn half_requests_of_all_clients_together_have_a_bound() {
    let bed = Bed::with(APPS);
    let mut run = supervisor(&bed, false, 3);
    let path = socket(&bed);
    let half = vec![b'x'; 512 * 1024];
    let mut clients: Vec<Rough> = (0..150).map(|_| Rough::greeted(&path)).collect();
    for client in &mut clients {
        client.stream.write_all(b"{\"describe\":{\"targets\":[\"").unwrap();
        // A client that is cut off cannot send all of it.
        let _ = client.stream.write_all(&half);
    }
    for client in &clients {
        client.stream.set_nonblocking(true).unwrap();
    }
    wait_until("a client to be cut off", || {
        let is_refused = |client: &mut Rough| {
            client
                .lines
                .fill_buf()
                .is_ok_and(|said| String::from_utf8_lossy(said).contains("incomplete requests"))
        };
        clients.iter_mut().any(is_refused)
    });
    assert!(procfs::peak_kib(run.pid()) < 64 * 1024, "{}", procfs::peak_kib(run.pid()));
    bed.command(&["ping"]).ok();
    run.expect_stop();
}

#[test]
fn a_client_that_reads_nothing_delays_no_other() {
    let bed = Bed::with(APPS);
    let mut run = supervisor(&bed, false, 3);
    let path = socket(&bed);
    let mut deaf: Vec<Rough> = (0..30).map(|_| Rough::greeted(&path)).collect();
    for rough in &mut deaf {
        rough.stream.set_nonblocking(true).unwrap();
        // As many as the socket takes.
        while rough.stream.write(b"{\"describe\":{\"targets\":[]}}\n").is_ok() {}
    }
    bed.command(&["restart", "worker"]).ok();
    assert!(procfs::peak_kib(run.pid()) < 64 * 1024);
    run.expect_stop();
}

#[test]
fn idle_clients_make_room() {
    let bed = Bed::with(APPS);
    let run = supervisor(&bed, false, 3);
    let path = socket(&bed);
    let files = |pid: i32| std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let before = files(run.pid());
    let idle: Vec<UnixStream> = (0..200).map(|_| UnixStream::connect(&path).unwrap()).collect();
    bed.command(&["ping"]).ok();
    assert!(files(run.pid()) < before + 180, "their number is bounded: {}", files(run.pid()));
    let mut first = &idle[0];
    assert_eq!(first.read(&mut [0; 8]).unwrap_or(0), 0, "the oldest one was sent away");
    drop(idle);
    wait_until("the descriptors to be given back", || files(run.pid()) < before + 10);
}

#[test]
fn followers_and_waiting_clients_leave_space_for_others() {
    let bed = Bed::with(
        "[[apps]]\nname = \"stays\"\nscript = \"trap '' TERM; while :; do echo tick; sleep 0.1; done\"\n\
         kill_timeout = \"1000s\"\n",
    );
    let run = supervisor(&bed, false, 1);
    let path = socket(&bed);
    let mut following: Vec<Rough> = (0..64).map(|_| Rough::greeted(&path)).collect();
    let follow = r#"{"logs":{"targets":[],"lines":1,"out":true,"err":true,"stream":true}}"#;
    for rough in &mut following {
        assert!(rough.asks(follow)["lines"].is_object());
    }
    assert_eq!(statuses(&bed), ["stays online"]);
    let mut late = Rough::greeted(&path);
    assert!(late.asks(follow).to_string().contains("64 clients already follow logs or events"));
    assert!(late.asks("\"list\"")["overview"].is_object(), "and it may ask for something else");

    let mut waiting: Vec<Rough> = (0..64).map(|_| Rough::greeted(&path)).collect();
    for rough in &mut waiting {
        rough.say(r#"{"act":{"action":"stop","targets":["stays"]}}"#);
    }
    wait_until("the stop", || statuses(&bed) == ["stays stopping"]);
    let is_refused =
        || late_stop(&path).is_some_and(|why| why.contains("64 commands are in progress already"));
    wait_until("the last of them to be taken", is_refused);

    // Neither does who asks and never reads.
    let deaf: Vec<Rough> = (0..40)
        .map(|_| {
            let mut rough = Rough::greeted(&path);
            rough.stream.set_nonblocking(true).unwrap();
            while rough.stream.write(b"{\"describe\":{\"targets\":[]}}\n").is_ok() {}
            rough
        })
        .collect();
    assert_eq!(statuses(&bed), ["stays stopping"]);

    // No follower was disconnected for it, and each one that ends makes room for another.
    for rough in &mut following {
        assert!(!rough.hear().is_null());
    }
    drop((deaf, waiting, following.pop()));
    wait_until("room for one more", || Rough::greeted(&path).asks(follow)["lines"].is_object());
    drop(run);
}

/// What a stop is answered at once, if it is.
fn late_stop(path: &std::path::Path) -> Option<String> {
    let mut rough = Rough::greeted(path);
    rough.stream.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
    rough.say(r#"{"act":{"action":"stop","targets":["stays"]}}"#);
    let mut answer = [0; 1024];
    let count = rough.stream.read(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer[..count]).into_owned())
}

#[test]
fn fifty_clients_hammer_and_each_is_served() {
    let bed = Bed::with(APPS);
    let mut run = supervisor(&bed, false, 3);
    let path = socket(&bed);
    std::thread::scope(|scope| {
        for number in 0..50 {
            let path = &path;
            scope.spawn(move || {
                for round in 0..20 {
                    let mut rough = Rough::greeted(path);
                    let answer = match (number + round) % 4 {
                        0 => rough.asks("\"ping\""),
                        1 => rough.asks("{\"describe\":{\"targets\":[]}}"),
                        2 => rough.asks("{\"act\":{\"action\":\"reset\",\"targets\":[\"all\"]}}"),
                        _ => rough.asks("\"list\""),
                    };
                    assert!(answer.is_object() && answer["failed"].is_null(), "{answer}");
                }
            });
        }
    });
    let commands: Vec<_> = (0..10).map(|_| bed.isolated(&["restart", "worker"]).start()).collect();
    for command in commands {
        let said = command.output();
        assert_eq!(said.code, 0, "{said:?}");
    }
    assert_eq!(statuses(&bed), ["api online", "api online", "worker online"]);
    run.expect_stop();
}

#[test]
fn queries_are_answered_while_many_apps_start() {
    let bed = Bed::with("[[apps]]\nname = \"many\"\nscript = \"exec sleep 1000\"\ninstances = 100\n");
    let mut run = supervisor(&bed, false, 100);
    let mut looks = Rough::greeted(&socket(&bed));
    let mut acts = Rough::greeted(&socket(&bed));
    // An instance is launching only within a turn: it waits for nothing.
    wait_until("a list of those that are being started", || {
        acts.say(r#"{"act":{"action":"restart","targets":["all"]}}"#);
        acts.stream.set_nonblocking(true).unwrap();
        let mut seen = false;
        let mut end = [0; 8 * 1024];
        let mut said = Vec::new();
        while !String::from_utf8_lossy(&said).contains("\"done\"") {
            seen |= looks.asks("\"list\"").to_string().contains("\"launching\"");
            if let Ok(count) = acts.stream.read(&mut end) {
                said.extend_from_slice(&end[..count]);
            }
        }
        acts.stream.set_nonblocking(false).unwrap();
        seen
    });
    run.expect_stop();
}

#[test]
fn requests_in_a_row_are_answered_in_a_row() {
    let bed = Bed::with(APPS);
    let _run = supervisor(&bed, false, 3);
    let mut rough = Rough::new(&socket(&bed));
    rough.say("{\"protocol\":2,\"procrun\":\"x\"}\n\"ping\"\n{\"act\":{\"action\":\"reset\",\"targets\":[\"all\"]}}\n\"list\"");
    rough.stream.shutdown(std::net::Shutdown::Write).unwrap();
    rough.hear();
    assert_eq!(rough.hear()["overview"]["instances"], serde_json::json!([]));
    assert_eq!(rough.hear()["done"]["ids"], serde_json::json!([0, 1, 2]));
    assert_eq!(rough.hear()["overview"]["instances"].as_array().unwrap().len(), 3);
    assert!(rough.hear().is_null(), "and then it hangs up");
}

/// Several clients say this at the same time.
fn say_at_once(run: &Procrun, clients: &mut [(Rough, String)]) {
    run.signal(SIGSTOP);
    for (client, request) in clients {
        client.say(request);
    }
    run.signal(SIGCONT);
}

#[test]
fn requests_about_the_supervisors_own_file_that_come_at_once_all_find_it() {
    let bed = Bed::with(APPS);
    std::fs::rename(bed.path("ecosystem.toml"), bed.path("real.toml")).unwrap();
    std::os::unix::fs::symlink("real.toml", bed.path("ecosystem.toml")).unwrap();
    let mut run = supervisor(&bed, false, 3);
    let (path, file) = (socket(&bed), bed.path("real.toml").canonicalize().unwrap());
    let request = format!("{{\"apply\":{{\"file\":{file:?},\"dry_run\":true}}}}");
    let mut clients: Vec<_> = (0..4).map(|_| (Rough::greeted(&path), request.clone())).collect();
    say_at_once(&run, &mut clients);
    for (client, _) in &mut clients {
        let answer = client.hear();
        assert!(answer["plan"].is_object(), "{answer}");
    }
    run.expect_stop();
}

#[test]
fn a_change_of_an_app_that_is_deleted_meanwhile_fails() {
    let bed = Bed::with(APPS);
    let mut run = supervisor(&bed, false, 3);
    let path = socket(&bed);
    let change = "{\"change\":{\"targets\":[\"worker\"],\"scope\":\"restart\",\"environment\":{\"NEW\":\"1\"},\"patch\":null}}";
    let delete = "{\"act\":{\"action\":\"delete\",\"targets\":[\"worker\"]}}";
    let mut clients = [change, delete].map(|request| (Rough::greeted(&path), request.to_owned()));
    say_at_once(&run, &mut clients);
    let [(changer, _), (deleter, _)] = &mut clients;
    let answer = changer.hear();
    let message = answer["failed"]["message"].as_str();
    assert_eq!(message, Some("app `worker` has left the list meanwhile"), "{answer}");
    while deleter.hear()["done"].is_null() {}
    assert_eq!(statuses(&bed), ["api online", "api online"]);
    run.expect_stop();
}
