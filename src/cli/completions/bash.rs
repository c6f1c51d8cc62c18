//! The completion of bash: one function that needs no other.

use std::fmt::Write as _;

use super::{Offer, Offered, Word};

/// Before the table: which command it is, and the whole word at the cursor, where bash splits at `:`.
const HEAD: &str = r#"# Completion of procrun for bash: source <(procrun completions bash)
_procrun() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
    local line=${COMP_LINE:0:COMP_POINT} verb= socket= takes= options= word i
    local -a words=()
    line=${line##*[[:space:]]}
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            --) return ;;
            --socket) socket=${COMP_WORDS[++i]} ;;
            -*) ;;
            *) verb=${COMP_WORDS[i]}; break ;;
        esac
    done
    case $verb in
"#;

/// Behind the table: what fits. An empty answer leaves files to bash.
const TAIL: &str = r#"    esac
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
        return
    fi
    case $takes in
        files) ;;
        targets)
            compopt +o default +o bashdefault 2>/dev/null
            mapfile -t words < <("${COMP_WORDS[0]}" ${socket:+--socket "$socket"} completions targets 2>/dev/null)
            for word in "${words[@]}"; do
                [[ $word == "$line"* ]] || continue
                printf -v word %q "$word"
                COMPREPLY+=("${word:${#line}-${#cur}}")
            done ;;
        *)
            [[ $takes == *' '* ]] || compopt +o default +o bashdefault 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -W "$takes" -- "$cur") ;;
    esac
}
complete -o bashdefault -o default -F _procrun procrun pm2-runtime
"#;

pub(super) fn script(offered: &Offered) -> String {
    let mut text = HEAD.to_owned();
    for command in &offered.commands {
        arm(&mut text, &command.words.join("|"), &takes(&command.takes), &command.options);
    }
    let words: Vec<&str> = offered.commands.iter().flat_map(|command| command.words).copied().collect();
    arm(&mut text, "''", &words.join(" "), &offered.options);
    arm(&mut text, "*", "files", &offered.options);
    text.push_str(TAIL);
    text
}

fn takes(word: &Word) -> String {
    match word {
        Word::Any => "nothing".to_owned(),
        Word::File => "files".to_owned(),
        Word::Target => "targets".to_owned(),
        Word::Of(words) => words.join(" "),
    }
}

fn arm(text: &mut String, pattern: &str, takes: &str, options: &[Offer]) {
    let names: Vec<String> = options.iter().map(|option| format!("--{}", option.long)).collect();
    let mut put = |line: String| {
        writeln!(text, "{line}").expect("a String takes everything");
    };
    put(format!("        {pattern})"));
    put(format!("            takes='{takes}' options='{}'", names.join(" ")));
    put("            case $prev in".to_owned());
    for option in options {
        let names = match option.short {
            Some(short) => format!("-{short}|--{}", option.long),
            None => format!("--{}", option.long),
        };
        let done = match &option.value {
            None => continue,
            Some(Word::File) => "return".to_owned(),
            Some(other) => format!("takes='{}' options=", self::takes(other)),
        };
        put(format!("                {names}) {done} ;;"));
    }
    put("            esac ;;".to_owned());
}
