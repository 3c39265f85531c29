//! Capacity provider strategies: what is refused, and which provider the next task is for.

use crate::error::{ApiError, Result};
use crate::requests::StrategyItem;

/// AWS's own capacity providers; others are not supported.
pub(crate) const ON_DEMAND: &str = "FARGATE";
pub(crate) const SPOT: &str = "FARGATE_SPOT";

pub(crate) fn is_fargate(provider: &str) -> bool {
    provider == ON_DEMAND || provider == SPOT
}

/// Refuses a strategy that is not empty where a cluster with these capacity providers refuses it.
pub(crate) fn validate(strategy: &[StrategyItem], providers: &[String]) -> Result<()> {
    let refuse = |message: &str| Err(ApiError::invalid_parameter(message));
    // `CreateService$capacityProviderStrategy`.
    if strategy.len() > 20 {
        return refuse("A capacity provider strategy can have at most 20 items.");
    }
    // `CapacityProviderStrategyItem`: weights up to 1,000, bases up to 100,000, only one base, not all
    // weights zero.
    if strategy.iter().any(|item| item.weight > 1_000 || item.base > 100_000) {
        return refuse("A weight is at most 1,000 and a base at most 100,000.");
    }
    if strategy.iter().filter(|item| item.base > 0).count() > 1 {
        return refuse("Only one capacity provider in a strategy can have a base defined.");
    }
    if strategy.iter().all(|item| item.weight == 0) {
        return refuse("At least one capacity provider in a strategy must have a weight greater than zero.");
    }
    for item in strategy {
        // `CreateService$capacityProviderStrategy`: the provider must be associated with the cluster.
        if !providers.contains(&item.capacity_provider) {
            return refuse(&format!(
                "The specified capacity provider '{}' was not found, or is not associated with the cluster.",
                item.capacity_provider
            ));
        }
        if !is_fargate(&item.capacity_provider) {
            return Err(ApiError::unsupported(format!("the capacity provider {:?}", item.capacity_provider)));
        }
    }
    Ok(())
}

/// The provider of the next task, where there are tasks on `taken`: the base first, then by weight
/// (`CapacityProviderStrategyItem`).
pub(crate) fn choose<'a>(strategy: &'a [StrategyItem], taken: &[&str]) -> &'a str {
    let count = |item: &StrategyItem| {
        taken.iter().filter(|provider| **provider == item.capacity_provider).map(|_| 1_u32).sum::<u32>()
    };
    let base = strategy.iter().find(|item| count(item) < item.base);
    // What would have the fewest tasks for its weight.
    let share = |item: &StrategyItem| f64::from(count(item) + 1) / f64::from(item.weight);
    let candidates = strategy.iter().filter(|item| item.weight > 0);
    let weighted = || candidates.min_by(|a, b| share(a).total_cmp(&share(b)));
    let chosen = base.or_else(weighted).expect("a strategy has been checked to have a weight");
    &chosen.capacity_provider
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(name: &str, weight: u32, base: u32) -> StrategyItem {
        StrategyItem { capacity_provider: name.to_owned(), weight, base }
    }

    #[test]
    fn the_heavier_provider_gets_the_first_task() {
        assert_eq!(choose(&[item(ON_DEMAND, 1, 0), item(SPOT, 3, 0)], &[]), SPOT);
        assert_eq!(choose(&[item(ON_DEMAND, 1, 1), item(SPOT, 3, 0)], &[]), ON_DEMAND);
    }

    #[test]
    fn each_broken_rule_is_named() {
        let providers = [ON_DEMAND.to_owned(), "mine".to_owned()];
        validate(&[item(ON_DEMAND, 1, 1)], &providers).unwrap();
        for (strategy, expected) in [
            (vec![item(ON_DEMAND, 1, 0); 21], "at most 20"),
            (vec![item(ON_DEMAND, 1_001, 0)], "at most 1,000"),
            (vec![item(ON_DEMAND, 1, 1), item("mine", 1, 1)], "Only one"),
            (vec![item(ON_DEMAND, 0, 0)], "greater than zero"),
            (vec![item(SPOT, 1, 0)], "not associated with the cluster"),
            (vec![item("mine", 1, 0)], "does not support"),
        ] {
            let error = validate(&strategy, &providers).unwrap_err();
            assert!(error.message.contains(expected), "{}", error.message);
        }
    }
}
