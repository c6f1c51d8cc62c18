//! The built-in file server: `script = "serve"`, `static` and `procrun serve`, asked by real clients.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::symlink,
};

use crate::support::{self, Bed, DEADLINE, End, Procrun, SIGKILL, SIGTERM, send, web::free_port};

/// What a server has answered.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// One request on a connection of its own. A header is `name: value`.
#[track_caller]
fn request(port: u16, line: &str, headers: &[&str]) -> Answer {
    let mut stream = connect(port);
    let first = [line, " HTTP/1.1\r\nHost: test\r\nConnection: close"].concat();
    let request = [&[first.as_str()], headers, &["", ""]].concat().join("\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut text = Vec::new();
    stream.read_to_end(&mut text).expect("an answer");
    let text = String::from_utf8_lossy(&text).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let headers = lines.filter_map(|line| line.split_once(": "));
    Answer {
        status: status.unwrap_or_else(|| panic!("no status: {text:?}")),
        headers: headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect(),
        body: body.to_owned(),
    }
}

fn get(port: u16, path: &str) -> Answer {
    request(port, &format!("GET {path}"), &[])
}

/// A bed with a directory `site` and a file beside it.
fn bed() -> Bed {
    let bed = Bed::new();
    bed.file("secret.txt", "secret");
    bed.file("site/index.html", "<h1>home</h1>");
    bed.file("site/app.js", "run()");
    bed.file("site/docs/index.html", "<h1>docs</h1>");
    bed.file("site/data/list.json", "[]");
    bed.file("site/.env", "TOKEN=1");
    bed.file("site/.well-known/security.txt", "mail us");
    bed
}

/// A foreground procrun that serves `site` with these variables.
#[track_caller]
fn site(bed: &Bed, variables: &str) -> (Procrun, u16) {
    let port = free_port();
    bed.file(
        "ecosystem.json",
        format!(
            r#"{{"apps": [{{"name": "site", "script": "serve", "env": {{"PM2_SERVE_PATH": "site", "PM2_SERVE_PORT": {port}{variables}}}}}]}}"#
        ),
    );
    let run = bed.isolated(&["ecosystem.json"]).start();
    run.wait_for_line("serving ");
    (run, port)
}

#[test]
fn files_come_with_their_type_in_parts_and_only_when_they_changed() {
    let bed = bed();
    let (mut run, port) = site(&bed, "");
    let home = get(port, "/");
    assert_eq!((home.status, home.body.as_str()), (200, "<h1>home</h1>"));
    assert_eq!(home.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(home.header("cache-control"), "no-cache");
    assert_eq!(home.header("access-control-allow-origin"), "*", "as PM2");
    assert_eq!(get(port, "/app.js").header("content-type"), "text/javascript; charset=utf-8");
    assert_eq!(get(port, "/data/list.json").header("content-type"), "application/json");

    let (etag, modified) = (home.header("etag"), home.header("last-modified"));
    let conditional = |header: &str| request(port, "GET /", &[header]).status;
    assert_eq!(conditional(&format!("If-None-Match: {etag}")), 304);
    assert_eq!(conditional(&format!("If-Modified-Since: {modified}")), 304);
    assert_eq!(conditional("If-None-Match: \"other\""), 200);

    let part = request(port, "GET /index.html", &["Range: bytes=4-7"]);
    assert_eq!((part.status, part.body.as_str()), (206, "home"));
    assert_eq!(part.header("content-range"), "bytes 4-7/13");
    assert_eq!(request(port, "GET /index.html", &["Range: bytes=99-"]).status, 416);
    let ranged = |condition: &str| request(port, "GET /", &["Range: bytes=0-3", condition]).status;
    assert_eq!(ranged(&format!("If-Range: {etag}")), 206);
    assert_eq!(ranged("If-Range: \"older\""), 200, "a part of another version is of no use");

    let head = request(port, "HEAD /", &[]);
    assert_eq!((head.status, head.body.as_str(), head.header("content-length")), (200, "", "13"));
    let refused = request(port, "POST /", &["Content-Length: 0"]);
    assert_eq!((refused.status, refused.header("allow")), (405, "GET, HEAD"));

    let redirect = get(port, "/docs?x=1");
    assert_eq!((redirect.status, redirect.header("location")), (307, "/docs/?x=1"));
    assert_eq!(get(port, "/docs/").body, "<h1>docs</h1>");
    assert_eq!(get(port, "//docs").header("location"), "/docs/", "no other host is meant");
    assert_eq!(get(port, "/none").status, 404);
    bed.file("site/404.html", "lost?");
    let lost = request(port, "GET /none", &["Range: bytes=0-1"]);
    assert_eq!((lost.status, lost.body.as_str()), (404, "lost?"));
    let many = format!("X-Long: {}", "x".repeat(64 * 1024));
    assert_eq!(request(port, "GET /", &[&many]).status, 431);
    run.expect_stop();
}

#[test]
fn nothing_hidden_and_nothing_outside_of_the_directory_is_served() {
    let bed = bed();
    symlink("../secret.txt", bed.path("site/outside")).unwrap();
    symlink(bed.path("secret.txt"), bed.path("site/absolute")).unwrap();
    symlink("app.js", bed.path("site/inside.js")).unwrap();
    nix::unistd::mkfifo(&bed.path("site/fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (run, port) = site(&bed, "");
    for path in [
        "/.env",
        "/%2eenv",
        "/.git/config",
        "/outside",
        "/absolute",
        "/fifo",
        "/../secret.txt",
        "/docs/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/..%5csecret.txt",
        "/%00",
        "/data/",
        "/app.js/",
        "/app.js/x",
        &format!("/{}", "x".repeat(5000)),
    ] {
        let answer = get(port, path);
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        assert_eq!(request(port, &format!("HEAD {path}"), &[]).status, 404, "{path}");
    }
    assert_eq!(get(port, "/inside.js").body, "run()");
    assert_eq!(get(port, "/.well-known/security.txt").body, "mail us");
    run.wait_for_err("outside: not served, because a symbolic link leads out of the directory");
}

#[test]
fn a_single_page_app_answers_every_path() {
    let bed = bed();
    bed.file("site/start.html", "the app");
    let (_run, port) = site(&bed, r#", "PM2_SERVE_SPA": "true", "PM2_SERVE_HOMEPAGE": "/start.html""#);
    for path in ["/", "/any/route", "/none.js", "/.env", "/data/"] {
        let answer = get(port, path);
        assert_eq!((answer.status, answer.body.as_str()), (200, "the app"), "{path}");
    }
    assert_eq!(get(port, "/app.js").body, "run()");
    assert_eq!(get(port, "/deep/route/app.js").body, "run()", "as PM2: a relative link of a deep route");
}

#[test]
fn a_password_is_required() {
    let bed = bed();
    let auth = r#", "PM2_SERVE_BASIC_AUTH": "true", "PM2_SERVE_BASIC_AUTH_USERNAME": "ann""#;
    let (_run, port) = site(&bed, &format!(r#"{auth}, "PM2_SERVE_BASIC_AUTH_PASSWORD": "a:b""#));
    let refused = get(port, "/none");
    assert_eq!((refused.status, refused.header("www-authenticate").starts_with("Basic realm=")), (401, true));
    assert_eq!(request(port, "GET /", &["Authorization: Basic YW5uOmE6Yg=="]).status, 200);
    assert_eq!(request(port, "GET /", &["Authorization: Basic YW5uOmE="]).status, 401);
    let list = bed.launch(&["jlist", "--socket", &socket(&bed)]).start().output().ok();
    assert!(!list.contains("a:b"), "the password is masked: {list}");
}

/// The socket of the only supervisor in the bed's home.
fn socket(bed: &Bed) -> String {
    let is_socket = |name: &String| name.strip_suffix(".sock").is_some();
    let name = bed.list("home").into_iter().find(is_socket).expect("a socket");
    bed.path("home").join(name).to_string_lossy().into_owned()
}

#[test]
fn pm2s_files_name_sites_in_both_ways() {
    let bed = bed();
    let (one, two) = (free_port(), free_port());
    bed.file(
        "ecosystem.config.js",
        format!(
            "module.exports = {{ apps: [{{ name: 'api', script: 'sleep 1000' }},\n\
             {{ script: 'serve', instances: 2, exec_mode: 'cluster', interpreter: 'node', args: 'site {one} 127.0.0.1' }}],\n\
             static: [{{ path: './site', port: {two}, host: '127.0.0.1', ftp: true, directory: 'x', monitor: 'x' }}] }}"
        ),
    );
    let mut run = bed.isolated(&["ecosystem.config.js"]).start();
    run.wait_for_lines("serving ", 3);
    run.wait_for_line("PM2_SERVE_MONITOR has no effect");
    run.wait_for_err(&format!("static-page-server-{two} (3) is online"));
    for port in [one, two] {
        assert_eq!(get(port, "/app.js").body, "run()");
    }
    let listing = get(two, "/data/");
    assert!(listing.body.contains("href=\"./list.json\""), "{listing:?}");
    assert_eq!(get(one, "/data/").status, 404, "no lists unless asked for");

    // The socket is procrun's own: a worker that dies closes no port.
    let line = run.wait_for_err("serve (1) is online, pid");
    send(support::last_pid(&line), SIGKILL);
    for _ in 0..20 {
        assert_eq!(get(one, "/").status, 200);
    }
    // The same as TOML.
    let text = bed.command(&["convert", "ecosystem.config.js", "-o", "-"]).ok();
    assert!(text.contains("script = \"serve\"") && text.contains("PM2_SERVE_PATH = \"./site\""), "{text}");
    run.expect_stop();
}

#[test]
fn a_request_that_is_under_way_is_answered_at_a_stop() {
    let bed = bed();
    let size = 24 * 1024 * 1024;
    bed.file("site/big", vec![b'x'; size]);
    let (mut run, port) = site(&bed, "");
    let mut stream = connect(port);
    stream.write_all(b"GET /big HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    let mut first = [0; 1024];
    stream.read_exact(&mut first).unwrap();
    run.signal(SIGTERM);
    run.wait_for_err("received SIGTERM");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(first.len() + rest.len() > size, "the whole file came: {}", rest.len());
    assert_eq!(run.wait_end(), End::Code(0), "{}", run.story());
    run.wait_for_err("site (0) exited: code 0");
}

#[test]
fn serve_adds_a_site_to_what_runs_in_the_background() {
    let bed = bed();
    let port = free_port();
    let number = port.to_string();
    let mut started = bed.isolated(&["serve", "site", &number, "--spa", "--host", "127.0.0.1"]).start();
    started.expect_code(0);
    assert!(
        started.out().lines().concat().contains(&format!("static-page-server-{port}")),
        "{}",
        started.story()
    );
    assert_eq!(get(port, "/any").body, "<h1>home</h1>");
    bed.command(&["serve", "site", &number]).exits(1);
    let other = free_port().to_string();
    // Its processes have the environment of the command, and end with the variable.
    let mut docs =
        bed.isolated(&["serve", "--port", &other, "site/docs", "--name", "docs", "-i", "2"]).start();
    docs.expect_code(0);
    let list = bed.command(&["jlist"]).json();
    let names: Vec<_> = list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, [&format!("static-page-server-{port}"), "docs", "docs"]);

    let fails = |args: &[&str], code: i32, why: &str| {
        bed.command(&[&["serve"], args].concat()).fails(code, why);
    };
    let held = TcpListener::bind("0.0.0.0:0").unwrap();
    let taken = held.local_addr().unwrap().port().to_string();
    fails(&["site", &taken], 1, &format!("cannot listen on tcp://0.0.0.0:{taken}: Address already in use"));
    fails(&["none"], 1, "none: No such file or directory");
    fails(&["secret.txt"], 1, "secret.txt is not a directory");
    fails(&["site", "http"], 64, "invalid port `http`");
    fails(&["site", "--basic-auth-username", "ann"], 64, "must be set together");
    bed.command(&["kill"]).ok();
}

#[test]
fn the_server_is_the_binary_that_runs_whatever_stands_at_its_path() {
    let bed = bed();
    let binary = bed.copy(support::binary(), "procrun");
    let port = free_port();
    bed.file(
        "ecosystem.toml",
        format!("[[apps]]\nname = \"site\"\nscript = \"serve\"\nargs = [\"site\", \"{port}\"]\n"),
    );
    let run = bed.isolated(&["ecosystem.toml"]).binary(&binary).pid1().start();
    run.wait_for_line("serving ");
    fs::remove_file(&binary).unwrap();
    bed.command(&["restart", "site"]).ok();
    run.wait_for_lines("serving ", 2);
    assert_eq!(get(port, "/").status, 200);
}

#[test]
fn a_missing_directory_is_reported_and_served_once_it_exists() {
    let bed = bed();
    let port = free_port();
    bed.file("ecosystem.toml", format!("[[apps]]\nscript = \"serve\"\nargs = [\"dist\", \"{port}\"]\n"));
    let run = bed.isolated(&["ecosystem.toml"]).start();
    run.wait_for_err("dist cannot be served: No such file or directory");
    bed.file("dist/index.html", "built");
    run.wait_for_line("serving ");
    assert_eq!(get(port, "/").body, "built");
    bed.file("bad.toml", "[[apps]]\nscript = \"serve\"\nenv = { PM2_SERVE_PORT = \"http\" }\n");
    bed.command(&["check", "bad.toml"]).fails(78, "PM2_SERVE_PORT is `http`");
}
