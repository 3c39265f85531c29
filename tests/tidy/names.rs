//! A function is called the same in every place: folder, package, resource, state and placeholder.

use std::collections::BTreeSet;

use serde_json::json;

use crate::project::{entries, functions, machines, pascal, read, resources, sources, template, toml};

/// The functions that are no state of a machine, and who calls them.
const CALLED_BY_OTHERS: [(&str, &str); 5] = [
    ("extend-service", "a person, by `mayfly extend`"),
    ("handle-report", "the done queue's trigger"),
    ("handle-running-task", "the rule on ECS's events"),
    ("handle-stopped-task", "the rules on ECS's events"),
    ("sweep-expired", "the hourly schedule"),
];

/// The adjectives that a state may have after its verb, where a machine uses a function more than once.
const ADJECTIVES: &[&str] = &[
    "Public",
    "Private",
    "FirstPrivate",
    "SecondPrivate",
    "Awaited",
    "Isolated",
    "Entry",
    "Balancer",
    "Container",
    "Endpoint",
    "FirstIpv6",
    "SecondIpv6",
    "Ipv6",
    "Service",
];

#[test]
fn a_function_is_folder_package_and_resource_of_one_name() {
    let template = template();
    let declared: BTreeSet<_> =
        resources(&template, "AWS::Serverless::Function").map(|(id, _)| id.clone()).collect();
    let expected: BTreeSet<_> = functions().iter().map(|name| format!("{}Function", pascal(name))).collect();
    assert_eq!(
        declared, expected,
        "the functions of template.yaml (left) must be the folders of functions/ (right)"
    );

    let of_functions = sources().filter(|source| source.starts_with("functions"));
    let with_tests: Vec<_> = of_functions.filter(|source| read(source).contains("#[cfg(test)]")).collect();
    for name in functions() {
        let file = format!("functions/{name}/Cargo.toml");
        let manifest = toml(&file);
        assert_eq!(manifest["package"]["name"], *name, "{file}: call the package like its folder");
        let has_tests = with_tests.iter().any(|source| source.starts_with(format!("functions/{name}")));
        let mut library = json!({ "doctest": false });
        if !has_tests {
            library["test"] = json!(false);
        }
        assert_eq!(
            (&manifest["lib"], &manifest["bin"]),
            (&library, &json!([{ "name": name, "test": false }])),
            "{file}: a library and a program of the package's name; what has no tests links no program for them"
        );
        let main = format!("functions/{name}/src/main.rs");
        let serves = format!("mayfly_lambda::serve(&{}::STEP)", name.replace('-', "_"));
        assert!(read(&main).contains(&serves), "{main}: {serves} and nothing else");
        let (library, of) =
            (format!("functions/{name}/src/lib.rs"), format!("Recipe::of::<{}>()", pascal(&name)));
        assert!(read(&library).contains(&of), "{library}: call the step like its function");
        let id = format!("{}Function", pascal(&name));
        let resource = &template["Resources"][&id];
        let folder = format!("functions/{name}");
        assert_eq!(resource["Properties"]["CodeUri"], *folder, "template.yaml: {id} needs this CodeUri");
        assert_eq!(
            resource["Metadata"]["BuildMethod"], "rust-cargolambda",
            "template.yaml: {id} needs this BuildMethod"
        );
    }
}

#[test]
fn a_function_is_the_state_of_its_name_unless_others_call_it() {
    let mut callers = BTreeSet::from(CALLED_BY_OTHERS.map(|(name, _)| pascal(name)));
    for machine in machines() {
        for state in machine.states().iter().filter(|state| state.invokes()) {
            let given = state.fields["Parameters"]["FunctionName"].as_str().unwrap_or_default();
            let function = given
                .strip_prefix("${")
                .and_then(|rest| rest.strip_suffix("FunctionArn}"))
                .unwrap_or_default();
            let plain = ADJECTIVES.iter().map(|adjective| state.name.replacen(adjective, "", 1));
            assert!(
                function == state.name || plain.into_iter().any(|name| name == function),
                "{}: the state {} invokes {given}; it invokes the function of its name, which may have one of \
                 {ADJECTIVES:?} in it",
                machine.file,
                state.name
            );
            callers.insert(function.to_owned());
        }
    }
    let functions: BTreeSet<_> = functions().iter().map(|name| pascal(name)).collect();
    assert_eq!(
        callers,
        functions,
        "the states that invoke functions (left) must be the folders of functions/ (right); a function that no \
         machine invokes belongs into CALLED_BY_OTHERS of {}",
        file!()
    );
}

#[test]
fn a_definition_is_a_file_of_the_template_and_the_other_way_round() {
    let deployed: BTreeSet<_> = machines().into_iter().map(|machine| machine.file).collect();
    let files: BTreeSet<_> =
        entries("statemachine").iter().map(|name| format!("statemachine/{name}")).collect();
    assert_eq!(deployed, files, "each file of statemachine/ (right) is one machine's DefinitionUri (left)");
}

#[test]
fn a_machine_is_given_exactly_the_placeholders_that_it_uses() {
    for machine in machines() {
        let given =
            machine.properties["DefinitionSubstitutions"].as_object().expect("DefinitionSubstitutions");
        let names: BTreeSet<_> = given.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            machine.placeholders(),
            "template.yaml: the DefinitionSubstitutions of {} (left) must be the placeholders of {} (right)",
            machine.id,
            machine.file
        );
        for (name, value) in given {
            if let Some(function) = name.strip_suffix("Arn").filter(|name| name.ends_with("Function")) {
                let arn = json!({ "Fn::GetAtt": [function, "Arn"] });
                assert_eq!(*value, arn, "template.yaml: {name} of {} is another function's ARN", machine.id);
            }
        }
    }
}
