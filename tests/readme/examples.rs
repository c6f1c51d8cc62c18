//! Every fenced block, every command line and every shown line of output.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, iter,
    net::TcpListener,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
};

use saphyr_parser::Parser;

use super::{
    page::{Block, Page, Pages, code, repository},
    shell::{SYSTEM_PATH, Shell, wait_for_all},
    support::{Bed, Procrun, SIGINT, binary, tool},
};

/// The ecosystem file that the command lines of a page name, if the page shows none.
const ECOSYSTEM: &str = "[[apps]]\nname = \"api\"\nscript = \"app.js\"\n";

/// What a fenced block is, and with that how it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// An ecosystem file.
    Ecosystem,
    /// An ecosystem file of PM2's.
    Module,
    /// A program to save: its first line is a comment with its name.
    Program,
    /// Command lines.
    Commands,
    /// Lines of a Dockerfile.
    Image,
    /// An object for Kubernetes.
    Manifest,
    /// A unit for systemd.
    Unit,
    /// What procrun reports for a mistake.
    Complaint,
    /// The output of the demo.
    Demo,
    /// The termination message.
    TerminationMessage,
    /// A drawing.
    Diagram,
}

impl Block {
    fn kind(&self) -> Kind {
        match self.language.as_str() {
            "toml" => Kind::Ecosystem,
            "js" | "bash" if self.file_name().is_some() => Kind::Program,
            "js" => Kind::Module,
            "sh" => Kind::Commands,
            "dockerfile" => Kind::Image,
            "yaml" => Kind::Manifest,
            "ini" => Kind::Unit,
            "text" if self.text.starts_with("error: ") => Kind::Complaint,
            "text" if self.text.starts_with("procrun ") => Kind::Demo,
            "text" if self.text.contains("; procrun exits with code ") => Kind::TerminationMessage,
            "" | "text" if self.text.contains(['▶', '▼', '│', '─']) => Kind::Diagram,
            other => panic!("{}: no test runs a block of `{other}` like this one", self.place),
        }
    }

    /// The name of the file that a reader saves the block as: `app.js` of a first line `// app.js`.
    fn file_name(&self) -> Option<&str> {
        let (comment, name) = self.text.lines().next()?.split_once(' ')?;
        (["//", "#"].contains(&comment) && name.contains('.') && !name.contains(' ')).then_some(name)
    }
}

/// The blocks of a kind on a page.
fn blocks(page: &Page, kind: Kind) -> impl Iterator<Item = &Block> {
    page.blocks.iter().filter(move |block| block.kind() == kind)
}

/// The blocks of a kind on all pages; at least one, or a test of them would prove nothing.
fn all_blocks(pages: &Pages, kind: Kind) -> Vec<&Block> {
    let found: Vec<_> = pages.blocks().filter(|block| block.kind() == kind).collect();
    assert!(!found.is_empty(), "no page has a {kind:?}");
    found
}

/// A shell for the command lines of a page, with the page's own first files, which they name.
fn shell_of(page: &Page) -> Shell {
    let ecosystem = blocks(page, Kind::Ecosystem).next();
    let shell = Shell::with(ecosystem.map_or(ECOSYSTEM, |block| &block.text));
    if let Some(module) = blocks(page, Kind::Module).next() {
        shell.file("ecosystem.config.js", &module.text);
    }
    for program in blocks(page, Kind::Program) {
        shell.file(program.file_name().expect("a program has a name"), &program.text);
    }
    shell
}

/// Does this with all of them, two at a time: most of an example is waiting.
fn for_each<T: Sync>(items: &[T], run: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Relaxed)) {
                    run(item);
                }
            });
        }
    });
}

/// The command lines of a block without its comments.
fn commands(block: &Block) -> impl Iterator<Item = &str> {
    let lines = block.text.lines().map(|line| line.split(" #").next().expect("the first part").trim());
    lines.filter(|line| !line.is_empty())
}

