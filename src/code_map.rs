//! Checks the code map of ARCHITECTURE.md against the source, and the paths in the documentation for contributors.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

type Uses = BTreeMap<String, BTreeSet<String>>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below a directory with this ending.
fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display())) {
        let path = entry.expect("the directory can be read").path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found
}

/// Where a module of the code map may be: beside the binary, or in a package that it re-exports. The package in
/// `crates/sys` is one module, and its manifest lets it use no other.
const SOURCES: [&str; 2] = ["src", "crates/core/src"];
const SYS: &str = "sys";

/// The modules of the packages, without those for tests.
fn modules() -> BTreeSet<String> {
    let declared = SOURCES.iter().flat_map(|source| declared(&read(&root().join(source).join("lib.rs"))));
    declared.chain(["main", SYS].map(str::to_owned)).collect()
}

fn declared(source: &str) -> Vec<String> {
    let lines: Vec<&str> = source.lines().collect();
    let declared = lines.iter().enumerate().filter_map(|(at, line)| {
        let name = line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';')?;
        let is_for_tests = at > 0 && lines[at - 1] == "#[cfg(test)]";
        (!is_for_tests).then(|| name.to_owned())
    });
    declared.collect()
}

/// Source without comments and without its tests.
fn code(path: &Path) -> String {
    let source = read(path);
    let is_inline_module = |at: usize| {
        let item = &source[at..];
        item.find(['{', ';']).is_some_and(|end| item[end..].starts_with('{') && item[..end].contains("mod "))
    };
    let tests = source.match_indices("#[cfg(test)]").find(|&(at, _)| is_inline_module(at));
    let code = tests.map_or(&*source, |(at, _)| &source[..at]);
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.fold(String::new(), |all, line| all + line + "\n")
}

/// The modules after `crate::` in source: `crate::sys::reap`, `crate::{spec::Plan, sys}`.
fn used(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let Some(list) = rest.strip_prefix('{') else {
            found.insert(name(rest));
            continue;
        };
        let (mut depth, mut begins) = (0_u32, true);
        for (at, letter) in list.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                letter if begins && !letter.is_whitespace() => {
                    found.insert(name(&list[at..]));
                    begins = false;
                }
                _ => {}
            }
        }
    }
    found
}

fn name(text: &str) -> String {
    text.chars().take_while(|&letter| letter.is_ascii_alphanumeric() || letter == '_').collect()
}

/// What the source uses, module by module.
fn uses_in_source(modules: &BTreeSet<String>) -> Uses {
    let mut uses: Uses = modules.iter().map(|module| (module.clone(), BTreeSet::new())).collect();
    for source in SOURCES.map(|source| root().join(source)) {
        for path in files(&source, ".rs") {
            let inside = path.strip_prefix(&source).expect("it is below");
            let first = inside.iter().next().expect("it has a name").to_string_lossy();
            let is_test = inside.iter().any(|part| part == "tests" || part == "tests.rs");
            let Some(uses) = uses.get_mut(first.trim_end_matches(".rs")).filter(|_| !is_test) else {
                continue;
            };
            let code = code(&path).replace("procrun::", "crate::");
            uses.extend(used(&code).into_iter().filter(|used| modules.contains(used) && *used != first));
        }
    }
    uses
}

/// The first and the last column of the code map.
fn uses_in_table() -> Uses {
    let page = read(&root().join("ARCHITECTURE.md"));
    let (_, table) = page.split_once("| module | contents | uses |\n").expect("the code map has its heading");
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let names = |cell: &str| -> Vec<String> {
            cell.split(',')
                .map(|name| name.trim().trim_matches('`').to_owned())
                .filter(|name| !name.is_empty())
                .collect()
        };
        let uses = names(cells.last().expect("a row has cells"));
        (names(cells[0]).remove(0), uses.into_iter().collect())
    })
    .collect()
}

#[test]
fn the_code_map_lists_each_module_and_what_it_uses() {
    let (table, source) = (uses_in_table(), uses_in_source(&modules()));
    let names = |uses: &Uses| uses.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&table), names(&source), "the modules in ARCHITECTURE.md and in the source differ");
    for (module, uses) in &source {
        assert_eq!(
            &table[module], uses,
            "`{module}`: the column `uses` of ARCHITECTURE.md and the source differ"
        );
    }
}

