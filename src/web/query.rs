//! The query of a URL.

use std::{borrow::Cow, str::FromStr};

use hyper::StatusCode;
use percent_encoding::percent_decode_str;

use super::problem::Problem;

/// The longest value of a parameter.
const MAX_VALUE: usize = 1024;

/// The parameters of a request, decoded.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query whose parameters are `known`.
    pub(super) fn read(query: Option<&str>, known: &[&str]) -> Result<Self, Problem> {
        let mut parameters = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name)?, decoded(value)?);
            if !known.contains(&name.as_str()) {
                let detail = format!("the parameter `{}` is unknown", crate::shown::printable(&name));
                return Err(bad(detail).hint(format!("known parameters: {}", known.join(", "))));
            }
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.all(name).last()
    }

    /// All values of a parameter that may be repeated.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn number<T: FromStr>(&self, name: &str, wanted: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(bad(format!("`{name}` must be {wanted}"))),
        }
    }

    pub(super) fn switch(&self, name: &str, default: bool) -> Result<bool, Problem> {
        match self.text(name) {
            None => Ok(default),
            Some("" | "true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(_) => Err(bad(format!("`{name}` must be true or false"))),
        }
    }
}

pub(super) fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

fn decoded(text: &str) -> Result<String, Problem> {
    let text = text.replace('+', " ");
    part(&text)
}

/// A part of a path or query.
pub(super) fn part(text: &str) -> Result<String, Problem> {
    let decoded = percent_decode_str(text).decode_utf8().map(Cow::into_owned);
    match decoded {
        Ok(decoded) if decoded.len() <= MAX_VALUE => Ok(decoded),
        Ok(_) => Err(bad(format!("a part of the URL has more than {MAX_VALUE} bytes"))),
        Err(_) => Err(bad("the URL is not UTF-8")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_unknown_ones_refused() {
        let read = |query: &str| Query::read(Some(query), &["target", "lines", "follow"]);
        let query = read("target=a%20b&target=c%2Fd+e&lines=20&follow").unwrap();
        assert_eq!(query.all("target").collect::<Vec<_>>(), ["a b", "c/d e"]);
        assert_eq!(query.number::<u32>("lines", "a number"), Ok(Some(20)));
        assert_eq!(query.switch("follow", false), Ok(true));
        assert_eq!(query.switch("other", true), Ok(true));
        assert!(read("lnies=20").unwrap_err().hint.unwrap().contains("lines"));
        assert!(read("target=%ff").is_err());
        assert!(read(&format!("target={}", "x".repeat(MAX_VALUE + 1))).is_err());
        assert!(read("lines=-1").unwrap().number::<u32>("lines", "a number").is_err());
        assert!(read("follow=maybe").unwrap().switch("follow", true).is_err());
    }
}
