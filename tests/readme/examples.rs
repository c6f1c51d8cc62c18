//! Every fenced block, every command line and every shown line of output.

use std::{fs, iter, net::TcpListener};

use super::{
    page::{Block, Page, code, repository},
    shell::{SYSTEM_PATH, Shell, wait_for_all},
    support::{Procrun, SIGINT},
};

/// What a fenced block is, and with that how it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// An ecosystem file.
    Ecosystem,
    /// Command lines.
    Commands,
    /// Lines of a Dockerfile.
    Image,
    /// What procrun says to a mistake.
    Complaint,
    /// What the demo looks like.
    Demo,
    /// What is written at the end of a container.
    LastWord,
}

impl Block {
    fn kind(&self) -> Kind {
        match self.language.as_str() {
            "toml" => Kind::Ecosystem,
            "sh" => Kind::Commands,
            "dockerfile" => Kind::Image,
            "text" if self.text.starts_with("error: ") => Kind::Complaint,
            "text" if self.text.starts_with("procrun ") => Kind::Demo,
            "text" if self.text.contains("; procrun ends with code ") => Kind::LastWord,
            other => panic!("README.md:{}: nothing here runs a block of `{other}` like this one", self.line),
        }
    }
}

/// The blocks of a kind; at least one, or a test of them would say nothing.
fn blocks(page: &Page, kind: Kind) -> Vec<&Block> {
    let found: Vec<_> = page.blocks.iter().filter(|block| block.kind() == kind).collect();
    assert!(!found.is_empty(), "README has no {kind:?}");
    found
}

/// A shell for command lines: with the page's own first file, which they name.
fn shell_of_the_page(page: &Page) -> Shell {
    Shell::with(&blocks(page, Kind::Ecosystem)[0].text)
}

/// The command lines of a block without its comments.
fn commands(block: &Block) -> impl Iterator<Item = &str> {
    let lines = block.text.lines().map(|line| line.split(" #").next().expect("the first part").trim());
    lines.filter(|line| !line.is_empty())
}

/// Where the `docker build` of an image is, and of which directory it is: `-f FILE -t NAME DIR`.
fn docker_builds(page: &Page) -> Vec<(String, String, String)> {
    let lines = blocks(page, Kind::Commands).into_iter().flat_map(commands);
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
    for block in &Page::read().blocks {
        // Of no kind it panics; of each kind there is a test below.
        block.kind();
    }
}

#[test]
fn every_ecosystem_file_runs() {
    for block in blocks(&Page::read(), Kind::Ecosystem) {
        Shell::with(&block.text).serves("procrun ecosystem.toml");
    }
}

#[test]
fn every_command_line_does_what_it_says() {
    let page = Page::read();
    let makefile = fs::read_to_string(repository().join("Makefile")).expect("the Makefile is there");
    let built: Vec<_> = docker_builds(&page).into_iter().map(|(name, ..)| name).collect();
    let blocks = blocks(&page, Kind::Commands).into_iter().filter(|block| !is_session(block));
    for line in blocks.flat_map(commands) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["procrun", "check", ..] => drop(shell_of_the_page(&page).run(line, 0)),
            ["procrun", "ecosystem" | "convert" | "completions", ..] => makes(line),
            ["procrun", ..] => shell_of_the_page(&page).serves(line),
            ["make", target] => {
                assert!(makefile.contains(&format!("\n{target}:")), "the Makefile has no `{target}`");
            }
            // Looked at by `docker_builds` and the test of them.
            ["docker", "build", ..] => {}
            ["docker", "run", .., image] => {
                assert!(built.iter().any(|name| name == image), "`{line}`: no line builds {image}");
            }
            _ => panic!("nothing here runs `{line}`"),
        }
    }
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

/// Whether the lines of a block are typed one after the other, to what the first one starts.
fn is_session(block: &Block) -> bool {
    block.text.starts_with("procrun start ")
}