/// Where the `docker build` of an image is, and of which directory it is: `-f FILE -t NAME DIR`.
fn docker_builds(pages: &Pages) -> Vec<(String, String, String)> {
    let lines = all_blocks(pages, Kind::Commands).into_iter().flat_map(commands);
    let builds = lines.filter_map(|line| line.strip_prefix("docker build "));
    builds
        .map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["-f", file, "-t", name, dir] => (name.to_owned(), file.to_owned(), dir.to_owned()),
            _ => panic!("`docker build {line}` is not `-f FILE -t NAME DIR`"),
        })
        .collect()
}

#[test]
fn every_block_is_of_a_kind_that_is_tried() {
    for block in Pages::all().blocks() {
        // Of no kind it panics; of each kind there is a test below, except for drawings.
        block.kind();
    }
}

/// Two pages may show the same file.
#[test]
fn every_ecosystem_file_runs() {
    let pages = Pages::all();
    let files: BTreeMap<&str, &Page> = pages
        .0
        .iter()
        .flat_map(|page| blocks(page, Kind::Ecosystem).map(move |block| (block.text.as_str(), page)))
        .collect();
    assert!(!files.is_empty());
    let files: Vec<(&str, &Page)> = files.into_iter().collect();
    for_each(&files, |(file, page)| {
        let shell = shell_of(page);
        shell.file("ecosystem.toml", file);
        shell.serves("procrun ecosystem.toml");
    });
}

#[test]
fn every_module_runs() {
    for block in all_blocks(&Pages::all(), Kind::Module) {
        let shell = Shell::new();
        shell.file("ecosystem.config.js", &block.text);
        shell.serves("procrun ecosystem.config.js");
    }
}

/// The YAML is right, and every command in it is.
#[test]
fn every_command_of_a_manifest_is_right() {
    for block in all_blocks(&Pages::all(), Kind::Manifest) {
        assert!(block.text.starts_with("apiVersion: "), "{}", block.place);
        for event in Parser::new_from_str(&block.text) {
            event.unwrap_or_else(|error| panic!("{}: {error}", block.place));
        }
        let lines = block.text.lines().filter_map(|line| line.trim().strip_prefix("command: "));
        let mut tried = 0;
        for line in lines {
            let words: Vec<String> = serde_json::from_str(line).expect("the exec form");
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            if let ["procrun", command @ ("healthcheck" | "ping")] = words[..] {
                is_a_command(command);
            } else {
                let line = shlex::try_join(words.iter().copied()).expect("no NUL");
                Shell::with(ECOSYSTEM).serves(&line);
            }
            tried += 1;
        }
        assert!(tried > 0, "{}: no command", block.place);
    }
}

#[test]
fn every_command_line_works() {
    let pages = Pages::all();
    let makefile = fs::read_to_string(repository().join("Makefile")).expect("the Makefile is there");
    let built: Vec<_> = docker_builds(&pages).into_iter().map(|(name, ..)| name).collect();
    let lines: Vec<(&Page, &str)> = pages
        .0
        .iter()
        .flat_map(|page| {
            let sessions: Vec<&Block> = sessions(page).into_iter().flatten().collect();
            let blocks = blocks(page, Kind::Commands).filter(move |block| !sessions.contains(block));
            blocks.flat_map(commands).map(move |line| (page, line))
        })
        .collect();
    for_each(&lines, |&(page, line)| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["procrun", "check", ..] => drop(shell_of(page).run(line, 0)),
            ["procrun", "schema", ">", file] => {
                let shell = shell_of(page);
                drop(shell.run(line, 0));
                assert!(serde_json::from_str::<serde_json::Value>(&shell.read(file)).is_ok(), "{line}");
            }
            ["procrun", "ecosystem" | "convert" | "completions", ..] => makes(line),
            ["procrun", ..] => shell_of(page).serves(line),
            ["make", target] => {
                assert!(makefile.contains(&format!("\n{target}:")), "the Makefile has no `{target}`");
            }
            // See `what_docker_is_to_build_is_built_by_try_sh`.
            ["docker", "build", ..] => {}
            ["docker", "run", .., image] => {
                assert!(built.iter().any(|name| name == image), "`{line}`: no line builds {image}");
            }
            ["docker", "exec", ..] => {
                let command = words.iter().skip_while(|word| **word != "procrun").nth(1);
                is_a_command(command.unwrap_or_else(|| panic!("`{line}` runs no command of procrun")));
            }
            _ => panic!("{}: no test runs `{line}`", page.path),
        }
    });
}

