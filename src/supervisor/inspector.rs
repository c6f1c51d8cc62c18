//! The ports of Node's inspector: each worker of a cluster has its own, as under Node's own primary.

/// The options of Node that name a port of its inspector.
const OPTIONS: [&str; 5] = ["--inspect", "--inspect-brk", "--inspect-wait", "--inspect-port", "--debug-port"];

/// The options whose value may be the next word.
const WITH_VALUE: [&str; 2] = ["--inspect-port", "--debug-port"];

const DEFAULT_PORT: u16 = 9229;

/// Port numbers continue here after the highest one, as in Node.
const MIN_PORT: u16 = 1024;

/// The inspector's port of a worker, as an option for Node. `None`: these options of Node enable no inspector,
/// or use any free port, or name this port.
pub(super) fn own_port<'a>(options: impl Iterator<Item = &'a str>, worker: u32) -> Option<String> {
    let first = port(options).filter(|port| *port != 0)?;
    let own = u32::from(first) + worker;
    let highest = u32::from(u16::MAX);
    let own = if own > highest {
        (own - highest - 1) % (highest - u32::from(MIN_PORT)) + u32::from(MIN_PORT)
    } else {
        own
    };
    (worker > 0).then(|| format!("--inspect-port={own}"))
}

/// The port that the last option names.
fn port<'a>(options: impl Iterator<Item = &'a str>) -> Option<u16> {
    let mut port = None;
    let mut words = options.peekable();
    while let Some(word) = words.next() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None if WITH_VALUE.contains(&word) => (word, words.peek().copied()),
            None => (word, None),
        };
        if OPTIONS.contains(&name) {
            let named = value.and_then(|value| value.rsplit(':').next()?.parse().ok());
            port = named.or(port).or(Some(DEFAULT_PORT));
        }
    }
    port
}

#[cfg(test)]
mod tests {
    use super::own_port;

    fn of(options: &str, worker: u32) -> Option<String> {
        own_port(options.split_whitespace(), worker)
    }

    #[test]
    fn each_worker_has_the_next_port() {
        assert_eq!(of("--inspect", 0), None, "the one that is named");
        for (options, port) in [
            ("--inspect", 9231),
            ("--inspect=9300", 9302),
            ("--no-warnings --inspect-brk=0.0.0.0:9229", 9231),
            ("--inspect=[::1]:9400", 9402),
            ("--inspect=localhost", 9231),
            ("--inspect --inspect-port=9500", 9502),
            ("--inspect --inspect-port 9500", 9502),
            ("--inspect=9300 --inspect", 9302),
            ("--inspect=65535", 1025),
        ] {
            assert_eq!(of(options, 2), Some(format!("--inspect-port={port}")), "{options}");
        }
    }

    #[test]
    fn without_an_inspector_or_with_any_free_port_nothing_is_added() {
        assert_eq!(of("", 2), None);
        assert_eq!(of("--no-warnings --inspector-is-no-option", 2), None);
        assert_eq!(of("--inspect=0", 2), None);
        assert_eq!(of("--inspect=127.0.0.1:0", 2), None);
    }
}
