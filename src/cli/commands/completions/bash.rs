//! The completion of bash: one function that needs no other.

use std::fmt::Write as _;

use super::offered::{Offered, OfferedOption, Word};

/// Before the table: which command it is, and the whole word at the cursor, where bash splits at `:`.
const HEAD: &str = r"# Completion of procrun for bash: source <(procrun completions bash)
_procrun() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
    local line=${COMP_LINE:0:COMP_POINT} verb= socket= takes= choices= options= word i
    local -a words=()
    line=${line##*[[:space:]]}
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            --) return ;;
            --socket) socket=${COMP_WORDS[++i]} ;;
            -*) ;;
            *) verb=${verb:-${COMP_WORDS[i]}} ;;
        esac
    done
    case $verb in
";

/// Behind the table: what fits. An empty answer leaves files to bash.
const TAIL: &str = r#"    esac
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
        return
    fi
    [[ $takes == files ]] && return
    compopt +o default +o bashdefault 2>/dev/null
    case $takes in
        targets*)
            mapfile -t words < <("${COMP_WORDS[0]}" ${socket:+--socket "$socket"} completions targets 2>/dev/null)
            for word in "${words[@]}"; do
                [[ $word == "$line"* ]] || continue
                printf -v word %q "$word"
                COMPREPLY+=("${word:${#line}-${#cur}}")
            done
            [[ $takes == targets ]] && return
            compopt -o filenames 2>/dev/null
            mapfile -t words < <(compgen -f -- "$cur")
            for word in "${words[@]}"; do
                case $word in
                    *.toml | *.json | *.yaml | *.yml | *.config.*) COMPREPLY+=("$word") ;;
                    *) [[ -d $word ]] && COMPREPLY+=("$word") ;;
                esac
            done ;;
        commands)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$cur"; compgen -f -- "$cur") ;;
        words) mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$cur") ;;
    esac
}
complete -o bashdefault -o default -F _procrun procrun pm2-runtime
"#;

pub(super) fn script(offered: &Offered) -> String {
    let mut text = HEAD.to_owned();
    for command in &offered.commands {
        arm(&mut text, &command.words.join("|"), &takes(&command.arguments), &command.options);
    }
    let words: Vec<&str> = offered.commands.iter().flat_map(|command| command.words).copied().collect();
    arm(&mut text, "''", &format!("takes=commands choices='{}'", words.join(" ")), &offered.options);
    arm(&mut text, "*", "takes=files", &offered.options);
    text.push_str(TAIL);
    text
}

fn takes(word: &Word) -> String {
    match word {
        Word::Any => "takes=".to_owned(),
        Word::File => "takes=files".to_owned(),
        Word::Target => "takes=targets".to_owned(),
        Word::TargetOrFile => "takes=targets-or-files".to_owned(),
        Word::Of(words) => format!("takes=words choices='{}'", words.join(" ")),
    }
}

fn arm(text: &mut String, pattern: &str, takes: &str, options: &[OfferedOption]) {
    let names: Vec<String> = options.iter().map(|option| format!("--{}", option.long)).collect();
    let mut put = |line: String| {
        writeln!(text, "{line}").expect("writing to a String cannot fail");
    };
    put(format!("        {pattern})"));
    put(format!("            {takes} options='{}'", names.join(" ")));
    put("            case $prev in".to_owned());
    for option in options {
        let Some(value) = &option.value else { continue };
        let short = option.short.map_or_else(String::new, |short| format!("-{short}|"));
        put(format!("                {short}--{}) {} options= ;;", option.long, self::takes(value)));
    }
    put("            esac ;;".to_owned());
}