/// There is a command of this name.
#[track_caller]
fn is_a_command(word: &str) {
    drop(Shell::new().run(&format!("procrun help {word}"), 0));
}

/// A command that writes or prints what is right: an ecosystem file, but for the completions.
#[track_caller]
fn makes(line: &str) {
    let shell = Shell::new();
    let run = shell.run(line, 0);
    assert!(!run.out().lines().is_empty(), "{line}{}", run.story());
    let file = run.out().lines().iter().find_map(|line| {
        let (_, rest) = line.split_once("`procrun check ")?;
        rest.split_once('`').map(|(file, _)| file.to_owned())
    });
    if let Some(file) = file {
        drop(shell.run(&format!("procrun check {file}"), 0));
    }
}

/// The blocks of a page whose lines are typed one after the other, from `procrun start` to `procrun kill`.
fn sessions(page: &Page) -> Vec<Vec<&Block>> {
    let mut sessions: Vec<Vec<&Block>> = Vec::new();
    let mut is_open = false;
    for block in blocks(page, Kind::Commands) {
        match sessions.last_mut() {
            Some(session) if is_open => session.push(block),
            _ if block.text.starts_with("procrun start ") => sessions.push(vec![block]),
            _ => continue,
        }
        is_open = commands(block).last() != Some("procrun kill");
    }
    assert!(!is_open, "{}: a session has no `procrun kill` at its end", page.path);
    sessions
}

#[test]
fn every_session_works_as_shown() {
    let pages = Pages::all();
    let sessions: Vec<(&Page, Vec<&Block>)> = pages
        .0
        .iter()
        .flat_map(|page| sessions(page).into_iter().map(move |session| (page, session)))
        .collect();
    assert!(!sessions.is_empty());
    for_each(&sessions, |(page, session)| {
        let shell = shell_of(page);
        // While they live, so does what they have started in the background.
        let mut runs: Vec<Procrun> = Vec::new();
        for line in session.iter().flat_map(|block| commands(block)) {
            let mut run = shell.start(line, &[("PROCRUN_HOME", "/mnt/home")]);
            run.expect_code(0);
            runs.push(run);
        }
        let last = runs.last().expect("a line");
        assert_eq!(last.err().lines(), [""; 0], "{}", session[0].place);
    });
}

/// docker/try.sh builds in real containers what the pages say to build.
#[test]
fn what_docker_is_to_build_is_built_by_try_sh() {
    let tried = fs::read_to_string(repository().join("docker/try.sh")).expect("docker/try.sh is there");
    let builds = docker_builds(&Pages::all());
    assert!(!builds.is_empty());
    for (_, file, dir) in builds {
        assert!(repository().join(&file).is_file(), "there is no {file}");
        assert!(repository().join(&dir).is_dir(), "there is no {dir}");
        assert!(
            tried.contains(&format!("--file {file} {dir}\n")),
            "docker/try.sh does not build {file} of {dir}"
        );
    }
}