/// The names in one section of a manifest.
fn dependencies(manifest: &str, section: &str) -> Vec<String> {
    let (_, section) =
        manifest.split_once(&format!("\n[{section}]\n")).expect("the manifest has the section");
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    lines.filter(|line| line.contains('=') && !line.starts_with('#')).map(name_of_dependency).collect()
}

fn name_of_dependency(line: &str) -> String {
    line.chars().take_while(|letter| letter.is_ascii_alphanumeric() || "-_".contains(*letter)).collect()
}

/// The state machine cannot block, read a clock or touch a file, because no crate that it uses can. A crate that is
/// added here must have no operating system in it.
#[test]
fn the_core_has_no_crate_of_the_operating_system_or_a_runtime() {
    let manifest = read(&root().join("crates/core/Cargo.toml"));
    assert_eq!(dependencies(&manifest, "dependencies"), ["chrono", "cron", "jiff", "serde"]);
}

#[test]
fn the_system_calls_use_no_other_package_of_procrun() {
    let manifest = read(&root().join("crates/sys/Cargo.toml"));
    let of_procrun = |name: &String| name.starts_with("procrun");
    assert_eq!(dependencies(&manifest, "dependencies").into_iter().find(of_procrun), None);
}

/// A file that is named in the documentation for contributors exists, so that a file that moves takes its
/// documentation along.
#[test]
fn files_that_the_documentation_names_exist() {
    let mut pages = files(&root().join("docs/design"), ".md");
    pages.extend(["ARCHITECTURE.md", "CONTRIBUTING.md", "STYLE.md"].map(|page| root().join(page)));
    let mut missing = Vec::new();
    for page in pages.iter().filter(|page| page.exists()) {
        let text = read(page);
        for quoted in text.split('`').skip(1).step_by(2) {
            let is_path = [".rs", ".cjs"].iter().any(|ending| quoted.ends_with(ending))
                && quoted.contains('/')
                && !quoted.contains([' ', '*', '<']);
            let in_sys = quoted.strip_prefix("sys/").map(|file| root().join("crates/sys/src").join(file));
            let mut places =
                SOURCES.iter().chain([&""]).map(|place| root().join(place).join(quoted)).chain(in_sys);
            if is_path && !places.any(|place| place.exists()) {
                missing.push(format!("{}: {quoted}", page.strip_prefix(root()).unwrap_or(page).display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// A table in the documentation of a module (`//! | `file` | contents |`) names files that exist.
#[test]
fn files_that_a_module_lists_exist() {
    let mut missing = Vec::new();
    for path in files(&root().join("src"), ".rs") {
        let source = read(&path);
        let below = match path.file_name() {
            Some(name) if name == "mod.rs" => path.with_file_name(""),
            _ => path.with_extension(""),
        };
        let rows = source.lines().filter_map(|line| line.strip_prefix("//! | `"));
        for name in rows.flat_map(|row| row.split(" |").next().unwrap_or_default().split(['`', ',', ' '])) {
            let is_file = || below.join(name).is_dir() || below.join(format!("{name}.rs")).is_file();
            if !name.is_empty() && !is_file() {
                missing.push(format!("{}: {name}", path.strip_prefix(root()).unwrap_or(&path).display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// What the log reports from level info on is an event, with a kind that programs can rely on.
#[test]
fn each_line_of_the_log_from_level_info_on_is_an_event() {
    let log_event = root().join("src/supervisor/log_event.rs");
    let mut others = Vec::new();
    for path in files(&root().join("src"), ".rs").into_iter().filter(|path| *path != log_event) {
        let code = code(&path);
        if ["error", "warn", "info"].iter().any(|level| code.contains(&format!(" {level}!("))) {
            others.push(path.strip_prefix(root()).unwrap_or(&path).display().to_string());
        }
    }
    assert!(others.is_empty(), "report an event in place of a line of the log: {others:#?}");
}

#[test]
fn uses_are_found_in_every_form() {
    let code = "use crate::{a::{b, c}, d, e::F};\nuse crate::g::{h, i};\nfn f() -> crate::j::K {}";
    assert_eq!(used(code).into_iter().collect::<Vec<_>>(), ["a", "d", "e", "g", "j"]);
}
