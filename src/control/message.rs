//! What is said over the control socket: a line of JSON for each message.
//!
//! Both sides begin with a [`Hello`]. Its two fields never change, so any two versions understand
//! that much of each other, and the command says what to do. Everything is bounded: who sends a line
//! that is too long is answered once and cut off.

use std::{collections::BTreeMap, slice};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    event::EncodedEvent,
    plan::PlannedChange,
    snapshot::{Detail, Overview},
    trees::ProcessTrees,
};
use crate::spec::{AppSpec, Patch, order::Outside};

/// The version of everything below [`Hello`]. It grows when a message changes its meaning.
pub const PROTOCOL: u32 = 2;
/// The longest line that a supervisor takes, in bytes: an environment fits.
pub const LONGEST_REQUEST: usize = 1024 * 1024;
/// The longest line that a supervisor accepts from a client before its hello.
pub const LONGEST_HELLO: usize = 1024;
/// The longest line that a command takes: some thousand processes with everything about them.
pub const LONGEST_ANSWER: usize = 64 * 1024 * 1024;

/// What it takes to answer a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// The answer is there at once.
    None,
    /// Something has to be done first.
    Work,
    /// Lines are handed out as they come and as the client reads them.
    Lines,
}

/// The first message of both sides, the same in all versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`] of who says it.
    pub protocol: u32,
    /// The version of who says it.
    pub procrun: String,
}

impl Hello {
    /// This procrun's own.
    pub fn own() -> Self {
        Self { protocol: PROTOCOL, procrun: env!("CARGO_PKG_VERSION").to_owned() }
    }
}

