//! What the script of procrun measures in a Node worker: event loop, heap, garbage collection, HTTP requests.

use crate::support::{
    Bed,
    promtool::check_metrics,
    wait_until,
    web::{get, port_of},
};

use super::Web;

const SERVER: &str = r"
const server = require('http').createServer((request, response) => {
  if (request.url === '/never') return;
  response.statusCode = request.url === '/missing' ? 404 : 200;
  response.end('hello');
});
process.on('message', (message) => console.log('the application got', message));
server.listen(0, () => console.log(`listening on ${server.address().port} as ${process.pid}`));
";

fn app(name: &str, keys: &str) -> String {
    format!("[[apps]]\nname = \"{name}\"\nscript = \"app.js\"\n{keys}\n")
}

#[test]
fn requests_event_loop_and_heap_are_measured_without_a_change_of_the_application() {
    let ecosystem = app("cluster", "instances = 2") + &app("fork", "") + &app("off", "node_metrics = false");
    let bed = Bed::with_files(&ecosystem, &[("app.js", SERVER)]);
    let mut web = Web::start(&bed);
    let lines = web.run.wait_for_lines("listening on", 4);
    let port = |name: &str| {
        let line = lines.iter().find(|line| line.contains(name)).expect("it listens");
        u16::try_from(crate::support::web::number_after(line, "listening on")).unwrap()
    };
    for _ in 0..20 {
        get(port("cluster"), "/").unwrap();
    }
    for path in ["/", "/missing", "/missing"] {
        get(port("fork"), path).unwrap();
    }
    get(port("off"), "/").unwrap();
    // A client that goes away leaves no request in progress.
    drop(crate::support::web::Client::connect(port("fork")).map(|mut client| client.send("/never", "")));

    wait_until("all requests to be counted", || {
        let text = web.metrics();
        super::sum(&text, "procrun_node_http_requests_total", "app=\"fork\"") >= 4.0
            && super::sum(&text, "procrun_node_http_requests_in_flight", "app=\"fork\"") < 1.0
            && super::sum(&text, "procrun_node_http_request_duration_seconds_count", "app=\"cluster\"")
                >= 20.0
    });
    let text = web.metrics();
    let sum = |metric: &str, labels: &str| super::sum(&text, metric, labels);
    let is = |metric: &str, labels: &str, expected: f64| {
        let found = sum(metric, labels);
        assert!((found - expected).abs() < 1e-9, "{metric} {labels}: {found}\n{text}");
    };
    is("procrun_node_http_requests_total", "app=\"cluster\"", 20.0);
    is("procrun_node_http_responses_total", "app=\"fork\",id=\"2\",class=\"2xx\"", 1.0);
    is("procrun_node_http_responses_total", "app=\"fork\",id=\"2\",class=\"4xx\"", 2.0);
    is("procrun_node_http_request_duration_seconds_bucket", "app=\"fork\",id=\"2\",le=\"+Inf\"", 3.0);
    for metric in ["heap_used_bytes", "heap_limit_bytes", "eventloop_idle_seconds_total", "active_handles"] {
        assert!(sum(&format!("procrun_node_{metric}"), "app=\"cluster\",id=\"1\"") > 0.0, "{metric}\n{text}");
    }
    assert!(text.contains("procrun_node_eventloop_delay_seconds{app=\"fork\",id=\"2\",percentile=\"95\"}"));
    assert!(!text.contains("procrun_node_heap_used_bytes{app=\"off\""), "{text}");
    check_metrics(&text);

    let instance = web.get("/api/v1/instances/fork");
    let instance: serde_json::Value = serde_json::from_str(&instance).unwrap();
    assert_eq!(instance[0]["brief"]["node"]["http"]["classes"], serde_json::json!([0, 1, 0, 2, 0]));
    assert_eq!(web.run.out().lines_with("the application got"), Vec::<String>::new());
    web.run.expect_stop();
}

#[test]
fn figures_keep_no_process_alive() {
    let script = "setTimeout(() => console.log('done'), 1500);";
    let bed = Bed::with_files(&app("task", "autorestart = false"), &[("app.js", script)]);
    let mut web = Web::start(&bed);
    wait_until("the first figures", || web.sum("procrun_node_heap_used_bytes", "app=\"task\"") > 0.0);
    web.run.expect_code(0);
}

#[test]
fn describe_and_jlist_show_figures_under_the_names_of_pm2_without_a_server() {
    let bed = Bed::with_files(&app("api", ""), &[("app.js", SERVER)]);
    let mut run = bed.isolated(&["ecosystem.toml"]).start();
    let port = port_of(&run, 1);
    let described = bed.command(&["describe", "api"]).exits(0);
    for name in ["Used Heap Size", "Heap Usage", "Event Loop Latency p95", "Active handles"] {
        assert!(described.contains(name), "{name}: {described}");
    }
    assert!(!described.contains("HTTP "), "no request yet: {described}");
    get(port, "/").unwrap();
    wait_until("the request to be shown", || {
        bed.command(&["describe", "api"]).exits(0).contains("HTTP P95 Latency")
    });
    let monitor = &bed.command(&["jlist"]).json()[0]["pm2_env"]["axm_monitor"];
    assert_eq!(monitor["Used Heap Size"]["unit"], "MiB", "{monitor}");
    assert_eq!(run.out().lines_with("the application got"), Vec::<String>::new());
    run.expect_stop();
}

#[test]
fn a_worker_that_sends_false_figures_or_hangs_affects_no_other() {
    let hostile = r"
const send = (sample) => process.send({ cmd: 'NODE_PROCRUN', act: 'sample', sample });
setInterval(() => {
  send({ heap: { used: -1 } });
  send({ event_loop: { active: 'x' } });
  send({ http: { counts: new Array(1000).fill(1) } });
  send('x'.repeat(1000));
  send({ heap: { used: 2 ** 53, total: 1 }, gc: 7 });
}, 100);
";
    let hangs = "setTimeout(() => { console.log('hangs'); for (;;); }, 100);";
    let ecosystem = app("api", "")
        + "[[apps]]\nname = \"hostile\"\nscript = \"hostile.js\"\n\
           [[apps]]\nname = \"hangs\"\nscript = \"hangs.js\"\nkill_timeout = 100\n";
    let bed =
        Bed::with_files(&ecosystem, &[("app.js", SERVER), ("hostile.js", hostile), ("hangs.js", hangs)]);
    let mut web = Web::start(&bed);
    web.run.wait_for_line("hangs");
    port_of(&web.run, 1);
    wait_until("the figures of the others", || web.sum("procrun_node_heap_used_bytes", "app=\"api\"") > 0.0);
    let text = web.metrics();
    let huge = super::sum(&text, "procrun_node_heap_used_bytes", "app=\"hostile\"");
    assert!(huge < 1e12, "{text}");
    check_metrics(&text);
    assert_eq!(web.run.err().lines_with("channel is closed"), Vec::<String>::new());
    web.run.expect_stop();
}
