//! Options whose value may be left out or may be several words, rewritten for the parser.
//!
//! PM2 accepts `--web 9615 app.js`, `--web app.js` and `--stop-exit-codes 0 1 app.js`: a number belongs to the option,
//! any other word does not.

use std::ffi::OsString;

/// The words with such an option and its numbers joined: `--web=9615`, `--stop-exit-codes=0,1`.
pub(super) fn joined(words: &[OsString]) -> Vec<OsString> {
    const OPTIONS: [&str; 2] = ["--web", "--stop-exit-codes"];
    let mut joined = Vec::with_capacity(words.len());
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        if word == "--" {
            joined.push(word.clone());
            joined.extend(words.cloned());
            break;
        }
        let mut word = word.clone();
        if OPTIONS.iter().any(|option| word == *option) {
            let mut separator = "=";
            while let Some(number) = words.next_if(|next| is_numeric(next)) {
                word.push(separator);
                word.push(number);
                separator = ",";
            }
        }
        joined.push(word);
    }
    joined
}

fn is_numeric(word: &OsString) -> bool {
    word.to_str().is_some_and(|word| {
        word.starts_with(|c: char| c.is_ascii_digit()) && word.chars().all(|c| c.is_ascii_digit() || c == ',')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_belong_to_the_option_before_them() {
        for (line, expected) in [
            ("p --web app.js", "p --web app.js"),
            ("p --web 80 app.js", "p --web=80 app.js"),
            ("p --stop-exit-codes 0 1,2 app.js", "p --stop-exit-codes=0,1,2 app.js"),
            ("p app.js -- --web 80", "p app.js -- --web 80"),
            ("p -i 4 app.js", "p -i 4 app.js"),
        ] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let joined: Vec<String> =
                joined(&words).into_iter().map(|word| word.into_string().unwrap()).collect();
            assert_eq!(joined.join(" "), expected);
        }
    }
}
