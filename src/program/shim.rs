//! The shell scripts that pnpm and others write instead of links: `node_modules/.bin/next`.
//!
//! Such a shim ends with `exec node "$basedir/../next/dist/bin/next" "$@"`. It is followed like a link, so
//! that its target gets `interpreter_args` and can be a worker of a cluster.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::head;
use crate::sys::regular_file::{self, known};

/// The target of a shim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shim {
    /// The file that it makes Node run.
    pub(super) target: PathBuf,
    /// The directories that it adds before those of `NODE_PATH`.
    pub(super) node_path: Option<String>,
}

impl Shim {
    /// Reads a shell script; `None` if it is not certain that it is a shim for Node, or the target is missing.
    ///
    /// # Errors
    /// A file system fails, or the kernel lacks memory or descriptors.
    pub(super) fn read(script: &Path) -> io::Result<Option<Self>> {
        let text = known(head::read_script(script))?;
        let shim = text.and_then(|text| Self::parse(&text, script.parent()?));
        match shim {
            Some(shim) if regular_file::exists(&shim.target)? => Ok(Some(shim)),
            Some(_) | None => Ok(None),
        }
    }

    fn parse(text: &str, directory: &Path) -> Option<Self> {
        if !text.lines().nth(1)?.starts_with("basedir=$(dirname ") {
            return None;
        }
        let mut targets = text.lines().filter_map(|line| {
            let call = line.trim().strip_prefix("exec ")?.strip_suffix(" \"$@\"")?;
            let (program, target) = call.split_once(' ')?;
            let is_node = matches!(program, "node" | "\"$basedir/node\"");
            is_node.then(|| target.trim().strip_prefix("\"$basedir/")?.strip_suffix('"'))
        });
        let target = targets.next()??;
        let is_plain = !target.contains(['$', '`', '"', '\\']);
        let is_only_target = targets.all(|other| other == Some(target));
        let node_path = text.lines().find_map(|line| {
            line.trim().strip_prefix("export NODE_PATH=\"")?.strip_suffix('"').map(str::to_owned)
        });
        (is_plain && is_only_target).then(|| Self { target: directory.join(target), node_path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_PNPM: &str = r#"#!/bin/sh
basedir=$(dirname "$(echo "$0" | sed -e 's,\\,/,g')")

case `uname` in
    *CYGWIN*) basedir=`cygpath -w "$basedir"`;;
esac

if [ -z "$NODE_PATH" ]; then
  export NODE_PATH="/x/next/node_modules:/x/node_modules"
else
  export NODE_PATH="/x/next/node_modules:/x/node_modules:$NODE_PATH"
fi
if [ -x "$basedir/node" ]; then
  exec "$basedir/node"  "$basedir/../next/dist/bin/next" "$@"
else
  exec node  "$basedir/../next/dist/bin/next" "$@"
fi
"#;

    #[test]
    fn a_shim_of_pnpm_leads_to_its_file() {
        let shim = Shim::parse(OF_PNPM, Path::new("/app/node_modules/.bin")).unwrap();
        assert_eq!(shim.target, Path::new("/app/node_modules/.bin/../next/dist/bin/next"));
        assert_eq!(shim.node_path.as_deref(), Some("/x/next/node_modules:/x/node_modules"));
    }

    #[test]
    fn another_shell_script_is_not_a_shim() {
        let read = |text: &str| Shim::parse(text, Path::new("/bin"));
        assert_eq!(read("#!/bin/sh\nexec node server.js \"$@\"\n"), None);
        assert_eq!(read(&OF_PNPM.replace("exec node ", "exec deno ").replace("/node\"", "/deno\"")), None);
        assert_eq!(read(&OF_PNPM.replacen("next/dist/bin/next", "other", 1)), None, "two targets");
        assert_eq!(read(""), None);
    }
}
