//! The paths where a supervisor creates its socket and a command searches for it. Pure: no file is touched.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

/// The socket of the default supervisor: PID 1, or the background supervisor.
const DEFAULT: &str = "procrun.sock";

/// The paths that a user's supervisors and commands use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketPaths {
    /// `--socket`: only this path.
    Socket(PathBuf),
    /// The first usable one of these directories.
    Directories(Vec<PathBuf>),
}

/// The name of a supervisor's socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// The default supervisor.
    Default,
    /// Another supervisor, by its process id.
    Pid(u32),
}

impl SocketPaths {
    /// The paths for a user: the value of `--socket`; otherwise the directory `PROCRUN_HOME`; otherwise
    /// `/run/procrun` (root) or `$XDG_RUNTIME_DIR/procrun`, and `/dev/shm/procrun-<uid>`, which is often the only
    /// writable directory.
    ///
    /// Under the name of one of PM2's programs (`is_pm2`), the directory is `PM2_HOME`. Otherwise `PM2_HOME` is
    /// searched last, for a supervisor that was started under such a name.
    ///
    /// `variable` returns an environment variable. Relative paths are relative to `cwd`.
    pub fn find(
        socket: Option<&OsStr>,
        uid: u32,
        cwd: &Path,
        is_pm2: bool,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Self {
        if let Some(socket) = socket {
            return Self::Socket(cwd.join(socket));
        }
        let given = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(home) = given("PROCRUN_HOME") {
            return Self::Directories(vec![cwd.join(home)]);
        }
        let of_pm2 = given("PM2_HOME").map(|home| cwd.join(home));
        if let Some(home) = of_pm2.clone().filter(|_| is_pm2) {
            return Self::Directories(vec![home]);
        }
        let first = if uid == 0 {
            Some(PathBuf::from("/run/procrun"))
        } else {
            // The XDG specification requires an absolute path.
            given("XDG_RUNTIME_DIR").filter(|dir| dir.is_absolute()).map(|dir| dir.join("procrun"))
        };
        let last = PathBuf::from(format!("/dev/shm/procrun-{uid}"));
        Self::Directories(first.into_iter().chain([last]).chain(of_pm2).collect())
    }
}

impl Name {
    /// The file name of a socket. `again` numbers sockets with the same name: process ids are unique only in their
    /// namespace, and namespaces may share the directory.
    pub fn file(self, again: u32) -> String {
        match (self, again) {
            (Self::Default, _) => DEFAULT.to_owned(),
            (Self::Pid(pid), 0) => format!("{pid}.sock"),
            (Self::Pid(pid), again) => format!("{pid}-{again}.sock"),
        }
    }

    /// Whether a file with this name is a supervisor's socket. PM2's own home has other sockets.
    pub fn is_socket(file: &OsStr) -> bool {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let Some(name) = file.to_str().filter(|name| *name != DEFAULT) else { return file == DEFAULT };
        let Some(name) = name.strip_suffix(".sock") else { return false };
        let (pid, again) = name.split_once('-').unwrap_or((name, "0"));
        is_number(pid) && is_number(again)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_setting_of_a_path_applies() {
        let find = |socket: Option<&str>, uid, variables: &[(&str, &str)]| {
            let variable = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
            };
            SocketPaths::find(socket.map(OsStr::new), uid, Path::new("/srv"), false, variable)
        };
        let directories =
            |paths: &[&str]| SocketPaths::Directories(paths.iter().map(PathBuf::from).collect());
        let all = [("PROCRUN_HOME", "home"), ("XDG_RUNTIME_DIR", "/run/user/7")];
        assert_eq!(find(Some("a.sock"), 7, &all), SocketPaths::Socket("/srv/a.sock".into()));
        assert_eq!(find(None, 7, &all), directories(&["/srv/home"]));
        assert_eq!(find(None, 7, &all[1..]), directories(&["/run/user/7/procrun", "/dev/shm/procrun-7"]));
        assert_eq!(find(None, 0, &all[1..]), directories(&["/run/procrun", "/dev/shm/procrun-0"]));
        for unset in [&[][..], &[("PROCRUN_HOME", ""), ("XDG_RUNTIME_DIR", "relative")]] {
            assert_eq!(find(None, 7, unset), directories(&["/dev/shm/procrun-7"]));
        }
    }

    #[test]
    fn pm2_home_applies_under_the_name_of_pm2() {
        let find = |is_pm2, variables: &[(&str, &str)]| {
            let variable = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
            };
            SocketPaths::find(None, 7, Path::new("/srv"), is_pm2, variable)
        };
        let directories =
            |paths: &[&str]| SocketPaths::Directories(paths.iter().map(PathBuf::from).collect());
        assert_eq!(find(true, &[("PM2_HOME", "/pm2")]), directories(&["/pm2"]));
        assert_eq!(find(true, &[]), directories(&["/dev/shm/procrun-7"]));
        assert_eq!(find(false, &[("PM2_HOME", "/pm2")]), directories(&["/dev/shm/procrun-7", "/pm2"]));
        assert_eq!(find(true, &[("PM2_HOME", "/pm2"), ("PROCRUN_HOME", "/home")]), directories(&["/home"]));
    }

    #[test]
    fn socket_names_differ_from_other_files() {
        assert_eq!(Name::Default.file(0), "procrun.sock");
        assert_eq!(Name::Pid(7).file(0), "7.sock");
        assert_eq!(Name::Pid(7).file(2), "7-2.sock");
        assert!(Name::is_socket(OsStr::new("7.sock")));
        assert!(Name::is_socket(OsStr::new("7-2.sock")) && Name::is_socket(OsStr::new("procrun.sock")));
        for other in ["7.lock", "rpc.sock", "pub.sock", "-.sock", "7-.sock", ".sock"] {
            assert!(!Name::is_socket(OsStr::new(other)), "{other}");
        }
    }
}
