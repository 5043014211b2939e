//! `fleet`: machines of a pool should be alike; this says where they are not.

use std::collections::BTreeMap;

use serde_json::json;

use crate::failure::Failure;
use crate::machine::Seen;
use crate::settings::Settings;
use crate::tell::tell;
use crate::verbs;

/// What should be alike.
const FACTS: [&str; 6] = [
    "isolate-run",
    "worker",
    "config",
    "kernel",
    "cpu",
    "microcode",
];

fn facts(seen: &Seen) -> [String; 6] {
    let machine = &seen.machine;
    [
        machine.version.clone(),
        seen.worker.clone(),
        machine.config_digest.chars().take(12).collect(),
        machine.kernel.clone(),
        machine.cpu_model.clone(),
        machine.microcode.clone(),
    ]
}

/// A machine that differs from most of its pool: in what, what it has, and what most have.
#[derive(Debug, PartialEq, Eq)]
struct Deviation {
    machine: String,
    fact: &'static str,
    has: String,
    most: String,
}

/// Compares machines with the most frequent value of their pool. Pure.
fn deviations(machines: &[Seen]) -> Vec<Deviation> {
    let mut found = Vec::new();
    for (index, fact) in FACTS.into_iter().enumerate() {
        let value = |seen: &Seen| facts(seen).get(index).cloned().unwrap_or_default();
        let mut counts: BTreeMap<(&str, String), usize> = BTreeMap::new();
        for seen in machines {
            *counts.entry((&seen.machine.pool, value(seen))).or_default() += 1;
        }
        for seen in machines {
            let pool = seen.machine.pool.as_str();
            let of_pool = counts.iter().filter(|((other, _), _)| *other == pool);
            let most = of_pool
                .max_by_key(|(_, count)| **count)
                .map(|((_, value), _)| value.clone());
            let (has, most) = (value(seen), most.unwrap_or_default());
            if has != most {
                let machine = seen.machine.id.clone();
                found.push(Deviation {
                    machine,
                    fact,
                    has,
                    most,
                });
            }
        }
    }
    found
}

/// Shows all machines and how they differ; the exit code.
///
/// # Errors
///
/// The server does not answer.
pub(crate) async fn drift(settings: &Settings, as_json: bool) -> Result<u8, Failure> {
    let fleet = verbs::open(settings).await?;
    let machines = verbs::machines(&fleet).await?;
    let found = deviations(&machines);
    let code = u8::from(!found.is_empty());
    if as_json {
        let found: Vec<_> = found
            .iter()
            .map(|one| {
                json!({
                    "machine": one.machine, "fact": one.fact, "has": one.has, "most": one.most,
                })
            })
            .collect();
        tell(&json!({"format": 1, "machines": machines, "deviations": found}).to_string());
        return Ok(code);
    }
    tell("MACHINE           POOL              ISOLATE-RUN  WORKER  CONFIG        KERNEL");
    for seen in &machines {
        let [version, worker, config, kernel, ..] = facts(seen);
        let (id, pool) = (&seen.machine.id, &seen.machine.pool);
        tell(&format!(
            "{id:16}  {pool:16}  {version:11}  {worker:6}  {config:12}  {kernel}"
        ));
    }
    for one in &found {
        tell(&format!(
            "{} differs: {} is '{}', and most of its pool have '{}'",
            one.machine, one.fact, one.has, one.most
        ));
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use isolate_run_client::Machine;

    use super::*;

    fn seen(id: &str, pool: &str, kernel: &str) -> Seen {
        let machine = Machine {
            id: id.into(),
            pool: pool.into(),
            kernel: kernel.into(),
            ..Machine::default()
        };
        Seen {
            machine,
            slots: 1,
            worker: "1".into(),
            ..Seen::default()
        }
    }

    #[test]
    fn who_differs_from_most_of_the_pool_is_named_and_pools_may_differ() {
        let machines = [
            seen("a", "p", "6.12"),
            seen("b", "p", "6.1"),
            seen("c", "p", "6.12"),
            seen("d", "q", "5"),
        ];
        let found = deviations(&machines);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (
                found[0].machine.as_str(),
                found[0].fact,
                found[0].most.as_str()
            ),
            ("b", "kernel", "6.12")
        );
    }
}