/// What a command asks. Targets are words: names, ids, namespaces, absolute paths of scripts, patterns or
/// `all`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Check that a supervisor is running. Answered by [`Answer::Overview`] without instances.
    Ping,
    /// All instances in brief. Answered by [`Answer::Overview`].
    List,
    /// The same, and figures of the container and the machine. Answered by [`Answer::Overview`].
    Monitor,
    /// All there is to know of these; of all, when no target is given. Answered by
    /// [`Answer::Details`].
    Describe {
        /// Which.
        targets: Vec<String>,
    },
    /// The process trees of these; of all, when no target is given. Answered by [`Answer::Trees`].
    Tree {
        /// Which.
        targets: Vec<String>,
    },
    /// Do something to these. Answered by steps and [`Answer::Done`].
    Act {
        /// What.
        action: Action,
        /// To which; at least one.
        targets: Vec<String>,
    },
    /// Add applications, or replace those of the same name. Answered as [`Request::Act`].
    Add {
        /// The applications; their `env.caller` is `environment`.
        apps: Vec<AppSpec>,
        /// The environment that new ones inherit.
        environment: BTreeMap<String, String>,
        /// Those that are in the list inherit `environment` from now on, too, instead of what they did.
        #[serde(default)]
        update_environment: bool,
        /// The ecosystem file that names them, absolute.
        #[serde(default)]
        file: Option<String>,
        /// Only say what this would do. Answered by [`Answer::Plan`].
        #[serde(default)]
        dry_run: bool,
        /// What becomes of one whose name is taken.
        taken: Taken,
        /// What runs anew of those that are replaced.
        #[serde(default)]
        anew: Anew,
        /// The names of those that are added and not started.
        #[serde(default)]
        resting: Vec<String>,
        /// The names of those that are added scaled to none.
        #[serde(default)]
        empty: Vec<String>,
        /// What they wait for besides, as far as it is in the list.
        #[serde(default)]
        outside: Vec<Outside>,
    },
    /// Read the supervisor's ecosystem file again and apply what has changed, as SIGHUP does. Answered by
    /// [`Answer::Plan`], then as [`Request::Act`]; by [`Answer::FileEnvironment`] if `file` is another one,
    /// which the client then reads and adds itself.
    Apply {
        /// The file, absolute; `None`: the one that the supervisor was started with.
        #[serde(default)]
        file: Option<String>,
        /// Only say what this would do.
        dry_run: bool,
    },
    /// The environment with which an ecosystem file was read. Answered by [`Answer::FileEnvironment`].
    FileEnvironment {
        /// The file, absolute.
        file: String,
    },
    /// Change something in the applications of these, and let them run anew. Answered as
    /// [`Request::Act`].
    Change {
        /// Which.
        targets: Vec<String>,
        /// How they run anew.
        anew: Anew,
        /// What their applications inherit from now on; `None`: what they did.
        environment: Option<BTreeMap<String, String>>,
        /// What else is to change in them.
        patch: Option<Patch>,
    },
    /// Everything that is needed to have the same list again. Answered by [`Answer::Saved`].
    Save,
    /// Scale an application to this number of instances. Answered as [`Request::Act`].
    Scale {
        /// Its name.
        app: String,
        /// `N`, `+N` or `-N`.
        count: String,
    },
    /// The variables that a start of this instance would give it. Answered by
    /// [`Answer::Environment`].
    Environment {
        /// An id, or the name of an application: its first instance.
        target: String,
    },
    /// The recent lines and those that come. Answered by [`Answer::Lines`]; then [`Answer::Live`] and
    /// more of them, or [`Answer::Done`].
    Logs {
        /// Whose; of all and of the supervisor itself, when no target is given.
        targets: Vec<String>,
        /// The number of recent lines of each.
        lines: u32,
        /// Those of stdout.
        out: bool,
        /// Those of stderr.
        err: bool,
        /// And the supervisor's own about them; they count as stderr.
        #[serde(default)]
        own: bool,
        /// And those that come.
        stream: bool,
    },
    /// The last events and those that come. Answered by [`Answer::Events`]; then [`Answer::Live`] and more of
    /// them, or [`Answer::Done`].
    Events {
        /// Of which; of everything, when no target is given.
        targets: Vec<String>,
        /// Only those from this time on, in milliseconds since 1970.
        since: Option<i64>,
        /// At most this number of the latest ones.
        lines: u32,
        /// And those that come.
        stream: bool,
    },
    /// Empty their log files and forget their recent lines. Answered by [`Answer::Done`].
    Flush {
        /// Whose; of all, when no target is given.
        targets: Vec<String>,
    },
    /// Write to the standard input of one process. Answered by [`Answer::Done`] with its id when all of the
    /// text is in its pipe; an empty text only checks that the process has one.
    Input {
        /// An id, or a name that one process has.
        target: String,
        /// With its end of line.
        text: String,
    },
    /// End every application and the supervisor. The answer is the end of the connection.
    Kill,
}

impl Request {
    /// The words that say which instances it is about.
    pub fn targets_mut(&mut self) -> &mut [String] {
        match self {
            Self::Describe { targets }
            | Self::Tree { targets }
            | Self::Act { targets, .. }
            | Self::Change { targets, .. }
            | Self::Logs { targets, .. }
            | Self::Events { targets, .. }
            | Self::Flush { targets } => targets,
            Self::Environment { target } | Self::Input { target, .. } | Self::Scale { app: target, .. } => {
                slice::from_mut(target)
            }
            Self::Ping
            | Self::List
            | Self::Monitor
            | Self::Add { .. }
            | Self::Apply { .. }
            | Self::FileEnvironment { .. }
            | Self::Save
            | Self::Kill => &mut [],
        }
    }

    /// What it takes to answer.
    pub(super) fn effort(&self) -> Effort {
        match self {
            Self::Ping
            | Self::List
            | Self::Monitor
            | Self::Describe { .. }
            | Self::Tree { .. }
            | Self::Save
            | Self::FileEnvironment { .. }
            | Self::Environment { .. } => Effort::None,
            Self::Act { .. }
            | Self::Add { .. }
            | Self::Apply { .. }
            | Self::Change { .. }
            | Self::Scale { .. }
            | Self::Flush { .. }
            | Self::Input { .. }
            | Self::Kill => Effort::Work,
            Self::Logs { .. } | Self::Events { .. } => Effort::Lines,
        }
    }
}

