//! The JSON Schema of ecosystem files, made from the key table.
//!
//! It is draft-07, which the language servers for TOML, JSON and YAML read. It describes what the decoder accepts
//! from TOML: PM2's formats accept more, with a notice. What one value alone does not show (a second app of the
//! same name, a time that never comes) is left to the decoder. `${NAME}` can stand for any string, number or
//! switch.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    APP_KEYS, APPS, CWD, Change, Choice, DEFAULTS, INCLUDE, Key, Kind, RUNTIME_KEYS, STATIC, all,
    root::FILE_KEYS,
};
use crate::{
    config::{defaults, health, order, sites, toml, value, watching},
    spec::{
        MemoryLimit, Resource, Unit,
        validate::{ALL_MODES, MAX_APPS, MAX_BYTES, MAX_DURATION, MAX_INSTANCES, MAX_LABEL, MAX_SOCKETS},
    },
};

/// A variable in a string.
const EXPANSION: &str = r"\$\{";
/// A string that is not empty and has no NUL byte.
const TEXT: &str = r"^[^\x00]*[^\s\x00][^\x00]*$";
/// The same on one line.
const LABEL: &str = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$";
const AMOUNT: &str = r"\+?([0-9]+\.?[0-9]*|\.[0-9]+)";
const SIZE_UNIT: &str = "([KkMmGg]([Ii]?[Bb])?|[Ii]?[Bb])";

/// The default of a key that an app must have.
const REQUIRED: &str = "required";

/// Keys at the root that have no effect or another name in PM2's formats.
const OTHER_ROOT_KEYS: &str = r"^(\$schema|deploy|pm2)$|^x-";

/// The JSON Schema of ecosystem files.
pub fn schema() -> Value {
    let mut properties = Map::new();
    for key in all(RUNTIME_KEYS) {
        properties.insert(key.name.to_owned(), of_key(key));
    }
    for key in FILE_KEYS {
        let mut schema = of_file_key(key.name);
        schema["description"] = key.meaning.into();
        properties.insert(key.name.to_owned(), schema);
    }
    // A file with a script at the root is one app.
    let required = all(APP_KEYS).filter(|key| key.default == REQUIRED);
    let is_app: Vec<Value> =
        required.flat_map(Key::names).map(|name| json!({ "required": [name] })).collect();
    let names = all(RUNTIME_KEYS).flat_map(all_names).chain(FILE_KEYS.iter().map(|key| key.name.to_owned()));
    let names = format!("{}|{OTHER_ROOT_KEYS}", pattern(&names.collect::<Vec<_>>()));
    let app_names = pattern(&all(APP_KEYS).flat_map(all_names).collect::<Vec<_>>());
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "procrun ecosystem file",
        "type": ["object", "array"],
        "items": { "$ref": "#/definitions/app" },
        "minItems": 1,
        "maxItems": MAX_APPS,
        "properties": properties,
        "if": { "type": "object", "not": { "required": [APPS] }, "anyOf": is_app },
        "then": {
            "patternProperties": app_patterns(),
            "propertyNames": { "pattern": format!(r"{app_names}|^env_\S+$|{names}") },
        },
        "else": {
            "propertyNames": { "pattern": names },
            "anyOf": [
                { "type": "array" },
                { "required": [APPS] },
                { "required": ["pm2"] },
                { "required": [INCLUDE] },
                { "required": [STATIC] },
            ],
        },
        "definitions": {
            "app": app(&json!({ "anyOf": is_app })),
            "defaults": app(&json!({})),
            "keys": { "properties": app_properties() },
        },
    })
}

fn app(more: &Value) -> Value {
    let properties: Map<String, Value> =
        all(APP_KEYS).map(|key| (key.name.to_owned(), json!({ "$ref": reference(key.name) }))).collect();
    let mut app = json!({
        "type": "object",
        "properties": properties,
        "patternProperties": alias_patterns(),
        "additionalProperties": false,
    });
    let more = more.as_object().cloned().unwrap_or_default();
    app.as_object_mut().expect("it was made above").extend(more);
    app
}

fn app_properties() -> Map<String, Value> {
    all(APP_KEYS).map(|key| (key.name.to_owned(), of_key(key))).collect()
}

fn reference(key: &str) -> String {
    format!("#/definitions/keys/properties/{key}")
}

/// Patterns for keys of an app, for a place where `properties` are other keys.
fn app_patterns() -> Map<String, Value> {
    let patterns =
        all(APP_KEYS).map(|key| (pattern(&all_names(key)), json!({ "$ref": reference(key.name) })));
    patterns.chain([named_environment()]).collect()
}

