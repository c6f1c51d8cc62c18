//! Options of the command line that describe how an app runs. The row of a key has the options that set it; the
//! command line adds those that set no key.

/// An option. `E` is its effect.
#[derive(Clone, Copy)]
pub struct AppOption<E> {
    /// The short name.
    pub short: Option<char>,
    /// The long name with its dashes.
    pub long: &'static str,
    /// Other long names, without dashes.
    pub aliases: &'static [&'static str],
    /// What follows the name.
    pub value: OptionValue,
    /// What it does.
    pub effect: E,
    /// Its group in the help.
    pub group: OptionGroup,
    /// Its line in the help, without a full stop.
    pub help: &'static str,
}

/// What follows an option.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum OptionValue {
    /// Nothing.
    Switch,
    /// One value of this name.
    Required(&'static str),
    /// One value that may begin with a dash.
    Hyphenated(&'static str),
    /// One value; the option may be repeated.
    Repeated(&'static str),
    /// `=value` or nothing.
    AfterEquals(&'static str),
    /// The next word unless that is an option, or nothing: PM2's `[value]`.
    Optional(&'static str),
}

/// How an option sets its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sets {
    /// To its value; without a value, to true.
    Value,
    /// To false.
    False,
    /// To this word.
    Word(&'static str),
    /// To a number of seconds, unless the value has a unit.
    Seconds,
}

/// The group of an option in the help.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum OptionGroup {
    /// What to run.
    App,
    /// Environment and user.
    Environment,
    /// Restarts.
    Restart,
    /// Stopping.
    Stop,
    /// Output.
    Output,
    /// Log files.
    Files,
    /// Accepted, but not shown.
    Hidden,
}

impl OptionValue {
    /// As it follows the name in the help.
    pub fn shown(self) -> String {
        match self {
            Self::Switch => String::new(),
            Self::Required(name) | Self::Hyphenated(name) | Self::Repeated(name) => format!(" <{name}>"),
            Self::AfterEquals(name) => format!("[={name}]"),
            Self::Optional(name) => format!(" [{name}]"),
        }
    }

    /// The name of a value that must follow.
    pub fn required(self) -> Option<&'static str> {
        match self {
            Self::Required(name) | Self::Hyphenated(name) | Self::Repeated(name) => Some(name),
            Self::Switch | Self::AfterEquals(_) | Self::Optional(_) => None,
        }
    }
}

impl OptionGroup {
    /// In the order of the help.
    pub const SHOWN: [Self; 6] =
        [Self::App, Self::Environment, Self::Restart, Self::Stop, Self::Output, Self::Files];

    /// Its heading in the help.
    pub fn heading(self) -> &'static str {
        match self {
            Self::App => "What to run",
            Self::Environment => "Environment and user",
            Self::Restart => "Restarts",
            Self::Stop => "Stopping",
            Self::Output => "Output",
            Self::Files => "Log files",
            Self::Hidden => "Accepted, without effect",
        }
    }
}

impl<E: Copy> AppOption<E> {
    /// An option with a long name only.
    pub const fn new(
        effect: E,
        long: &'static str,
        value: OptionValue,
        group: OptionGroup,
        help: &'static str,
    ) -> Self {
        Self { short: None, long, aliases: &[], value, effect, group, help }
    }

    /// Adds a short name.
    #[must_use]
    pub const fn short(self, short: char) -> Self {
        Self { short: Some(short), ..self }
    }

    /// Adds other long names, without dashes.
    #[must_use]
    pub const fn aliases(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    /// Its long name without dashes.
    pub fn id(&self) -> &'static str {
        self.long.trim_start_matches('-')
    }

    /// The same option with another effect.
    pub fn with_effect<F>(&self, effect: F) -> AppOption<F> {
        let Self { short, long, aliases, value, effect: _, group, help } = *self;
        AppOption { short, long, aliases, value, effect, group, help }
    }
}

impl AppOption<Sets> {
    /// Sets the key to something else than the value of the option.
    pub(super) const fn sets(self, effect: Sets) -> Self {
        Self { effect, ..self }
    }
}

/// An option that sets its key to its value.
pub(super) const fn option(
    long: &'static str,
    value: OptionValue,
    group: OptionGroup,
    help: &'static str,
) -> AppOption<Sets> {
    AppOption::new(Sets::Value, long, value, group, help)
}

/// An option that the help does not show.
pub(super) const fn hidden(long: &'static str, value: OptionValue) -> AppOption<Sets> {
    option(long, value, OptionGroup::Hidden, "")
}