/// Nothing is built from these lines: Dockerfile.example, which docker/try.sh builds, has them too. That
/// they fit together is checked here, and their `CMD` is run.
#[test]
fn every_image_gets_procrun_and_runs_it() {
    let pages = Pages::all();
    let builds = docker_builds(&pages);
    for block in all_blocks(&pages, Kind::Image) {
        let mut started = false;
        for line in block.text.lines() {
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["FROM" | "WORKDIR", _] | ["COPY", ".", "."] => {}
                ["COPY", from, what, to] => {
                    let from = from.strip_prefix("--from=").expect("from another image");
                    let file = builds.iter().find(|(name, ..)| name == from).map(|(_, file, _)| file);
                    let file = file.unwrap_or_else(|| panic!("no line of the pages builds {from}"));
                    let lines = fs::read_to_string(repository().join(file)).expect("it is there");
                    assert!(lines.contains(&format!("/out{what}")), "{file} makes no {what}");
                    let dir = to.strip_suffix('/').expect("a directory");
                    assert!(SYSTEM_PATH.split(':').any(|part| part == dir), "{dir} is not in PATH");
                }
                ["HEALTHCHECK", "CMD", ..] => {
                    let (_, form) = line.split_once("CMD ").expect("a command");
                    let words: Vec<String> = serde_json::from_str(form).expect("the exec form");
                    assert_eq!(words[0], "procrun");
                    is_a_command(&words[1]);
                }
                ["CMD", ..] => started = true,
                _ => panic!("{}: no test tries `{line}`", block.place),
            }
        }
        assert!(started, "{}: no CMD", block.place);
    }
    let mut forms: BTreeSet<String> = all_blocks(&pages, Kind::Image)
        .into_iter()
        .flat_map(|block| block.text.lines())
        .map(str::to_owned)
        .chain(pages.code())
        .filter_map(|line| line.strip_prefix("CMD ").map(str::to_owned))
        .collect();
    // The form that a page warns of, if it shows it.
    forms.retain(|form| form.starts_with('['));
    assert!(forms.len() >= 2, "one in a block, one for users of pm2-runtime: {forms:?}");
    for form in forms {
        let words: Vec<String> = serde_json::from_str(&form).expect("the exec form");
        let line = shlex::try_join(words.iter().map(String::as_str)).expect("no NUL");
        Shell::with(ECOSYSTEM).serves(&line);
    }
}

#[test]
fn a_mistake_is_answered_like_that() {
    const MISTAKE: &str =
        "[[apps]]\nname = \"api\"\nscript = \"dist/main.js\"\nmax_memory_restrat = \"200M\"\n";
    for block in all_blocks(&Pages::all(), Kind::Complaint) {
        for line in ["procrun ecosystem.toml", "procrun check ecosystem.toml"] {
            let run = Shell::with(MISTAKE).run(line, 78);
            assert_eq!(run.err().lines().join("\n"), block.text.trim_end());
            assert_eq!(run.out().lines(), [""; 0]);
        }
    }
}

#[test]
fn the_termination_message_looks_like_that() {
    const FAILS: &str = "termination_log = \"why\"\n[[apps]]\nname = \"api\"\n\
        script = \"cat lines >&2; exit 1\"\nrestart_delay = 1\n";
    for block in all_blocks(&Pages::all(), Kind::TerminationMessage) {
        let (before, title) = block.text.split_once("last lines of ").expect("what it said last");
        let (_, lines) = title.split_once('\n').expect("several lines");
        let shell = Shell::with(FAILS);
        shell.file("lines", lines);
        shell.run("procrun ecosystem.toml", 1);
        let said = shell.read("why");
        let wanted = format!("{}last lines of api (#):\n{lines}", shape(before));
        // Each run has said the same.
        let (head, rest) = said.split_at(said.find(lines).unwrap_or(0));
        assert_eq!(shape(head) + lines, wanted, "{said}");
        assert!(rest.ends_with(lines), "{said}");
    }
}

/// `make demo` builds procrun and runs this; the numbers are other ones each time, and the order of what
/// several programs say is too.
#[test]
fn the_demo_looks_like_that() {
    const FILE: &str = "examples/hello/ecosystem.toml";
    let makefile = fs::read_to_string(repository().join("Makefile")).expect("the Makefile is there");
    assert!(makefile.contains(&format!("@$(RELEASE) {FILE}\n")), "`make demo` runs something else");
    let free =
        TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("its number").port();

    for block in all_blocks(&Pages::all(), Kind::Demo) {
        let (before, after) = block.text.split_once("^C\n").expect("Ctrl-C ends it");
        let shell = Shell::new();
        let mut run = shell.start(&format!("procrun {FILE}"), &[("PORT", &free.to_string())]);
        wait_for_all(&mut run, |run| missing(run, before));
        run.signal(SIGINT);
        run.expect_code(0);
        assert_eq!(missing(&run, after), None, "is missing{}", run.story());
    }
}