/// Patterns for the other names of keys: aliases and camelCase. An editor does not offer them.
fn alias_patterns() -> Map<String, Value> {
    let others = all(APP_KEYS).filter_map(|key| match &all_names(key)[..] {
        [_] => None,
        [_, others @ ..] => Some((pattern(others), json!({ "$ref": reference(key.name) }))),
        [] => unreachable!("a key has a name"),
    });
    others.chain([named_environment()]).collect()
}

/// `env_<name>`. `env_file` is a key of its own.
fn named_environment() -> (String, Value) {
    (r"^env_(?!file$)\S+$".to_owned(), nullable(environment()))
}

/// Its name, its aliases, and the camelCase forms of them.
fn all_names<D, S>(key: &Key<D, S>) -> Vec<String> {
    let camel_case = key.names().map(camel_case);
    let mut names: Vec<String> = key.names().map(str::to_owned).collect();
    names.extend(camel_case.filter(|word| key.names().all(|name| name != word)));
    names
}

/// A pattern for exactly these words.
fn pattern(words: &[String]) -> String {
    format!("^({})$", words.join("|"))
}

fn camel_case(name: &str) -> String {
    let mut parts = name.split('_');
    let mut word = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut letters = part.chars();
        word.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        word.push_str(letters.as_str());
    }
    word
}

/// The schema of one key with its documentation.
fn of_key<D, S>(key: &Key<D, S>) -> Value {
    let schema = of_kind(&key.kind);
    let mut schema = if key.default == REQUIRED { schema } else { nullable(schema) };
    let live = match key.change {
        Change::Live => " A change of it does not restart the app.",
        Change::Restart => "",
    };
    if !key.meaning.is_empty() {
        let meaning = without_links(key.meaning);
        schema["description"] = format!("{meaning}. Default: {}.{live}", key.default).into();
        schema["examples"] = example(key.example).into_iter().collect();
    }
    schema
}

/// A value in TOML as JSON.
fn example(text: &str) -> Option<Value> {
    let (root, _) = toml::parse(&format!("example = {text}"), &BTreeMap::new()).ok()?;
    Some(value::json_of(&root.get("example")?.node))
}

/// Markdown without the targets of its links, which lead to pages of the documentation.
fn without_links(text: &str) -> String {
    let mut plain = String::new();
    for part in text.split_inclusive(')') {
        match part.rsplit_once("](") {
            Some((before, _)) => plain.push_str(&before.replacen('[', "", 1)),
            None => plain.push_str(part),
        }
    }
    plain
}

/// `null` unsets a key in JSON and YAML.
fn nullable(schema: Value) -> Value {
    match schema.get("type") {
        Some(Value::String(of)) => with(&schema, "type", json!([of, "null"])),
        Some(Value::Array(of)) => {
            let types: Vec<Value> = of.iter().cloned().chain(["null".into()]).collect();
            with(&schema, "type", types.into())
        }
        _ if schema.as_object().is_some_and(Map::is_empty) => schema,
        _ => json!({ "anyOf": [schema, { "type": "null" }] }),
    }
}

fn with(schema: &Value, key: &str, value: Value) -> Value {
    let mut schema = schema.clone();
    schema[key] = value;
    schema
}

/// A string of this form, or with a variable.
fn string(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": format!("{pattern}|{EXPANSION}") })
}

fn any_of(schemas: &[Value]) -> Value {
    json!({ "anyOf": schemas })
}

fn words(words: &[&str]) -> Value {
    any_of(&[json!({ "enum": words }), json!({ "type": "string", "pattern": EXPANSION })])
}

fn list_or_one(item: &Value) -> Value {
    any_of(&[item.clone(), json!({ "type": "array", "items": item })])
}

fn switch() -> Value {
    json!({ "type": ["boolean", "string"], "pattern": EXPANSION })
}

fn duration() -> Value {
    let longest = u64::try_from(MAX_DURATION.as_millis()).unwrap_or(u64::MAX);
    json!({
        "type": ["number", "string"],
        "minimum": 0,
        "maximum": longest,
        "pattern": format!(r"^\s*{AMOUNT}\s*(ms|s|m|h)?\s*$|{EXPANSION}"),
    })
}

fn size(minimum: u64) -> Value {
    json!({
        "type": ["number", "string"],
        "minimum": minimum,
        "maximum": MAX_BYTES,
        "pattern": format!(r"^\s*{AMOUNT}\s*{SIZE_UNIT}?\s*$|{EXPANSION}"),
    })
}

fn share() -> Value {
    string(&format!(r"^\s*{AMOUNT}\s*%\s*$"))
}

