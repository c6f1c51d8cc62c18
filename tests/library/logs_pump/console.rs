//! What lines look like on stdout and stderr, and their order.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    os::fd::OwnedFd,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use procrun::{
    logs::{Logs, Sinks},
    spec::{LogSpec, LogStyle, RuntimeLog},
};
use tracing::Level;

use super::support::{Setup, add, finish, pipe, settle, start, styled, until};

#[test]
fn lines_get_aligned_prefixes_and_stay_on_their_stream() {
    let setup = start(&RuntimeLog::default());
    let mut main = add(&setup.logs, 0, "main", Sinks::default());
    main.out.write_all(b"first\n").unwrap();
    settle(&setup.logs);
    let mut other = add(&setup.logs, 11, "other-one", Sinks::default());
    other.out.write_all(b"second\n").unwrap();
    settle(&setup.logs);
    main.out.write_all(b"th").unwrap();
    main.out.write_all(b"ird\r\n\n").unwrap();
    main.err.write_all(b"oh\n").unwrap();
    setup.logs.run_ended(0);
    setup.logs.own(Level::INFO, "main exited");
    setup.logs.own(Level::WARN, "odd");
    let (out, err) = finish(setup);
    assert_eq!(out, "0|main | first\n11|other-one | second\n0|main       | third\r\n0|main       | \n");
    assert_eq!(err, "0|main       | oh\nprocrun      | main exited\nprocrun      | warn: odd\n");
}

#[test]
fn the_last_lines_come_before_later_reports() {
    // All on one pipe, so that the order is seen.
    let (mut read, write) = pipe(1 << 20);
    let logs =
        Logs::start_with(&RuntimeLog::default(), write.try_clone().unwrap().into(), write.into()).unwrap();
    for run in 0..200 {
        let mut worker = add(&logs, run, "main", Sinks::default());
        worker.out.write_all(b"one\nlast words").unwrap();
        worker.err.write_all(b"no!").unwrap();
        logs.run_ended(run);
        logs.own(Level::INFO, "exited");
        logs.remove(run);
    }
    drop(logs);
    let mut text = String::new();
    read.read_to_string(&mut text).unwrap();
    let texts: Vec<&str> = text.lines().map(|line| line.split(" | ").nth(1).unwrap()).collect();
    assert_eq!(texts.len(), 800);
    for run in texts.chunks(4) {
        assert_eq!(run, ["one", "last words", "no!", "exited"]);
    }
}

#[test]
fn bytes_that_are_no_utf8_go_through_unharmed() {
    let Setup { logs, mut out, .. } = start(&styled(LogStyle::Raw));
    let mut worker = add(&logs, 0, "main", Sinks::default());
    let bytes: Vec<u8> = (0..=255).chain([b'\n']).collect();
    worker.out.write_all(&bytes).unwrap();
    settle(&logs);
    drop(logs);
    let mut found = Vec::new();
    out.read_to_end(&mut found).unwrap();
    assert_eq!(found, bytes);
}

#[test]
fn json_records_are_pm2s_and_hold_procruns_own_lines_too() {
    let setup = start(&styled(LogStyle::Json));
    let mut plain = add(&setup.logs, 0, "main", Sinks::default());
    let spec = LogSpec { json: true, ..LogSpec::default() };
    let mut merged = add(&setup.logs, 1, "pino", Sinks { spec, ..Sinks::default() });
    plain.out.write_all(b"caf\xc3\xa9 \xff\x01\n{\"a\":1}\n").unwrap();
    settle(&setup.logs);
    merged.out.write_all(b"{\"level\":30,\"msg\":\"hi\"}\nno json\n").unwrap();
    setup.logs.own(Level::WARN, "odd");
    let (out, err) = finish(setup);
    let records: Vec<serde_json::Value> =
        out.lines().chain(err.lines()).map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records[0]["message"], "café \\xff\u{1}");
    let keys: Vec<&String> = records[0].as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), 5, "{keys:?}");
    let stamp = records[0]["timestamp"].as_str().unwrap();
    assert!(stamp.len() == 24 && stamp.ends_with('Z') && stamp.as_bytes()[10] == b'T', "{stamp}");
    assert_eq!((&records[0]["type"], &records[0]["process_id"]), (&"out".into(), &0.into()));
    assert_eq!(records[1]["message"], "{\"a\":1}", "not merged unless asked for");
    assert_eq!((&records[2]["msg"], &records[2]["app_name"]), (&"hi".into(), &"pino".into()));
    assert_eq!(records[3]["message"], "no json");
    assert_eq!((&records[4]["app_name"], &records[4]["level"]), (&"procrun".into(), &"warn".into()));
}

#[test]
fn a_time_stands_before_the_text_as_in_pm2() {
    let log = RuntimeLog { date_format: Some("[T]".to_owned()), ..RuntimeLog::default() };
    let setup = start(&log);
    let spec = LogSpec { date_format: Some("[own time]".to_owned()), ..LogSpec::default() };
    let mut own = add(&setup.logs, 0, "a", Sinks { spec, ..Sinks::default() });
    own.out.write_all(b"x\n").unwrap();
    settle(&setup.logs);
    let mut other = add(&setup.logs, 1, "b", Sinks::default());
    other.out.write_all(b"y\n").unwrap();
    settle(&setup.logs);
    setup.logs.own(Level::INFO, "z");
    let (out, err) = finish(setup);
    assert_eq!(out, "0|a | own time: x\n1|b | T: y\n");
    assert_eq!(err, "procrun | T: z\n");
}