/// What becomes of an application that is to be added under a name that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Taken {
    /// Nothing is added, and that is an error.
    Refuse,
    /// It gets another name: `name-1`.
    Rename,
    /// It replaces the other one.
    Replace,
}

/// What runs anew when applications are replaced or changed, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Anew {
    /// What has changed.
    #[default]
    Changed,
    /// All that is meant, without a gap where that is possible.
    Reload,
    /// All that is meant, at once.
    Restart,
}

/// What can be done to instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Start those that have no process.
    Start,
    /// End them; they stay in the list.
    Stop,
    /// End them and start them again.
    Restart,
    /// Replace them without a gap where that is possible.
    Reload,
    /// End and forget them.
    Delete,
    /// Forget how often they were restarted.
    Reset,
    /// Send the signal of this number to their main processes.
    Signal(i32),
}

/// What the supervisor answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Something has happened that the request is about; more follows.
    Step(EncodedEvent),
    /// What the change does, application by application.
    Plan {
        /// Those that change.
        changes: Vec<PlannedChange>,
        /// It is not carried out.
        dry_run: bool,
    },
    /// All of it is done.
    Done {
        /// The ids that it was done to.
        ids: Vec<u32>,
    },
    /// It was refused or has failed.
    Failed {
        /// What and why.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The supervisor and its instances in brief.
    Overview(Overview),
    /// All there is to know of some.
    Details(Vec<Detail>),
    /// Process trees.
    Trees(ProcessTrees),
    /// The variables of one instance, by name.
    Environment(Vec<(String, String)>),
    /// The environment with which an ecosystem file was read; `None` for a file that was not.
    FileEnvironment(Option<BTreeMap<String, String>>),
    /// The list as it is to be kept.
    Saved(Vec<SavedApp>),
    /// That were all of the recent lines; those that come follow.
    Live,
    /// Events; more may follow.
    Events {
        /// The number of earlier ones that were dropped before they could be sent.
        missed: u64,
        /// The oldest first.
        events: Vec<EncodedEvent>,
    },
    /// Lines that processes wrote; more may follow.
    Lines {
        /// The number of earlier ones that were dropped before they could be sent.
        missed: u64,
        /// The oldest first.
        #[serde(with = "parts")]
        lines: Vec<LogLine>,
    },
}

/// An application as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedApp {
    /// What it is; `instances` is as many as it had.
    pub app: AppSpec,
    /// What it inherits.
    pub environment: BTreeMap<String, String>,
    /// Nothing of it was to run.
    pub stopped: bool,
    /// It was scaled to none.
    #[serde(default)]
    pub empty: bool,
}

/// A line, or a piece of one that is very long or whose writer paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The instance; `None`: the supervisor itself.
    pub id: Option<u32>,
    /// Its application.
    pub name: String,
    /// It was written to stderr.
    pub err: bool,
    /// When it was read, in milliseconds since 1970.
    pub at: i64,
    /// Without its end. What is no UTF-8 is replaced.
    pub text: String,
    /// What lies before it in its line.
    pub begin: Edge,
    /// What lies behind it.
    pub end: Edge,
}

/// What lies before or behind a piece of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Edge {
    /// The beginning or the end of the line.
    Line,
    /// More of the line, which is very long.
    Cut,
    /// More of the line, or nothing: its writer paused.
    Pause,
}

impl LogLine {
    /// After a pause came the end of the line and nothing else.
    pub fn is_bare_end(&self) -> bool {
        self.begin == Edge::Pause && self.end == Edge::Line && matches!(&*self.text, "" | "\r")
    }
}

