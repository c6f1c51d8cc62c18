use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn all(bytes: &[u8], cuts: &[usize]) -> Vec<Result<Message, Broken>> {
    let mut decoder = Decoder::default();
    let mut messages = Vec::new();
    let mut from = 0;
    for to in cuts.iter().copied().chain([bytes.len()]) {
        decoder.feed(&bytes[from..to], |message| messages.push(message));
        from = to;
    }
    messages
}

fn one(line: &str) -> Result<Message, Broken> {
    all(format!("{line}\n").as_bytes(), &[]).pop().expect("one message")
}

fn query(line: &str) -> Query {
    match one(line) {
        Ok(Message::Cluster(WorkerMessage::Query(query))) => query,
        other => panic!("{other:?}"),
    }
}

#[test]
fn messages_of_node_20_are_parsed() {
    let tcp = query(
        r#"{"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"data":null,"address":null,"port":3000,"addressType":4,"seq":1}"#,
    );
    let endpoint = Endpoint::Tcp { address: None, port: 3000, only_v6: false, backlog: 511 };
    assert_eq!(tcp, Query { seq: 1, endpoint: Some(endpoint), descriptor: None, index: 0, data: None });

    let tls = query(
        r#"{"cmd":"NODE_CLUSTER","act":"queryServer","index":1,"data":{"ticketKeys":"00ff"},"address":"::1","port":443,"addressType":6,"flags":1,"backlog":5,"seq":9}"#,
    );
    assert_eq!(tls.data.as_deref(), Some(r#"{"ticketKeys":"00ff"}"#));
    let address = Some("::1".to_owned());
    assert_eq!(tls.endpoint, Some(Endpoint::Tcp { address, port: 443, only_v6: true, backlog: 5 }));

    let unix = query(
        r#"{"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"data":null,"address":"/run/a.sock","port":-1,"addressType":-1,"readableAll":true,"seq":2}"#,
    );
    let path = "/run/a.sock".to_owned();
    let endpoint = Endpoint::Unix { path, readable: true, writable: false, backlog: 511 };
    assert_eq!(unix.endpoint, Some(endpoint));

    let udp = query(
        r#"{"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"data":null,"address":"0.0.0.0","addressType":"udp4","fd":-1,"flags":4,"seq":3}"#,
    );
    let address = "0.0.0.0".to_owned();
    assert_eq!(udp.endpoint, Some(Endpoint::Udp { address, port: 0, only_v6: false, reuse: true }));

    let inherited = query(
        r#"{"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"data":null,"address":null,"port":null,"addressType":null,"fd":3,"seq":4}"#,
    );
    assert_eq!((inherited.endpoint, inherited.descriptor), (None, Some(3)));

    for (line, message) in [
        (r#"{"cmd":"NODE_CLUSTER","act":"online","seq":0}"#, WorkerMessage::Online),
        (
            r#"{"cmd":"NODE_CLUSTER","act":"close","key":3,"seq":4}"#,
            WorkerMessage::Close { listener: Some(ListenerId(3)) },
        ),
        (
            r#"{"cmd":"NODE_CLUSTER","ack":17,"accepted":false,"seq":4}"#,
            WorkerMessage::Ack { seq: 17, accepted: false },
        ),
        (
            r#"{"cmd":"NODE_CLUSTER","act":"exitedAfterDisconnect","seq":4}"#,
            WorkerMessage::Leaving { seq: 4 },
        ),
        (
            r#"{"cmd":"NODE_CLUSTER","act":"listening","address":"127.0.0.1","port":80,"addressType":4,"seq":4}"#,
            WorkerMessage::Listening { address: "127.0.0.1:80".to_owned() },
        ),
        (r#"{"cmd":"NODE_CLUSTER","act":"fly","seq":4}"#, WorkerMessage::Unknown),
        (r#"{"cmd":"NODE_PROCRUN","act":"drains"}"#, WorkerMessage::Drains),
        (r#"{"cmd":"NODE_PROCRUN","act":"drained"}"#, WorkerMessage::Drained),
        (r#"{"cmd":"NODE_PROCRUN","act":"online"}"#, WorkerMessage::Unknown),
        (r#"{"cmd":"NODE_PROCRUN"}"#, WorkerMessage::Unknown),
    ] {
        assert_eq!(one(line), Ok(Message::Cluster(message)), "{line}");
    }
}

#[test]
fn other_messages_belong_to_the_application() {
    assert_eq!(one("\"ready\""), Ok(Message::Application { ready: true }));
    for line in [
        "\"online\"",
        "5",
        "-0.5e300",
        "true",
        "null",
        "[{\"cmd\":\"NODE_CLUSTER\"}]",
        r#"{"cmd":5,"act":"close"}"#,
        r#"{"cmd":{"cmd":"NODE_CLUSTER"}}"#,
        r#"{"cmd":"mine","seq":"x"}"#,
        r#"{"type":"process:msg","data":{}}"#,
        "\"\\u0072eady!\"",
    ] {
        assert_eq!(one(line), Ok(Message::Application { ready: false }), "{line}");
    }
    assert_eq!(one(r#"{"cmd":"NODE_HANDLE_ACK"}"#), Ok(Message::HandleAck));
    assert_eq!(one(r#"{"cmd":"NODE_\u0048ANDLE_NACK"}"#), Ok(Message::HandleNack));
    assert_eq!(one(r#"{"cmd":"NODE_HANDLE","type":"net.Socket","msg":1}"#), Ok(Message::Handle));
    assert_eq!(one(r#"{"cmd":"NODE_SOCKET_GET_COUNT"}"#), Ok(Message::Other));
}

#[test]
fn reports_of_failures_are_parsed() {
    for (line, message) in [
        (
            r#"{"cmd":"NODE_PROCRUN","act":"cannot-listen","port":3000,"errno":-98}"#,
            Message::CannotListen { address: "port 3000".to_owned(), errno: 98, is_handled: false },
        ),
        (
            r#"{"cmd":"NODE_PROCRUN","act":"cannot-listen","port":9100,"errno":-98,"handled":true}"#,
            Message::CannotListen { address: "port 9100".to_owned(), errno: 98, is_handled: true },
        ),
        (
            r#"{"cmd":"NODE_PROCRUN","act":"cannot-listen","address":"/run/\u001b[1ma.sock","port":-1,"errno":-13}"#,
            Message::CannotListen { address: "/run/[1ma.sock".to_owned(), errno: 13, is_handled: false },
        ),
        (r#"{"cmd":"NODE_PROCRUN","act":"listens"}"#, Message::Listens),
        (
            r#"{"cmd":"NODE_PROCRUN","act":"uncaught","origin":"unhandledRejection"}"#,
            Message::Uncaught(Uncaught::Rejection),
        ),
        (
            r#"{"cmd":"NODE_PROCRUN","act":"uncaught","origin":"uncaughtException"}"#,
            Message::Uncaught(Uncaught::Exception),
        ),
    ] {
        assert_eq!(one(line), Ok(message), "{line}");
    }
    let long = format!(r#"{{"cmd":"NODE_PROCRUN","act":"cannot-listen","address":"{}"}}"#, "x".repeat(9999));
    let Ok(Message::CannotListen { address, errno: 0, .. }) = one(&long) else { panic!("{:?}", one(&long)) };
    assert_eq!(address.len(), MAX_ADDRESS);
}

#[test]
fn messages_of_bun_1_4_are_parsed_and_unknown_ones_are_skipped() {
    for (line, message) in [
        (r#"{"cmd":"NODE_CLUSTER","act":"online","seq":0}"#, WorkerMessage::Online),
        (
            r#"{"cmd":"NODE_CLUSTER","act":"listening","port":4100,"data":null,"address":null,"addressType":4}"#,
            WorkerMessage::Listening { address: "port 4100".to_owned() },
        ),
        (
            r#"{"cmd":"NODE_CLUSTER","act":"exitedAfterDisconnect","seq":3}"#,
            WorkerMessage::Leaving { seq: 3 },
        ),
        (r#"{"cmd":"NODE_CLUSTER"}"#, WorkerMessage::Unknown),
    ] {
        assert_eq!(one(&format!("\u{2}{line}")), Ok(Message::Bun(message)), "{line}");
    }
    let query = r#"{"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"data":null,"address":null,"port":4102,"addressType":4,"flags":0,"seq":1}"#;
    let request = one(&format!("\u{2}{query}"));
    assert!(
        matches!(&request, Ok(Message::Bun(WorkerMessage::Query(query))) if query.seq == 1),
        "{request:?}"
    );
    for line in
        ["", "{", "5", "GET /", r#"{"cmd":"NODE_CLUSTER","seq":-1}"#, r#"{"cmd":"NODE_HANDLE"}"#, "\u{2}"]
    {
        assert_eq!(one(&format!("\u{2}{line}")), Ok(Message::Other), "{line}");
    }

    let mut answer = Vec::new();
    encode_for_bun(&Answer::not_supported(1), &mut answer);
    assert_eq!(answer[0], BUN_PREFIX);
    let answer: Value = serde_json::from_slice(&answer[1..]).expect("JSON");
    assert_eq!((&answer["ack"], &answer["errno"]), (&json!(1), &json!(-95)));
}

#[test]
fn a_malformed_line_closes_the_channel() {
    for line in [
        "",
        "GET / HTTP/1.1",
        "{",
        "{\"cmd\":",
        "\u{0}",
        r#"{"cmd":"NODE_CLUSTER","act":"queryServer"}"#,
        r#"{"cmd":"NODE_CLUSTER","act":7,"seq":1}"#,
        r#"{"cmd":"NODE_CLUSTER","ack":-1}"#,
        r#"{"cmd":"NODE_PROCRUN","act":["drained"]}"#,
    ] {
        let messages = all(format!("\"before\"\n{line}\n\"after\"\n").as_bytes(), &[]);
        let before = Ok(Message::Application { ready: false });
        assert_eq!(messages, [before, Err(Broken::Malformed)], "{line}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(one(&deep), Err(Broken::Malformed));
    assert_eq!(one(&"x".repeat(MAX_MESSAGE + 1)), Err(Broken::TooLong));
    let long = format!("\"{}\"", "x".repeat(MAX_MESSAGE - 2));
    assert_eq!(one(&long), Ok(Message::Application { ready: false }), "exactly the limit");
}

#[test]
fn long_data_is_not_kept() {
    let with = |length| {
        let line = json!({"cmd": "NODE_CLUSTER", "act": "queryServer", "seq": 1, "data": "x".repeat(length)});
        query(&line.to_string()).data
    };
    assert!(with(MAX_DATA - 2).is_some());
    assert!(with(MAX_DATA - 1).is_none());
}

fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Value {
    let mut bytes = Vec::new();
    encode(&mut bytes);
    assert_eq!(bytes.iter().position(|byte| *byte == b'\n'), Some(bytes.len() - 1), "one line");
    serde_json::from_slice(&bytes).expect("JSON")
}

#[test]
fn encoded_messages_are_those_of_nodes_own_primary() {
    let connection = encoded(|into| encode_connection(ListenerId(3), 17, into));
    let newconn = json!({"cmd": "NODE_CLUSTER", "act": "newconn", "key": 3, "seq": 17});
    assert_eq!(connection, json!({"cmd": "NODE_HANDLE", "type": "net.Native", "msg": newconn}));

    let answer = Answer { seq: 5, to_query: None };
    assert_eq!(encoded(|into| answer.encode(into)), json!({"cmd": "NODE_CLUSTER", "ack": 5}));

    let outcome = Outcome {
        listener: ListenerId(2),
        errno: None,
        data: Some("{\"ticketKeys\":\"00\"}".into()),
        handle: None,
        bound_to: Some("[::]:3000".parse().unwrap()),
    };
    let in_turn = Answer { seq: 5, to_query: Some(outcome.clone()) };
    assert_eq!(
        encoded(|into| in_turn.encode(into)),
        json!({
            "cmd": "NODE_CLUSTER", "ack": 5, "errno": 0, "key": 2, "data": {"ticketKeys": "00"},
            "sockname": {"address": "::", "family": "IPv6", "port": 3000}
        })
    );

    let shared = Outcome { handle: Some(Handle::Datagram), data: None, bound_to: None, ..outcome.clone() };
    let inner = json!({"cmd": "NODE_CLUSTER", "ack": 5, "errno": 0, "key": 2, "data": null});
    assert_eq!(
        encoded(|into| Answer { seq: 5, to_query: Some(shared) }.encode(into)),
        json!({"cmd": "NODE_HANDLE", "type": "dgram.Native", "msg": inner})
    );

    let drain = json!({"cmd": "NODE_PROCRUN", "act": "drain"});
    assert_eq!(encoded(|into| into.extend_from_slice(DRAIN)), drain);

    let failed = Outcome { errno: Some(98), data: None, bound_to: None, ..outcome };
    let failed = encoded(|into| Answer { seq: 5, to_query: Some(failed) }.encode(into));
    assert_eq!(failed["errno"], -98);
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("\"ready\"".to_owned()),
        Just(r#"{"cmd":"NODE_HANDLE_ACK"}"#.to_owned()),
        Just(r#"{"cmd":"NODE_PROCRUN","act":"drained"}"#.to_owned()),
        (any::<u64>(), any::<bool>())
            .prop_map(|(ack, ok)| json!({"cmd": "NODE_CLUSTER", "ack": ack, "accepted": ok}).to_string()),
        "[a-zé€😀\\\\\"{}:,0-9\u{2}]{0,20}",
        "\\PC{0,30}".prop_map(|text| json!(text).to_string()),
    ]
}

proptest! {
    #[test]
    fn messages_do_not_depend_on_the_chunks(
        lines in prop::collection::vec(line(), 0..8),
        mut cuts in prop::collection::vec(0usize..300, 0..20),
    ) {
        let bytes: Vec<u8> = lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect();
        cuts.retain(|cut| *cut <= bytes.len());
        cuts.sort_unstable();
        prop_assert_eq!(all(&bytes, &cuts), all(&bytes, &[]));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let messages = all(&bytes, &[]);
        prop_assert!(messages.iter().rev().skip(1).all(Result::is_ok), "nothing comes after the end");
    }

    #[test]
    fn messages_of_an_application_are_never_parsed_as_nodes_own(text in "\\PC{0,40}", number: f64) {
        for value in [json!(text), json!(number), json!({"cmd": number}), json!([text]), json!({"act": text})] {
            let message = one(&value.to_string());
            let application = matches!(message, Ok(Message::Application { .. }));
            prop_assert!(application, "{value}: {message:?}");
        }
    }
}
