//! Reads a source: determines its format, parses it and makes the plan.

use super::{
    document::Parsed,
    draft::RuntimeDraft,
    evaluate::Evaluation,
    file, foreign,
    loaded::Loaded,
    notices::Notices,
    problem::{EX_CONFIG, Problem, Problems},
    source::Source,
    target::{Format, Target},
    variables,
};
use crate::spec::{Plan, Runtime};

/// The result of reading a source.
#[derive(Debug)]
pub enum Read {
    /// The plan.
    Loaded(Loaded),
    /// A JavaScript or TypeScript file: run this program, then call [`Evaluation::finish`].
    NeedsEvaluation(Evaluation),
}

impl Source {
    /// Reads the current state of the source.
    ///
    /// # Errors
    ///
    /// All errors in it. [`Problems::exit_code`] is 78, or 64 if the flags do not fit the file.
    pub fn read(&self) -> Result<Read, Problems> {
        match &self.0.target {
            Target::Script(script) => self.load_script(script).map(Read::Loaded),
            Target::Nothing => {
                let mut draft = RuntimeDraft {
                    runtime: Runtime { auto_exit: false, ..Runtime::default() },
                    ..RuntimeDraft::default()
                };
                let mut notices = Notices::default();
                let mut problems = Problems::none(EX_CONFIG);
                let environment = &self.0.environment;
                variables::apply_to_runtime(environment, &mut draft, &mut notices, &mut problems);
                if !problems.is_empty() {
                    return Err(problems);
                }
                variables::grace(&mut draft, &self.0.environment, &mut notices);
                Ok(Read::Loaded(Loaded {
                    plan: Plan { apps: Vec::new(), runtime: draft.runtime },
                    notices: notices.into_list(),
                    runtime_settings: Vec::new(),
                    settings: Vec::new(),
                    outside: Vec::new(),
                    files_read: Vec::new(),
                    conversion: None,
                    unanswered: Vec::new(),
                }))
            }
            Target::Text { text, format } => self.load_text(text, *format).map(Read::Loaded),
            Target::File { path, format: Format::Script } => {
                file::open(path).map_err(|unreadable| self.unreadable(&unreadable))?;
                Evaluation::new(self.clone(), path).map(Read::NeedsEvaluation)
            }
            Target::File { path, format } => {
                let text = file::read(path).map_err(|unreadable| self.unreadable(&unreadable))?;
                // The file may be an ecosystem file, although its name is one of another tool.
                let loaded = self.load_text(&text, *format);
                let loaded =
                    loaded.map_err(|problems| foreign::refused(&self.0.name, path).unwrap_or(problems));
                loaded.map(Read::Loaded)
            }
        }
    }

    fn load_text(&self, text: &str, format: Format) -> Result<Loaded, Problems> {
        let Parsed { root, problems, warnings } = self.parse(text, format)?;
        let mut loaded = self.load_file(&root, format, &[], problems)?;
        loaded.notices.splice(0..0, warnings.iter().map(Problem::one_line));
        Ok(loaded)
    }
}
