//! Applications that a client may send: mutated ones are refused by the validator, or the machine runs them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    random::{acts, random_plan},
    *,
};
use crate::spec::validate::validate;

/// The JSON pointers of all parts of a value.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(entries) => entries.iter().for_each(|(key, value)| {
            let key = key.replace('~', "~0").replace('/', "~1");
            places(value, &format!("{at}/{key}"), found);
        }),
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(number, item)| places(item, &format!("{at}/{number}"), found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    found.push(at.to_owned());
}

fn hostile() -> impl Strategy<Value = Value> {
    let numbers = [0, 1, 255, 1 << 16, u64::from(u32::MAX), 1 << 63, u64::MAX];
    let duration = |secs: u64| json!({"secs": secs, "nanos": 0});
    prop_oneof![
        prop::sample::select(numbers.to_vec()).prop_map(Value::from),
        prop::sample::select(numbers.to_vec()).prop_map(duration),
        prop::sample::select(numbers.to_vec())
            .prop_map(|number| json!({"Fixed": {"secs": number, "nanos": 1}})),
        prop::sample::select(numbers.to_vec()).prop_map(|number| json!({"Bytes": number})),
        prop::sample::select(vec!["", "\0", "\u{1b}[2J", "all", "Main"]).prop_map(Value::from),
        (1_usize..100_000).prop_map(|length| "x".repeat(length).into()),
        Just(json!([])),
        Just(json!({})),
        Just(json!({"Exec": []})),
        Just(json!({"Share": 65_535})),
        Just(Value::Null),
        Just(json!(-1)),
    ]
}

proptest! {
    #[test]
    fn a_mutated_application_is_refused_or_runs(
        kind in 0_u8..4,
        count in 1_u32..4,
        other: bool,
        mutations in prop::collection::vec((any::<prop::sample::Index>(), hostile()), 1..6),
        acts in acts(),
    ) {
        let mut spec = AppSpec::clone(&random_plan(&[(kind, count, other)]).apps[0]);
        spec.env.instance_var = "NUMBER".to_owned();
        let mut value = serde_json::to_value(&spec).unwrap();
        let mut runs = vec![spec.clone()];
        prop_assert_eq!(validate(&spec), Ok(()));
        for (which, hostile) in mutations {
            let mut found = Vec::new();
            places(&value, "", &mut found);
            let before = value.clone();
            *value.pointer_mut(which.get::<String>(&found)).unwrap() = hostile;
            match serde_json::from_value::<AppSpec>(value.clone()) {
                Ok(mutated) => match validate(&mutated) {
                    Ok(()) => runs.push(mutated),
                    Err(violation) => prop_assert!(violation.to_string().len() < 1000),
                },
                // The next mutation begins with a value that can be decoded.
                Err(_) => value = before,
            }
        }
        let mut world = World::new(plan(runs.last().cloned()));
        for act in acts {
            world.act(act);
        }
    }
}