/// A shown line that has not been said as often as it is shown.
fn missing(run: &Procrun, shown: &str) -> Option<String> {
    // A signal of the terminal's comes from the kernel, ours comes from a process.
    let lines = [run.out().lines(), run.err().lines()].concat();
    let mut said: Vec<_> = lines.iter().map(|line| shape(line).replace(" from process #", "")).collect();
    shown.lines().map(shape).find(|line| match said.iter().position(|other| other == line) {
        Some(at) => {
            said.swap_remove(at);
            false
        }
        None => true,
    })
}

/// The line with all numbers made the same.
fn shape(line: &str) -> String {
    let mut shape = String::new();
    for c in line.chars() {
        match c {
            '0'..='9' if shape.ends_with('#') => {}
            '0'..='9' => shape.push('#'),
            _ => shape.push(c),
        }
    }
    shape.replace("#.#", "#").replace("# ms", "# s")
}

/// A row is an option, or no option, and the line that comes of it.
#[test]
fn lines_of_the_log_look_like_that() {
    for row in Pages::all().table("| | a line |") {
        let option = code(&row[0]).into_iter().next().unwrap_or_default();
        let shown = code(&row[1]).into_iter().next().expect("a line");
        let run = Shell::new().run(&format!("procrun {option} -n main --no-autorestart echo -- text"), 0);
        let said: Vec<_> = run.out().lines().iter().map(|line| shape(line)).collect();
        assert_eq!(said, [shape(&shown)], "{option}");
    }
}

impl Shell {
    /// The command line is right, really runs all it names, and ends well when it is asked to.
    #[track_caller]
    fn serves(&self, line: &str) {
        let workers = self.workers(line);
        let mut run = self.start(line, &[]);
        wait_for_all(&mut run, |run| {
            // A task (`oneshot`) ends, and well.
            let mut ended = run.err().lines_with(" exited: ");
            ended.retain(|line| !(line.contains(" exited: code 0, ") && line.ends_with(", completed")));
            assert_eq!(ended, [""; 0], "{line}{}", run.story());
            let said = run.err().lines();
            // `launching` with `wait_ready`, else `online`.
            let is_of = |line: &String, worker: &str| line.contains(worker) && line.contains(", pid ");
            let offline = workers.iter().find(|worker| !said.iter().any(|line| is_of(line, worker)));
            let idle = run.out().lines_with("serving").len() < workers.len();
            offline.cloned().or_else(|| idle.then(|| "serving".to_owned()))
        });
        run.expect_stop();
    }

    /// `NAME (ID) is online` for each worker that `procrun check` foretells.
    #[track_caller]
    fn workers(&self, line: &str) -> Vec<String> {
        let rest = line.strip_prefix("procrun ").expect("a line of procrun");
        let check = self.run(&format!("procrun check {rest}"), 0);
        let mut names = Vec::new();
        let mut name = String::new();
        for line in check.out().lines() {
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["app", app] => app.clone_into(&mut name),
                ["instances", count, "#", ..] => {
                    let count = count.parse().expect("a plain number of instances");
                    names.extend(iter::repeat_n(name.clone(), count));
                }
                _ => {}
            }
        }
        assert!(!names.is_empty(), "{line}{}", check.story());
        names.iter().enumerate().map(|(id, name)| format!("{name} ({id}) is ")).collect()
    }
}

#[test]
fn systemd_accepts_the_units() {
    let pages = Pages::all();
    for block in all_blocks(&pages, Kind::Unit) {
        let bed = Bed::new();
        let program = binary().to_str().expect("names of ours");
        let text = block.text.replace("/usr/local/bin/procrun", program);
        assert!(text.contains(program), "{}: starts procrun", block.place);
        bed.file("procrun.service", text);
        let verified = tool("systemd-analyze", &["verify", "--man=no", "./procrun.service"], bed.root());
        let complaints = String::from_utf8_lossy(&verified.stderr).into_owned();
        assert!(verified.status.success() && complaints.is_empty(), "{}: {complaints}", block.place);
    }
}