fn integer(minimum: i64, maximum: i64) -> Value {
    let sign = if minimum < 0 { "-?" } else { "" };
    json!({
        "type": ["integer", "string"],
        "minimum": minimum,
        "maximum": maximum,
        "pattern": format!(r"^\s*\+?{sign}[0-9]+(\.0*)?\s*$|{EXPANSION}"),
    })
}

fn choices<D>(of: &[Choice<D>]) -> Value {
    words(&of.iter().map(|(word, _)| *word).collect::<Vec<_>>())
}

fn environment() -> Value {
    json!({ "type": "object", "propertyNames": { "pattern": r"^[^=\x00]+$" } })
}

/// The schema of a value that TOML's decoder accepts.
fn of_kind<D>(kind: &Kind<D>) -> Value {
    match kind {
        Kind::SingleLine(_) | Kind::TimeZone(_) => with(&string(LABEL), "maxLength", MAX_LABEL.into()),
        Kind::String(_) | Kind::PidFile(_) => string(TEXT),
        Kind::Variable(_) => string(r"^[^\x00=]*[^\s\x00=][^\x00=]*$"),
        Kind::Arguments(_) => any_of(&[
            string(r"^[^\x00]*$"),
            json!({
                "type": "array",
                "items": { "type": ["string", "number", "boolean", "null"], "pattern": r"^[^\x00]*$" },
            }),
        ]),
        Kind::Boolean(_) => switch(),
        Kind::Duration(..) | Kind::Delay(_) => duration(),
        Kind::DurationOrOff(_) => any_of(&[json!({ "enum": ["off", false] }), duration()]),
        Kind::Size(minimum, _) => size(*minimum),
        Kind::Integer(minimum, maximum, ..) => integer((*minimum).into(), (*maximum).into()),
        Kind::SignedInteger(minimum, maximum, _) => integer((*minimum).into(), (*maximum).into()),
        Kind::Choice(of) | Kind::LenientChoice(of) => choices(of),
        Kind::Instances(_) => {
            let bound = i64::from(MAX_INSTANCES);
            any_of(&[json!({ "enum": ["max"] }), integer(-bound, bound)])
        }
        Kind::Cron(_) => any_of(&[string(TEXT), json!({ "enum": [0, false] })]),
        Kind::Listen(_) => {
            let address = string("^([ -.0-9;-~]*=)?(tcp|udp|unix):.");
            let list = json!({ "type": "array", "items": address, "maxItems": MAX_SOCKETS });
            any_of(&[address, list])
        }
        Kind::DependsOn(_) => list_or_one(&any_of(&[
            string(LABEL),
            json!({
                "type": "object",
                "properties": { "app": string(LABEL), "condition": words(&order::conditions()) },
                "required": ["app"],
                "additionalProperties": false,
            }),
        ])),
        Kind::Probe(_) => any_of(&[json!({ "enum": [false] }), probe()]),
        Kind::EndsContainer(_) => any_of(&[switch(), words(&["on_success", "on_failure"])]),
        Kind::ExitCodes(_) => list_or_one(&any_of(&[
            json!({ "type": "integer", "minimum": 0, "maximum": 255 }),
            string(r"^[\s,0-9]*$"),
        ])),
        Kind::Signal(_) => any_of(&[
            json!({ "type": "integer", "minimum": 1, "maximum": 64 }),
            string(r"^\s*([1-9]|[1-5][0-9]|6[0-4]|([Ss][Ii][Gg])?[A-Za-z]+[0-9]*([+-][0-9]+)?)\s*$"),
        ]),
        Kind::Rlimits(_) => rlimits(),
        Kind::Umask(_) => any_of(&[
            string(r"^\s*(0o)?0*[0-7]{1,3}\s*$"),
            json!({ "type": "integer", "minimum": 0, "maximum": ALL_MODES }),
        ]),
        Kind::Principal(_) => any_of(&[
            json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX - 1 }),
            string(r"^[^\x00-\x1f\x7f:/-][^\x00-\x1f\x7f:/]*$"),
        ]),
        Kind::Environment(_) => environment(),
        // A table without `path` is the environment that is called `file`.
        Kind::EnvFiles(_) => any_of(&[
            json!({ "type": "object" }),
            list_or_one(&any_of(&[
                string(TEXT),
                json!({
                    "type": "object",
                    "properties": { "path": string(TEXT), "required": switch() },
                    "required": ["path"],
                    "additionalProperties": false,
                }),
            ])),
        ]),
        Kind::EnvFilter(_) | Kind::Watch(_) => {
            any_of(&[json!({ "type": "boolean" }), list_or_one(&string(TEXT))])
        }
        Kind::LogFile(_) => any_of(&[json!({ "type": "boolean" }), string(TEXT)]),
        Kind::Patterns(_) => list_or_one(&string(TEXT)),
        Kind::WatchOptions(_) => watch_options(),
        Kind::MemoryLimit(_) => any_of(&[
            json!({ "enum": [false, 0] }),
            json!({ "type": "number", "minimum": MemoryLimit::MIN_BYTES, "maximum": MAX_BYTES }),
            string(&format!(r"^\s*{AMOUNT}\s*{SIZE_UNIT}\s*$|^\s*(0|[0-9]{{7,}})\s*$")),
            share(),
        ]),
        Kind::BooleanOrAuto(_) => any_of(&[json!({ "enum": ["auto"] }), switch()]),
        Kind::OomGuard(_) => any_of(&[json!({ "type": "boolean" }), share()]),
        Kind::Web(_) => any_of(&[
            json!({ "type": "boolean" }),
            integer(0, 65535),
            string(r"^\s*(\[[0-9A-Fa-f:.]+\]|[0-9.]+|localhost|\*):[0-9]+\s*$|^\s*unix:(//)?/"),
        ]),
        Kind::Quorum(_) => any_of(&[integer(1, 1000), string(r"^\s*[0-9]+(\s*| of [0-9]+|%)\s*$")]),
        Kind::Unsupported | Kind::Ignored => json!({}),
    }
}