#[test]
fn a_pipe_that_every_writer_has_closed_gives_its_last_line() {
    let setup = start(&RuntimeLog::default());
    let mut worker = add(&setup.logs, 0, "main", Sinks::default());
    worker.out.write_all(b"bye").unwrap();
    drop(worker);
    settle(&setup.logs);
    setup.logs.run_ended(0);
    setup.logs.remove(0);
    let (out, _) = finish(setup);
    assert_eq!(out, "0|main | bye\n");
}

/// The next line of what the pump writes.
fn next_line(of: &mut BufReader<File>) -> String {
    let mut line = String::new();
    of.read_line(&mut line).unwrap();
    line
}

#[test]
fn a_line_without_an_end_is_shown_when_its_writer_pauses() {
    for (style, expected) in [
        (LogStyle::Prefix, ["0|main | Name: ", "0|main | [...] yes", "0|main | Sure? ", "0|main | next"]),
        (LogStyle::Raw, ["Name: ", "[...] yes", "Sure? ", "next"]),
    ] {
        let setup = start(&styled(style));
        let mut out = BufReader::new(setup.out.try_clone().unwrap());
        let mut main = add(&setup.logs, 0, "main", Sinks::default());
        main.out.write_all(b"Name: ").unwrap();
        assert_eq!(next_line(&mut out).trim_end_matches('\n'), expected[0]);
        main.out.write_all(b"yes\nSure? ").unwrap();
        assert_eq!(next_line(&mut out).trim_end_matches('\n'), expected[1]);
        assert_eq!(next_line(&mut out).trim_end_matches('\n'), expected[2]);
        // The bare end of a line that is shown already is no line.
        main.out.write_all(b"\nnext\n").unwrap();
        assert_eq!(next_line(&mut out).trim_end_matches('\n'), expected[3]);
        assert_eq!(finish(setup), (String::new(), String::new()));
    }
}

#[test]
fn records_of_a_line_whose_writer_pauses_can_be_put_together() {
    let setup = start(&styled(LogStyle::Json));
    let mut out = BufReader::new(setup.out.try_clone().unwrap());
    let mut main = add(&setup.logs, 0, "main", Sinks::default());
    let mut next = || {
        let record: serde_json::Value = serde_json::from_str(&next_line(&mut out)).unwrap();
        (record["message"].as_str().unwrap().to_owned(), record.get("partial").is_some())
    };
    main.out.write_all("10 % \u{e9}".as_bytes().split_last().unwrap().1).unwrap();
    assert_eq!(next(), ("10 % ".to_owned(), true));
    main.out.write_all("\u{e9}\r20 %".as_bytes().split_at(1).1).unwrap();
    assert_eq!(next(), ("\u{e9}\r20 %".to_owned(), true));
    main.out.write_all(b"\n").unwrap();
    assert_eq!(next(), (String::new(), false));
    main.out.write_all(b"last").unwrap();
    assert_eq!(next(), ("last".to_owned(), true));
    // The end of a run ends the line, too.
    setup.logs.run_ended(0);
    assert_eq!(next(), (String::new(), false));
    assert_eq!(finish(setup), (String::new(), String::new()));
}

#[test]
fn a_progress_bar_without_pauses_is_shown_too() {
    let setup = start(&RuntimeLog::default());
    let mut out = BufReader::new(setup.out.try_clone().unwrap());
    let mut main = add(&setup.logs, 0, "main", Sinks::default());
    let is_shown = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            until("the bar to be shown", || {
                main.out.write_all(b"\r###").unwrap();
                is_shown.load(Ordering::Relaxed).then_some(())
            });
        });
        assert!(next_line(&mut out).starts_with("0|main | \r###\r###"));
        is_shown.store(true, Ordering::Relaxed);
    });
    finish(setup);
}

#[test]
fn tracing_events_become_own_lines() {
    use tracing_subscriber::layer::SubscriberExt as _;
    let setup = start(&RuntimeLog::default());
    let layer = procrun::logs::layer(setup.logs.clone(), procrun::spec::Verbosity::Info);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        tracing::info!(app = "main", code = 1, why = "a b", "exited");
        tracing::error!("bad");
        tracing::debug!("not said");
    });
    let (_, err) = finish(setup);
    assert_eq!(err, "procrun | exited\nprocrun | error: bad\n");
}

/// Keeps the type of the descriptors that the pump takes in view.
#[test]
fn a_handle_is_cheap_to_share() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    shared::<Logs>();
    let _: fn(&RuntimeLog, OwnedFd, OwnedFd) -> std::io::Result<Logs> = Logs::start_with;
}

#[test]
fn colours_are_for_terminals_only() {
    let terminal = nix::pty::openpty(None, None).unwrap();
    let (mut err, err_write) = pipe(1 << 16);
    let logs = Logs::start_with(&RuntimeLog::default(), terminal.slave, err_write.into()).unwrap();
    let mut worker = add(&logs, 0, "main", Sinks::default());
    worker.out.write_all(b"text\n").unwrap();
    worker.err.write_all(b"text\n").unwrap();
    settle(&logs);
    drop(logs);
    let mut out = String::new();
    BufReader::new(File::from(terminal.master)).read_line(&mut out).unwrap();
    let mut error = String::new();
    err.read_to_string(&mut error).unwrap();
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if set("CLICOLOR_FORCE") {
        assert_eq!(error, "\x1b[0;38;5;32m0|main |\x1b[0m text\n");
        return;
    }
    assert_eq!(error, "0|main | text\n");
    let coloured = "\x1b[0;38;5;32m0|main |\x1b[0m text\r\n";
    assert_eq!(out, if set("NO_COLOR") { "0|main | text\r\n" } else { coloured });
}