/// Lines on their way: what one instance wrote in one go is one part, or short lines would be
/// nothing against what is said of each.
mod parts {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Edge, LogLine};

    /// Lines that differ in nothing but their text.
    #[derive(Serialize, Deserialize)]
    struct Part<'a> {
        id: Option<u32>,
        name: std::borrow::Cow<'a, str>,
        err: bool,
        at: i64,
        /// With `\n` between two.
        text: String,
        begin: Edge,
        end: Edge,
    }

    pub(super) fn serialize<S: Serializer>(lines: &[LogLine], to: S) -> Result<S::Ok, S::Error> {
        let is_same = |one: &LogLine, other: &LogLine| {
            // A piece of a line stands alone.
            let is_whole = |line: &LogLine| (line.begin, line.end) == (Edge::Line, Edge::Line);
            (one.id, one.err, one.at) == (other.id, other.err, other.at)
                && is_whole(one)
                && is_whole(other)
                && one.name == other.name
        };
        to.collect_seq(lines.chunk_by(is_same).map(|lines| {
            let LogLine { id, ref name, err, at, begin, end, .. } = lines[0];
            let mut text = String::with_capacity(lines.iter().map(|line| line.text.len() + 1).sum());
            for (number, line) in lines.iter().enumerate() {
                if number > 0 {
                    text.push('\n');
                }
                text.push_str(&line.text);
            }
            Part { id, name: name.into(), err, at, text, begin, end }
        }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<LogLine>, D::Error> {
        let parts = Vec::<Part<'_>>::deserialize(from)?;
        let lines = parts.iter().flat_map(|part| {
            let Part { id, err, at, begin, end, .. } = *part;
            part.text.split('\n').map(move |text| LogLine {
                id,
                name: part.name.clone().into_owned(),
                err,
                at,
                text: text.to_owned(),
                begin,
                end,
            })
        });
        Ok(lines.collect())
    }
}

impl Answer {
    /// A refusal without advice.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), hint: None }
    }

    /// Whether nothing follows it.
    pub fn is_last(&self) -> bool {
        match self {
            Self::Step(_)
            | Self::Events { .. }
            | Self::Lines { .. }
            | Self::Live
            | Self::Plan { dry_run: false, .. } => false,
            Self::Plan { dry_run: true, .. }
            | Self::Done { .. }
            | Self::Failed { .. }
            | Self::Overview(_)
            | Self::Details(_)
            | Self::Trees(_)
            | Self::Environment(_)
            | Self::FileEnvironment(_)
            | Self::Saved(_) => true,
        }
    }
}

/// A message as it goes over the socket.
///
/// # Panics
/// Never: what is said here has no map whose keys are no text.
pub fn encode(message: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).expect("messages are made of text, numbers and lists");
    line.push(b'\n');
    line
}

/// The message of a line.
///
/// # Errors
/// What is wrong with it, for people.
pub fn decode<T: DeserializeOwned>(line: &[u8]) -> Result<T, String> {
    serde_json::from_slice(line).map_err(|error| error.to_string())
}

/// Cuts what arrives into lines, and keeps what has no end yet.
#[derive(Debug, Default)]
pub struct Lines {
    bytes: Vec<u8>,
    /// Taken from the front already.
    taken: usize,
    /// Looked through in vain for an end.
    searched: usize,
}

/// A line is longer than it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