fn probe() -> Value {
    let mut properties = json!({
        "http": string("^(/|http://)[^#@]*$"),
        "tcp": any_of(&[json!({ "type": "integer", "minimum": 1, "maximum": 65535 }), string(TEXT)]),
        "exec": any_of(&[
            string(TEXT),
            json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 }),
        ]),
        "interval": duration(),
        "timeout": duration(),
        "retries": integer(1, 1000),
        "start_period": duration(),
    });
    properties["startPeriod"] = properties["start_period"].clone();
    for schema in properties.as_object_mut().into_iter().flat_map(Map::values_mut) {
        *schema = nullable(schema.take());
    }
    let targets: Vec<Value> = health::TARGETS.iter().map(|name| json!({ "required": [name] })).collect();
    json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "oneOf": targets,
    })
}

fn rlimits() -> Value {
    let unlimited = json!({ "enum": ["unlimited", "infinity"] });
    let of_resource = |resource: Resource| {
        let amount = match resource.unit() {
            Unit::Bytes => size(0),
            Unit::UpTo(maximum) => integer(0, maximum.into()),
        };
        let amount = any_of(&[unlimited.clone(), amount]);
        let pair = json!({ "type": "array", "items": amount, "minItems": 2, "maxItems": 2 });
        (resource.name().to_owned(), nullable(any_of(&[amount, pair])))
    };
    let properties: Map<String, Value> = Resource::ALL.into_iter().map(of_resource).collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn watch_options() -> Value {
    let names = watching::option_names().flat_map(|name| [name.to_owned(), snake_case(name)]);
    let properties: Map<String, Value> = names
        .map(|name| {
            let schema = match camel_case(&name).as_str() {
                "usePolling" | "followSymlinks" => switch(),
                "interval" => duration(),
                "depth" => integer(0, 1000),
                "ignored" => list_or_one(&string(TEXT)),
                "cwd" => string(TEXT),
                "awaitWriteFinish" => any_of(&[switch(), json!({ "type": "object" })]),
                _ => json!({}),
            };
            (name, nullable(schema))
        })
        .collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn snake_case(name: &str) -> String {
    let mut word = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            word.push('_');
        }
        word.push(letter.to_ascii_lowercase());
    }
    word
}

fn of_file_key(name: &str) -> Value {
    match name {
        APPS => json!({
            "type": ["array", "object"],
            "items": { "$ref": "#/definitions/app" },
            "minItems": 1,
            "maxItems": MAX_APPS,
            "if": { "type": "object" },
            "then": { "$ref": "#/definitions/app" },
        }),
        CWD => string(TEXT),
        DEFAULTS => json!({
            "allOf": [
                { "$ref": "#/definitions/defaults" },
                { "not": { "anyOf": refused_defaults() } },
            ],
        }),
        INCLUDE => list_or_one(&string(TEXT)),
        _ => list_or_one(&json!({
            "type": "object",
            "properties": sites::keys().map(|key| (key.to_owned(), json!({}))).collect::<Map<_, _>>(),
            "additionalProperties": false,
        })),
    }
}

/// Keys that only one app can have.
fn refused_defaults() -> Vec<Value> {
    let keys = all(APP_KEYS).filter(|key| defaults::refusal(key.name).is_some());
    keys.flat_map(all_names).map(|name| json!({ "required": [name] })).collect()
}
