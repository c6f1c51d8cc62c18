//! `procrun save` and `resurrect`: the list in a file, and from a file.
//!
//! The file is written beside its place and moved there: it is whole or it is not there.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt},
    path::Path,
};

use nix::{fcntl::OFlag, unistd::geteuid};
use serde::{Deserialize, Serialize};

use super::{
    background::{connect, home},
    commands::ParsedArgs,
    events::message,
    failure::Failure,
    file::say_notices,
    list::{look, overview, shown, unexpected},
    process_commands::wait,
    say,
};
use crate::{
    config::EX_CONFIG,
    control::{Action, Anew, Answer, Request, SavedApp, Taken, own_directory},
    spec::{
        ExitCode,
        validate::{validate, validate_environment},
    },
    sys::lock::FileLock,
};

/// Grows when the file changes its meaning.
const FORMAT: u32 = 1;
const FILE: &str = "dump.json";
/// The list that was saved before.
const BACKUP: &str = "dump.json.bak";
const WHAT: &str = "procrun's saved list";
const OF_PM2: &str = "this looks like a dump of PM2: start the apps from their ecosystem file, then run `procrun save`; nothing was started";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Dump {
    /// [`WHAT`]: distinguishes the file from other JSON files.
    what: String,
    format: u32,
    procrun: String,
    apps: Vec<SavedApp>,
}

pub(super) fn save(typed: &ParsedArgs) -> Result<ExitCode, Failure> {
    let apps = match typed.supervisor()?.request(&Request::Save)? {
        Answer::Saved(apps) => apps,
        other => return Err(unexpected(&other)),
    };
    let count = apps.len();
    if count == 0 && !typed.has("force") {
        let hint = "`procrun save --force` saves an empty list";
        return Err(Failure::not_done("the list is empty: the saved list was not changed").hint(hint));
    }
    keep(apps)
}

/// `procrun cleardump`.
pub(super) fn clear(_: &ParsedArgs) -> Result<ExitCode, Failure> {
    keep(Vec::new())
}

fn keep(apps: Vec<SavedApp>) -> Result<ExitCode, Failure> {
    let count = apps.len();
    let dump =
        Dump { what: WHAT.to_owned(), format: FORMAT, procrun: env!("CARGO_PKG_VERSION").to_owned(), apps };
    let text = serde_json::to_vec_pretty(&dump).expect("a list is made of text, numbers and lists");
    let home = home()?;
    let path = home.join(FILE);
    write(&home, &path, &text)
        .map_err(|error| Failure::not_done(format!("cannot save to {}: {error}", path.display())))?;
    let apps = if count == 1 { "app" } else { "apps" };
    Ok(say(&format!("saved {count} {apps} to {}\n", path.display())))
}

/// Its secrets are for the owner alone. The list that was there before stays beside it, unless it is damaged.
fn write(home: &Path, path: &Path, text: &[u8]) -> io::Result<()> {
    own_directory(home)?;
    // One `save` at a time, so that the temporary file has a fixed name. The next `save` replaces the file of a
    // killed one.
    let _one = FileLock::wait(File::open(home)?)?;
    let beside = path.with_extension("json.new");
    let result = (|| {
        let _ = fs::remove_file(&beside);
        // A new file: neither another user's file nor a link.
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(text)?;
        file.sync_all()?;
        if read(path).is_ok() {
            let before = home.join(BACKUP);
            let _ = fs::remove_file(&before);
            // Not every file system has links.
            fs::hard_link(path, &before).or_else(|_| fs::copy(path, &before).map(drop))?;
        }
        fs::rename(&beside, path)?;
        File::open(home)?.sync_all()
    })();
    if result.is_err() {
        let _ = fs::remove_file(&beside);
    }
    result
}

/// Why a saved list cannot be used.
enum Unusable {
    /// It is missing or damaged: the one before may do.
    Lost(Failure),
    /// It is another user's, or another program's.
    Refused(Failure),
}

/// What was saved; what was saved before that, if the file is missing or damaged.
fn read_or_backup(home: &Path) -> Result<Vec<SavedApp>, Failure> {
    let failure = match read(&home.join(FILE)) {
        Ok(apps) => return Ok(apps),
        Err(Unusable::Refused(failure)) => return Err(failure),
        Err(Unusable::Lost(failure)) => failure,
    };
    let before = home.join(BACKUP);
    let Ok(apps) = read(&before) else { return Err(failure) };
    failure.say();
    say_notices(&[format!("using the previous saved list: {}", before.display())]);
    Ok(apps)
}

