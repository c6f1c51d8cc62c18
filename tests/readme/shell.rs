//! Where the examples are typed: a directory with the files that they name, seen as /mnt, in a mount
//! namespace of its own. There /tmp is empty, so that what an example writes to it never meets the
//! machine's own files, and every user may read everything. The network is its own too: the ports of the
//! examples are always free.

use std::{fs, path::Path, time::Duration};

use super::{
    page::repository,
    support::{self, Bed, End, Procrun, now, wait_until_within},
};

/// How long an example may take to show all it should. The worker of the demo takes 12 s to fail.
const LONG: Duration = Duration::from_secs(240);

/// What every user may run comes first; then what this machine has elsewhere.
pub(crate) const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A shell in a directory with all that the examples need.
pub(crate) struct Shell {
    bed: Bed,
}

impl Shell {
    /// With the files of tests/readme/files, those of examples/hello and procrun in PATH.
    pub(crate) fn new() -> Self {
        let shell = Self { bed: Bed::new() };
        shell.copy(&repository().join("tests/readme/files"), Path::new(""));
        shell.copy(&repository().join("examples/hello"), Path::new("examples/hello"));
        shell.bed.file("bin/procrun", "procrun is mounted upon this");
        shell
    }

    /// And with this as `ecosystem.toml`.
    pub(crate) fn with(ecosystem: &str) -> Self {
        let shell = Self::new();
        shell.bed.file("ecosystem.toml", ecosystem);
        shell
    }

    /// With this file too.
    pub(crate) fn file(&self, name: &str, text: &str) {
        self.bed.file(name, text);
    }

    /// What a file holds by now.
    pub(crate) fn read(&self, name: &str) -> String {
        self.bed.read(name)
    }

    /// A directory with all that is in it.
    fn copy(&self, from: &Path, to: &Path) {
        for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
            let from = entry.expect("an entry").path();
            let to = to.join(from.file_name().expect("an entry has a name"));
            if from.is_dir() {
                self.copy(&from, &to);
            } else {
                self.bed.file(to.to_str().expect("names of ours"), fs::read(&from).expect("files of ours"));
            }
        }
    }

    /// Starts a line of a page as a shell would; procrun takes the shell's place.
    pub(crate) fn start(&self, line: &str, env: &[(&str, &str)]) -> Procrun {
        let dir = self.bed.root().to_str().expect("a name of ours");
        // In a checkout under /tmp, the programs that tests/setup.sh has fetched are in the empty /tmp at their place.
        let target = repository().join("target");
        let fetched = target.strip_prefix("/tmp").map_or(String::new(), |place| {
            let place = Path::new("/mnt").join(place);
            format!("mkdir -p '{0}'\nmount --bind '{1}' '{0}'\n", place.display(), target.display())
        });
        let enter = format!(
            "mount --bind '{}' '{dir}/bin/procrun'\n\
             mount -t tmpfs -o mode=1777 tmpfs /mnt\n\
             mkdir /mnt/bed\n\
             mount --rbind '{dir}' /mnt/bed\n\
             {fetched}\
             mount --move /mnt /tmp\n\
             mount --move /tmp/bed /mnt\n\
             rmdir /tmp/bed\n\
             ip link set lo up\n\
             cd /mnt",
            support::binary().display()
        );
        // gunicorn and uvicorn.
        let from_pypi = repository().join("target/python/bin");
        let here = std::env::var("PATH").expect("a PATH");
        let launch = self
            .bed
            .launch(&["-c", &format!("exec {line}")])
            .binary("sh")
            .own_mounts()
            .own_network()
            .after(&enter);
        let launch = launch.env("PATH", &format!("/mnt/bin:{SYSTEM_PATH}:{here}:{}", from_pypi.display()));
        let launch = launch.env("HOME", "/mnt").env("TZ", "UTC");
        env.iter().fold(launch, |launch, (name, value)| launch.env(name, value)).start()
    }

    /// Runs a line to its end, which has to be this one.
    #[track_caller]
    pub(crate) fn run(&self, line: &str, code: i32) -> Procrun {
        let mut run = self.start(line, &[]);
        assert_eq!(run.wait_end(), End::Code(code), "{line}{}", run.story());
        run
    }
}

/// Waits until nothing is missing from what it should have said.
#[track_caller]
pub(crate) fn wait_for_all(run: &mut Procrun, missing: impl Fn(&Procrun) -> Option<String>) {
    let begun = now();
    wait_until_within("what it should say", LONG * 2, || {
        let over = run.has_ended() || begun.elapsed() > LONG;
        over || missing(run).is_none()
    });
    assert_eq!(missing(run), None, "is missing{}", run.story());
}
