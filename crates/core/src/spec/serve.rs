//! The built-in file server (`script = "serve"`): its settings, which PM2 puts into the worker's environment
//! (`PM2_SERVE_*`) or its arguments. Pure.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The script that means the built-in file server.
pub const SCRIPT: &str = "serve";
/// The name of its worker (`argv[0]`): under this name the binary is the file server.
pub const WORKER: &str = "procrun-serve";
/// PM2's default port.
pub const DEFAULT_PORT: u16 = 8080;

/// Variables of PM2 that hold a setting.
pub mod variable {
    /// The directory.
    pub const PATH: &str = "PM2_SERVE_PATH";
    /// The port.
    pub const PORT: &str = "PM2_SERVE_PORT";
    /// The address.
    pub const HOST: &str = "PM2_SERVE_HOST";
    /// Single-page mode.
    pub const SPA: &str = "PM2_SERVE_SPA";
    /// Whether directories are listed.
    pub const LISTING: &str = "PM2_SERVE_FTP";
    /// The file for `/`.
    pub const HOMEPAGE: &str = "PM2_SERVE_HOMEPAGE";
    /// Whether basic authentication is on.
    pub const AUTH: &str = "PM2_SERVE_BASIC_AUTH";
    /// The user name for basic authentication.
    pub const USERNAME: &str = "PM2_SERVE_BASIC_AUTH_USERNAME";
    /// The password.
    pub const PASSWORD: &str = "PM2_SERVE_BASIC_AUTH_PASSWORD";
    /// A service of PM2.
    pub const MONITOR: &str = "PM2_SERVE_MONITOR";
}

/// The settings of the file server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeSettings {
    /// The directory, relative to the worker's working directory.
    pub directory: String,
    /// The host as in the configuration: an IP address or a name.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The answer to a path that does not exist is the homepage.
    pub is_single_page: bool,
    /// The answer to a directory without an index is a list of its files.
    pub lists_directories: bool,
    /// The file for `/`; begins with a slash.
    pub homepage: String,
    /// The required credentials; `None`: no authentication.
    pub credentials: Option<Credentials>,
    /// PM2's monitoring was requested, which procrun does not have.
    pub wants_monitor: bool,
}

/// A user name and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name; it has no colon.
    pub username: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

impl ServeSettings {
    /// Reads the settings as PM2 does: each from its variable, else directory, port and host from the arguments.
    ///
    /// # Errors
    /// A setting has an invalid value; the text says which and why.
    pub fn read(variable: impl Fn(&str) -> Option<String>, args: &[String]) -> Result<Self, String> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let is_on = |name: &str| set(name).is_some_and(|value| value == "true");
        let port = match set(variable::PORT) {
            Some(port) => Self::port(&port).ok_or_else(|| not_a_port(variable::PORT, &port))?,
            None => match args.get(1) {
                Some(port) => Self::port(port).ok_or_else(|| not_a_port("the port", port))?,
                None => DEFAULT_PORT,
            },
        };
        let homepage = set(variable::HOMEPAGE).unwrap_or_else(|| "/index.html".to_owned());
        let credentials = if is_on(variable::AUTH) {
            Some(credentials(set(variable::USERNAME), set(variable::PASSWORD))?)
        } else {
            None
        };
        Ok(Self {
            directory: set(variable::PATH)
                .or_else(|| args.first().cloned())
                .unwrap_or_else(|| ".".to_owned()),
            host: set(variable::HOST)
                .or_else(|| args.get(2).cloned())
                .unwrap_or_else(|| "0.0.0.0".to_owned()),
            port,
            is_single_page: is_on(variable::SPA),
            lists_directories: is_on(variable::LISTING),
            homepage: if homepage.starts_with('/') { homepage } else { format!("/{homepage}") },
            credentials,
            wants_monitor: set(variable::MONITOR).is_some(),
        })
    }

    /// A port to listen on.
    pub fn port(text: &str) -> Option<u16> {
        let text = text.trim();
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
    }

    /// The address, unless a name must be resolved.
    pub fn address(&self) -> Option<SocketAddr> {
        let host = self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&self.host);
        let address = match host {
            "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            host => host.parse().ok(),
        };
        address.map(|address| SocketAddr::new(address, self.port))
    }
}

fn not_a_port(what: &str, value: &str) -> String {
    format!("{what} is `{value}`, but a port is a number from 0 to 65535")
}

fn credentials(username: Option<String>, password: Option<String>) -> Result<Credentials, String> {
    let (auth, user, pass) = (variable::AUTH, variable::USERNAME, variable::PASSWORD);
    match (username, password) {
        (Some(username), Some(_)) if username.contains(':') => Err(format!(
            "{user} is `{username}`, but a user name of basic authentication cannot contain a colon"
        )),
        (Some(username), Some(password)) => Ok(Credentials { username, password }),
        (None, _) => Err(format!("{auth} is true, but {user} is not set: no login would succeed")),
        (_, None) => Err(format!("{auth} is true, but {pass} is not set: no login would succeed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)], args: &[&str]) -> Result<ServeSettings, String> {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        ServeSettings::read(variable, &args.iter().map(|&arg| arg.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_variable_has_precedence_over_an_argument() {
        let settings = read(&[], &[]).unwrap();
        assert_eq!(
            (settings.directory.as_str(), settings.port, settings.host.as_str()),
            (".", 8080, "0.0.0.0")
        );
        assert_eq!(settings.homepage, "/index.html");
        let settings = read(&[("PM2_SERVE_PORT", "90")], &["dist", "80", "127.0.0.1"]).unwrap();
        assert_eq!((settings.directory.as_str(), settings.port), ("dist", 90));
        assert_eq!(settings.address(), Some("127.0.0.1:90".parse().unwrap()));
        let settings = read(&[("PM2_SERVE_HOST", "::"), ("PM2_SERVE_SPA", "1")], &[]).unwrap();
        assert_eq!(settings.address(), Some("[::]:8080".parse().unwrap()));
        assert!(!settings.is_single_page, "PM2 accepts only `true`");
        assert_eq!(read(&[("PM2_SERVE_HOST", "web.example")], &[]).unwrap().address(), None);
        assert_eq!(read(&[("PM2_SERVE_HOMEPAGE", "start.html")], &[]).unwrap().homepage, "/start.html");
    }

    #[test]
    fn settings_that_cannot_work_are_errors() {
        for port in ["abc", "70000", "-1", "+80", "8080x"] {
            assert!(read(&[("PM2_SERVE_PORT", port)], &[]).unwrap_err().contains("a number from 0 to 65535"));
        }
        assert!(read(&[], &[".", "x"]).is_err());
        let auth = ("PM2_SERVE_BASIC_AUTH", "true");
        let (user, password) =
            (("PM2_SERVE_BASIC_AUTH_USERNAME", "u"), ("PM2_SERVE_BASIC_AUTH_PASSWORD", "p"));
        assert!(read(&[auth, user], &[]).unwrap_err().contains("PASSWORD is not set"));
        assert!(read(&[auth, password], &[]).unwrap_err().contains("USERNAME is not set"));
        assert!(read(&[user, password], &[]).unwrap().credentials.is_none());
        assert!(!format!("{:?}", read(&[auth, user, password], &[]).unwrap()).contains("\"p\""));
    }
}
