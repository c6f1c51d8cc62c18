//! Users and groups from `/etc/passwd` and `/etc/group`.
//!
//! A static binary has no NSS, so getpwnam(3) does not work. Containers keep their users in these two files anyway
//! (passwd(5), group(5)).

use std::{fs, io, path::PathBuf};

/// The user and groups of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups, including the primary one.
    pub groups: Vec<u32>,
    /// The entry of the user in `/etc/passwd`. `None`: the user is a number without an entry.
    pub account: Option<Account>,
}

/// One line of `/etc/passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Home directory.
    pub home: PathBuf,
    /// Login shell; may be empty.
    pub shell: String,
}

/// A user or group.
#[derive(Debug, Clone, Copy)]
pub enum Key<'a> {
    /// By number.
    Id(u32),
    /// By name.
    Name(&'a str),
}

/// Why a user or group cannot be resolved.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No user has this name.
    #[error("user `{0}` is not in /etc/passwd")]
    NoUser(String),
    /// No group has this name.
    #[error("group `{0}` is not in /etc/group")]
    NoGroup(String),
    /// The file cannot be read.
    #[error("cannot read {file}: {source}")]
    Unreadable {
        /// `/etc/passwd` or `/etc/group`.
        file: &'static str,
        /// The error of open(2) or read(2).
        source: io::Error,
    },
}

/// Resolves the user and group of a worker. `None`: neither is configured.
///
/// A user that is given by number need not exist. Without a configured group, the worker gets the primary group in
/// `/etc/passwd`, or the group with the number of the user if there is no entry.
///
/// # Errors
///
/// [`Error`]: an unknown name, or a file that cannot be read.
pub fn resolve(user: Option<Key<'_>>, group: Option<Key<'_>>) -> Result<Option<Credentials>, Error> {
    if user.is_none() && group.is_none() {
        return Ok(None);
    }
    resolve_in(&read("/etc/passwd")?, &read("/etc/group")?, user, group).map(Some)
}

/// The login name of a user, or the number if the user has no entry.
pub fn name_of(uid: u32) -> String {
    let credentials = resolve(Some(Key::Id(uid)), None).ok().flatten();
    let account = credentials.and_then(|credentials| credentials.account);
    account.map_or_else(|| uid.to_string(), |account| account.name)
}

/// Images that were built from scratch have neither file: numbers still work there.
fn read(file: &'static str) -> Result<String, Error> {
    match fs::read(file) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(Error::Unreadable { file, source }),
    }
}

fn resolve_in(
    passwd: &str,
    group_file: &str,
    user: Option<Key<'_>>,
    group: Option<Key<'_>>,
) -> Result<Credentials, Error> {
    let account = match user {
        None => None,
        Some(Key::Id(uid)) => passwd.lines().filter_map(account).find(|line| line.uid == uid),
        Some(Key::Name(name)) => Some(
            passwd
                .lines()
                .filter_map(account)
                .find(|line| line.name == name)
                .ok_or_else(|| Error::NoUser(name.to_owned()))?,
        ),
    };
    let uid = match (&account, user) {
        (Some(account), _) => account.uid,
        (None, Some(Key::Id(uid))) => uid,
        (None, _) => nix::unistd::getuid().as_raw(),
    };
    let gid = match group {
        Some(Key::Id(gid)) => gid,
        Some(Key::Name(name)) => group_file
            .lines()
            .filter_map(group_line)
            .find(|line| line.name == name)
            .map(|line| line.gid)
            .ok_or_else(|| Error::NoGroup(name.to_owned()))?,
        None => account.as_ref().map_or(uid, |account| account.gid),
    };
    let mut groups = vec![gid];
    if let Some(account) = &account {
        let member_of = group_file
            .lines()
            .filter_map(group_line)
            .filter(|line| line.members.split(',').any(|member| member == account.name))
            .map(|line| line.gid);
        groups.extend(member_of);
    }
    groups.sort_unstable();
    groups.dedup();
    Ok(Credentials { uid, gid, groups, account })
}

fn account(line: &str) -> Option<Account> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with('#'))?.to_owned();
    let _password = fields.next()?;
    let uid = fields.next()?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    let _gecos = fields.next()?;
    let home = PathBuf::from(fields.next()?);
    let shell = fields.next().unwrap_or_default().to_owned();
    Some(Account { name, uid, gid, home, shell })
}

struct GroupLine<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

fn group_line(line: &str) -> Option<GroupLine<'_>> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with('#'))?;
    let _password = fields.next()?;
    let gid = fields.next()?.parse().ok()?;
    Some(GroupLine { name, gid, members: fields.next().unwrap_or_default().trim() })
}

#[cfg(test)]
mod tests {
    use super::{Error, Key, resolve_in};

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
        # a comment\n\
        broken line\n\
        app:x:1000:1000:App,,,:/home/app:/bin/sh\n\
        web:x:1001:33::/srv\n";
    const GROUP: &str = "root:x:0:\nadm:x:4:syslog,app\ndocker:x:999:app\napp:x:1000:\napple:x:1002:apps\n";

    fn of(
        user: Option<Key<'_>>,
        group: Option<Key<'_>>,
    ) -> Result<(u32, u32, Vec<u32>, Option<String>), Error> {
        resolve_in(PASSWD, GROUP, user, group)
            .map(|it| (it.uid, it.gid, it.groups, it.account.map(|account| account.name)))
    }

    #[test]
    fn a_user_has_primary_and_supplementary_groups() {
        let app = Some("app".to_owned());
        assert_eq!(of(Some(Key::Name("app")), None).unwrap(), (1000, 1000, vec![4, 999, 1000], app.clone()));
        assert_eq!(
            of(Some(Key::Id(1000)), Some(Key::Name("adm"))).unwrap(),
            (1000, 4, vec![4, 999], app),
            "a given group replaces the primary one"
        );
    }

    #[test]
    fn a_number_without_a_line_is_its_own_group() {
        assert_eq!(of(Some(Key::Id(5000)), None).unwrap(), (5000, 5000, vec![5000], None));
        assert_eq!(of(Some(Key::Id(5000)), Some(Key::Id(7))).unwrap(), (5000, 7, vec![7], None));
    }

    #[test]
    fn a_shell_may_be_missing_and_a_name_may_not() {
        assert_eq!(of(Some(Key::Name("web")), None).unwrap().1, 33);
        assert!(matches!(of(Some(Key::Name("nobody-here")), None), Err(Error::NoUser(_))));
        assert!(matches!(of(None, Some(Key::Name("nogroup"))), Err(Error::NoGroup(_))));
    }
}