pub(super) fn resurrect(typed: &ParsedArgs) -> Result<ExitCode, Failure> {
    let home = home()?;
    if home.exists() {
        own_directory(&home).map_err(|error| {
            let hint = "set PROCRUN_HOME to a directory of this user; nothing was started";
            Failure::new(EX_CONFIG, format!("{}: {error}", home.display())).hint(hint)
        })?;
    }
    let apps = read_or_backup(&home)?;
    if apps.is_empty() {
        return Err(Failure::not_done(format!("{} has no apps", home.join(FILE).display())));
    }
    let mut supervisor = connect(typed.socket.as_deref(), typed.has("silent"))?;
    let there = overview(&mut supervisor, &Request::List)?.instances;
    let is_missing = |saved: &SavedApp| there.iter().all(|one| one.name != saved.app.name);
    let mut failed = None;
    let mut missing = Vec::new();
    for saved in apps.into_iter().filter(is_missing) {
        let checked = validate(&saved.app).map_err(|violation| violation.to_string());
        let in_environment = |why: String| format!("app `{}`: {why}", saved.app.name);
        match checked.and_then(|()| validate_environment(&saved.environment).map_err(in_environment)) {
            Ok(()) => missing.push(saved),
            Err(message) => {
                Failure::new(EX_CONFIG, format!("{}: {message}", home.join(FILE).display())).say();
                failed = Some(EX_CONFIG);
            }
        }
    }
    // Those that ran although they do not start by themselves.
    let ran = |saved: &&SavedApp| !saved.app.autostart && !saved.stopped && !saved.empty;
    let targets: Vec<String> = missing.iter().filter(ran).map(|saved| saved.app.name.clone()).collect();
    let start = (!targets.is_empty()).then_some(Request::Act { action: Action::Start, targets });
    for request in requests(missing.into_iter()).into_iter().chain(start) {
        // An app that cannot be started does not prevent the others.
        if let Err(failure) = wait(&mut supervisor, &request, |step| {
            say(&format!("{}\n", message(step)));
        }) {
            failure.say();
            failed = Some(failure.code);
        }
    }
    let list = overview(&mut supervisor, &Request::List)?;
    say(&shown(&list.instances, look()));
    Ok(failed.unwrap_or(0))
}

/// What was saved.
fn read(path: &Path) -> Result<Vec<SavedApp>, Unusable> {
    let failure = |what: String| Failure::new(EX_CONFIG, format!("{}: {what}", path.display()));
    let refuse = |what: String, hint: &str| Unusable::Refused(failure(what).hint(hint));
    let lose = |what: String, hint: &str| Unusable::Lost(failure(what).hint(hint));
    let read = |path| {
        // Never waits for the writer of a FIFO.
        let mut file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        let mut text = Vec::new();
        let file_is = file.metadata()?;
        file.read_to_end(&mut text)?;
        io::Result::Ok((file_is.uid(), file_is.mode(), text))
    };
    let (owner, mode, text) = read(path).map_err(|error| {
        lose(error.to_string(), "`procrun save` saves the list of the running supervisor")
    })?;
    // The content of the file runs as this user.
    if owner != 0 && owner != geteuid().as_raw() {
        let hint = "the file must belong to this user or to root; nothing was started";
        return Err(refuse(format!("the file belongs to user {owner}"), hint));
    }
    if mode & 0o022 != 0 {
        let hint = "check its content, then run `chmod go-w` on it; nothing was started";
        return Err(refuse("other users can write to the file".to_owned(), hint));
    }
    let hint = "the file is damaged or was not written by `procrun save`; nothing was started";
    let dump: Dump = match serde_json::from_slice(&text) {
        Ok(dump) => dump,
        Err(error) if error.is_eof() => {
            return Err(lose(format!("the file is incomplete: {error}"), hint));
        }
        Err(error) => {
            // PM2's own dump is a list.
            let is_pm2s = text.trim_ascii_start().starts_with(b"[");
            let what = format!("not a list of `procrun save`: {error}");
            return Err(if is_pm2s { refuse(what, OF_PM2) } else { lose(what, hint) });
        }
    };
    if dump.what != WHAT || dump.format != FORMAT {
        let message = format!("the file has format {1} of procrun {0}", dump.procrun, dump.format);
        return Err(refuse(message, &format!("this procrun reads format {FORMAT}")));
    }
    Ok(dump.apps)
}

/// Each behind those of the others that it depends on; else in their order.
fn in_order(mut apps: Vec<SavedApp>) -> Vec<SavedApp> {
    let mut ordered = Vec::with_capacity(apps.len());
    while !apps.is_empty() {
        let is_there = |name: &str| apps.iter().any(|left| left.app.name == name);
        let is_next = |saved: &SavedApp| saved.app.order.depends_on.iter().all(|other| !is_there(&other.app));
        // In a dependency cycle no app is the next one; the supervisor reports the cycle.
        let at = apps.iter().position(is_next).unwrap_or(0);
        ordered.push(apps.remove(at));
    }
    ordered
}

/// Applications with the same environment go together.
fn requests(apps: impl Iterator<Item = SavedApp>) -> Vec<Request> {
    let mut requests: Vec<Request> = Vec::new();
    for SavedApp { app, environment, stopped, empty: is_empty } in in_order(apps.collect()) {
        let name = app.name.clone();
        match requests.last_mut() {
            Some(Request::Add { apps, environment: same, .. }) if *same == environment => apps.push(app),
            _ => requests.push(Request::Add {
                apps: vec![app],
                environment,
                update_environment: false,
                file: None,
                dry_run: false,
                taken: Taken::Refuse,
                anew: Anew::Changed,
                resting: Vec::new(),
                empty: Vec::new(),
                outside: Vec::new(),
            }),
        }
        if let Some(Request::Add { resting, empty, .. }) = requests.last_mut() {
            // It comes back as it was.
            resting.extend(stopped.then(|| name.clone()));
            empty.extend(is_empty.then_some(name));
        }
    }
    requests
}
