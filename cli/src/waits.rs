//! What the state machines wait for in the states that do nothing themselves, in words.

/// The reason in words, for a person who sees nothing happen; empty for a state that works.
pub fn reason(state: &str) -> &'static str {
    match state {
        "AwaitAddress" => "no internet gateway is free; the address is given back",
        "AwaitNatGateway" => "the NAT gateway is pending, on AWS for about two minutes",
        "AwaitStragglers" => "functions that were cut off come to their end",
        "DispatchJob" => "the container starts",
        "KeepService" => "it can be called until its time is over",
        "Settle" | "AwaitSecondSearch" => "AWS's lists come up to date",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// The names of all states of the type Wait.
    fn wait_states(definition: &Value) -> Vec<String> {
        let branches = definition["Branches"].as_array().into_iter().flatten().flat_map(wait_states);
        let states = definition["States"].as_object().into_iter().flatten();
        let inner = states.flat_map(|(name, state)| {
            let own = (state["Type"] == "Wait").then(|| name.clone());
            own.into_iter().chain(wait_states(state))
        });
        branches.chain(inner).collect()
    }

    #[test]
    fn every_state_that_only_waits_says_what_for() {
        for machine in [
            include_str!("../../statemachine/run-job.asl.json"),
            include_str!("../../statemachine/tear-down.asl.json"),
        ] {
            let names = wait_states(&serde_json::from_str(machine).unwrap());
            assert!(!names.is_empty());
            let silent: Vec<_> = names.iter().filter(|name| reason(name).is_empty()).collect();
            assert!(silent.is_empty(), "give {silent:?} words");
        }
    }
}
