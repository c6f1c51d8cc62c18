//! The completion of zsh: to be sourced, or put into a directory of `fpath` as `_procrun`.

use std::fmt::Write as _;

use super::offered::{Offered, OfferedOption, Word, quoted};

const HEAD: &str = r"#compdef procrun pm2-runtime
# Completion of procrun for zsh: source <(procrun completions zsh) behind compinit
_procrun() {
    local verb= takes= prev=${words[CURRENT-1]} cur=${words[CURRENT]} i
    local -a options choices socket
    for ((i = 2; i < CURRENT; i++)); do
        case ${words[i]} in
            --) _files; return ;;
            --socket) ((i++)); socket=(--socket ${words[i]}) ;;
            -*) ;;
            *) verb=${verb:-${words[i]}} ;;
        esac
    done
    case $verb in
";

const TAIL: &str = r#"    esac
    if [[ $cur == -* && -n $options ]]; then
        _describe -o option options
        return
    fi
    case $takes in
        commands) _describe command choices; _files ;;
        files) _files ;;
        targets*)
            choices=(${(f)"$(${words[1]} $socket completions targets 2>/dev/null)"})
            compadd -a choices
            [[ $takes == targets ]] || _files -g '*.(toml|json|yaml|yml|config.*)' ;;
        words) compadd -a choices ;;
    esac
}
if [[ ${funcstack[1]} == _procrun ]]; then
    _procrun "$@"
else
    compdef _procrun procrun pm2-runtime
fi
"#;

pub(super) fn script(offered: &Offered) -> String {
    let mut text = HEAD.to_owned();
    for command in &offered.commands {
        let (takes, choices) = takes(&command.arguments);
        arm(&mut text, &command.words.join("|"), takes, &choices, &command.options);
    }
    let commands: Vec<String> = offered
        .commands
        .iter()
        .map(|command| quoted(&format!("{}:{}", command.words[0], command.summary)))
        .collect();
    arm(&mut text, "''", "commands", &commands, &offered.options);
    arm(&mut text, "*", "files", &[], &offered.options);
    text.push_str(TAIL);
    text
}

fn takes(word: &Word) -> (&'static str, Vec<String>) {
    match word {
        Word::Any => ("nothing", Vec::new()),
        Word::File => ("files", Vec::new()),
        Word::Target => ("targets", Vec::new()),
        Word::TargetOrFile => ("targets-or-files", Vec::new()),
        Word::Of(words) => ("words", words.iter().map(|word| quoted(word)).collect()),
    }
}

fn arm(text: &mut String, pattern: &str, takes: &str, choices: &[String], options: &[OfferedOption]) {
    let mut put = |line: String| {
        writeln!(text, "{line}").expect("writing to a String cannot fail");
    };
    put(format!("        {pattern})"));
    put(format!("            takes={takes} choices=({})", choices.join(" ")));
    put("            options=(".to_owned());
    for option in options {
        put(format!("                {}", quoted(&format!("--{}:{}", option.long, option.help))));
    }
    put("            )".to_owned());
    put("            case $prev in".to_owned());
    for option in options {
        let Some(value) = &option.value else { continue };
        let (takes, choices) = self::takes(value);
        let short = option.short.map_or_else(String::new, |short| format!("-{short}|"));
        put(format!(
            "                {short}--{}) takes={takes} choices=({}) options=() ;;",
            option.long,
            choices.join(" ")
        ));
    }
    put("            esac ;;".to_owned());
}