#[test]
fn every_session_goes_on_as_it_says() {
    let page = Page::read();
    let sessions: Vec<_> =
        blocks(&page, Kind::Commands).into_iter().filter(|block| is_session(block)).collect();
    assert!(!sessions.is_empty());
    for session in sessions {
        let shell = shell_of_the_page(&page);
        // While they live, so does what they have started in the background.
        let mut runs: Vec<Procrun> = Vec::new();
        for line in commands(session) {
            let mut run = shell.start(line, &[("PROCRUN_HOME", "/mnt/home")]);
            run.expect_code(0);
            runs.push(run);
        }
        let last = runs.last().expect("a line");
        assert_eq!(last.err().lines(), [""; 0]);
    }
}

/// What docker/try.sh builds in real containers is what the README says to type.
#[test]
fn what_docker_is_to_build_is_built_by_try_sh() {
    let tried = fs::read_to_string(repository().join("docker/try.sh")).expect("docker/try.sh is there");
    let builds = docker_builds(&Page::read());
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

/// Nothing is built of these lines: Dockerfile.example, which docker/try.sh builds, has them too. That
/// they fit together is looked at here, and their `CMD` is run.
#[test]
fn every_image_gets_procrun_and_runs_it() {
    let page = Page::read();
    let builds = docker_builds(&page);
    for block in blocks(&page, Kind::Image) {
        let mut started = false;
        for line in block.text.lines() {
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["FROM" | "WORKDIR", _] | ["COPY", ".", "."] => {}
                ["COPY", from, what, to] => {
                    let from = from.strip_prefix("--from=").expect("from another image");
                    let file = builds.iter().find(|(name, ..)| name == from).map(|(_, file, _)| file);
                    let file = file.unwrap_or_else(|| panic!("no line of README builds {from}"));
                    let lines = fs::read_to_string(repository().join(file)).expect("it is there");
                    assert!(lines.contains(&format!("/out{what}")), "{file} makes no {what}");
                    let dir = to.strip_suffix('/').expect("a directory");
                    assert!(SYSTEM_PATH.split(':').any(|part| part == dir), "{dir} is not in PATH");
                }
                ["CMD", ..] => started = true,
                _ => panic!("README.md:{}: nothing here tries `{line}`", block.line),
            }
        }
        assert!(started, "README.md:{}: no CMD", block.line);
    }
    let lines = blocks(&page, Kind::Image).into_iter().flat_map(|block| block.text.lines());
    let spans = page.code();
    let mut tried = 0;
    for form in lines.chain(spans.iter().map(String::as_str)).filter_map(|line| line.strip_prefix("CMD ")) {
        let words: Vec<String> = serde_json::from_str(form).expect("the exec form");
        shell_of_the_page(&page).serves(&shlex::try_join(words.iter().map(String::as_str)).expect("no NUL"));
        tried += 1;
    }
    assert!(tried >= 2, "one in the block, one for who comes from pm2-runtime");
}

#[test]
fn a_mistake_is_answered_like_that() {
    const MISTAKE: &str =
        "[[apps]]\nname = \"api\"\nscript = \"dist/main.js\"\nmax_memory_restrat = \"200M\"\n";
    for block in blocks(&Page::read(), Kind::Complaint) {
        for line in ["procrun ecosystem.toml", "procrun check ecosystem.toml"] {
            let run = Shell::with(MISTAKE).run(line, 78);
            assert_eq!(run.err().lines().join("\n"), block.text.trim_end());
            assert_eq!(run.out().lines(), [""; 0]);
        }
    }
}

#[test]
fn the_last_word_looks_like_that() {
    const FAILS: &str = "termination_log = \"why\"\n[[apps]]\nname = \"api\"\n\
        script = \"cat lines >&2; exit 1\"\nrestart_delay = 1\n";
    for block in blocks(&Page::read(), Kind::LastWord) {
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

    for block in blocks(&Page::read(), Kind::Demo) {
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
    for row in Page::read().table("| | a line |") {
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
            let mut ended = run.err().lines_with(" ended: ");
            ended.retain(|line| !(line.contains(" ended: exit 0, ") && line.ends_with(", done")));
            assert_eq!(ended, [""; 0], "{line}{}", run.story());
            let said = run.err().lines();
            let offline = workers.iter().find(|worker| !said.iter().any(|line| line.contains(*worker)));
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
        names.iter().enumerate().map(|(id, name)| format!("{name} ({id}) is online")).collect()
    }
}