impl Lines {
    /// Takes in what has arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.taken);
        self.searched = self.searched.saturating_sub(self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole line, without its end; `None` when there is none yet.
    ///
    /// # Errors
    /// [`TooLong`] when it has more than `longest` bytes. Nothing sensible follows then.
    pub fn next(&mut self, longest: usize) -> Result<Option<&[u8]>, TooLong> {
        let from = self.searched;
        let end = memchr::memchr(b'\n', &self.bytes[from..]).map(|at| from + at);
        self.searched = self.bytes.len();
        if end.unwrap_or(self.bytes.len()) - self.taken > longest {
            return Err(TooLong);
        }
        let Some(end) = end else { return Ok(None) };
        let line = self.taken..end;
        self.taken = end + 1;
        self.searched = self.taken;
        Ok(Some(&self.bytes[line]))
    }

    /// How many bytes it holds.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether something has been said after the last whole line.
    pub fn has_more(&self) -> bool {
        self.taken < self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&[u8]], longest: usize) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for piece in pieces {
            lines.feed(piece);
            while let Some(line) = lines.next(longest)? {
                found.push(line.to_vec());
            }
        }
        Ok(found)
    }

    #[test]
    fn lines_are_the_same_however_they_arrive() {
        let text = b"one\n\ntwo\nthree";
        let whole = cut(&[text], 5).unwrap();
        assert_eq!(whole, [&b"one"[..], b"", b"two"]);
        for at in 0..text.len() {
            assert_eq!(cut(&[&text[..at], &text[at..]], 5).unwrap(), whole, "{at}");
        }
    }

    #[test]
    fn a_line_has_a_bound_also_before_its_end_is_seen() {
        assert_eq!(cut(&[b"12345\n"], 5).unwrap().len(), 1);
        assert_eq!(cut(&[b"123456\n"], 5), Err(TooLong));
        assert_eq!(cut(&[b"123", b"456"], 5), Err(TooLong));
        assert_eq!(cut(&[b"1\n23", b"45"], 5).unwrap().len(), 1);
    }

    #[test]
    fn messages_survive_the_way() {
        let requests = [
            Request::Ping,
            Request::Act { action: Action::Signal(10), targets: vec!["all".into(), "ü\n".into()] },
            Request::Scale { app: "api".into(), count: "+2".into() },
        ];
        for request in requests {
            let line = encode(&request);
            assert!(!line[..line.len() - 1].contains(&b'\n'));
            assert_eq!(decode::<Request>(&line[..line.len() - 1]), Ok(request));
        }
    }

    #[test]
    fn lines_arrive_as_they_were_whatever_they_are_sent_with() {
        let line = |id, at, text: &str| LogLine {
            id,
            name: "api".to_owned(),
            err: false,
            at,
            text: text.to_owned(),
            begin: Edge::Line,
            end: Edge::Line,
        };
        let piece = |begin, end| LogLine { begin, end, ..line(Some(0), 1, "piece") };
        let lines = vec![
            line(Some(0), 1, "one"),
            line(Some(0), 1, ""),
            line(Some(0), 1, "three\r"),
            line(Some(0), 2, "later"),
            line(None, 2, ""),
            piece(Edge::Line, Edge::Cut),
            piece(Edge::Cut, Edge::Pause),
            piece(Edge::Pause, Edge::Line),
            line(Some(0), 1, "after"),
        ];
        let answer = Answer::Lines { missed: 3, lines };
        let sent = encode(&answer);
        assert_eq!(decode::<Answer>(&sent[..sent.len() - 1]), Ok(answer));
        assert_eq!(sent.windows(6).filter(|part| part == b"\"name\"").count(), 7, "three went together");
    }

    /// The messages of this version. A change of them raises [`PROTOCOL`]; a [`Hello`] never changes.
    #[test]
    fn the_messages_of_this_version_are_understood() {
        assert_eq!(PROTOCOL, 2);
        let hello: Hello = decode(br#"{"protocol":1,"procrun":"0.1.0","later":true}"#).unwrap();
        assert_eq!(hello, Hello { protocol: 1, procrun: "0.1.0".into() });
        let answer = br#"{"step":{"seq":1,"at":"2026-01-31T14:30:00.000Z","subject":{"app":"api","id":0},"kind":"instance.online","data":{"pid":7}}}"#;
        let Ok(Answer::Step(event)) = decode(answer) else { panic!("not a step") };
        assert_eq!(event.decode().unwrap().notice.to_string(), "api (0) is online, pid 7");
        for (line, request) in [
            (r#""ping""#, Request::Ping),
            (r#"{"describe":{"targets":["api"]}}"#, Request::Describe { targets: vec!["api".into()] }),
            (
                r#"{"act":{"action":"stop","targets":["0"]}}"#,
                Request::Act { action: Action::Stop, targets: vec!["0".into()] },
            ),
            (
                r#"{"act":{"action":{"signal":10},"targets":["0"]}}"#,
                Request::Act { action: Action::Signal(10), targets: vec!["0".into()] },
            ),
        ] {
            assert_eq!(decode(line.as_bytes()), Ok(request), "{line}");
        }
        assert!(decode::<Request>(br#"{"dance":{}}"#).is_err());
        assert!(decode::<Request>(b"GET / HTTP/1.1").is_err());
    }
}
