//! The course of a job: which of its steps run together, in which boxes, and which pipes are
//! between them.

use std::collections::HashMap;

use libc::{STDIN_FILENO as STDIN, STDOUT_FILENO as STDOUT};

use super::check::{Mistake, check};
use super::words::{Input, Job, Output};

/// Steps that run at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    /// The first of them; they follow each other.
    pub(crate) first: usize,
    /// How many there are.
    pub(crate) count: usize,
    /// What joins them.
    pub(crate) pipes: Vec<Pipe>,
}

/// A pipe: each end is a step and the number of its descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pipe {
    /// Who writes.
    pub(crate) from: (usize, i32),
    /// Who reads.
    pub(crate) to: (usize, i32),
}

/// The first descriptor of a step that talks with several others; each takes two, the first of
/// which is to be read.
const FIRST_DESCRIPTOR: i32 = 3;

/// What follows from a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Course {
    /// What runs one after the other.
    pub(crate) groups: Vec<Group>,
    /// The box of each step.
    pub(crate) boxes: Vec<String>,
}

impl Group {
    /// The steps.
    pub(crate) fn steps(&self) -> std::ops::Range<usize> {
        self.first..self.first + self.count
    }
}

impl Course {
    /// Finds it out; a mistake in the job is told with its key.
    pub(crate) fn of(job: &Job) -> Result<Self, Mistake> {
        check(job)?;
        let names = names(job)?;
        let pipes = pipes(job, &names)?;
        // Whoever is named by a step runs with it, and with all between them.
        let mut last_with: Vec<usize> = (0..job.steps.len()).collect();
        let mut join = |one: usize, other: usize| {
            let (first, last) = (one.min(other), one.max(other));
            last_with[first] = last_with[first].max(last);
        };
        for Pipe { from, to } in &pipes {
            join(from.0, to.0);
        }
        let mut groups = Vec::new();
        let mut first = 0;
        while first < job.steps.len() {
            let mut last = first;
            let mut at = first;
            while at <= last {
                last = last.max(last_with[at]);
                at += 1;
            }
            let inside = |pipe: &&Pipe| (first..=last).contains(&pipe.from.0);
            groups.push(Group {
                first,
                count: last - first + 1,
                pipes: pipes.iter().filter(inside).copied().collect(),
            });
            first = last + 1;
        }
        let boxes = boxes(job, &groups)?;
        Ok(Self { groups, boxes })
    }
}

fn names(job: &Job) -> Result<HashMap<String, usize>, Mistake> {
    let mut names = HashMap::new();
    for (at, step) in job.steps.iter().enumerate() {
        let name = step.name_or(at);
        if names.insert(name.clone(), at).is_some() {
            let reason =
                format!("another step is called '{name}', too: each needs a name of its own");
            return Err((format!("steps[{at}].name"), reason));
        }
    }
    Ok(names)
}

fn find<'a>(
    names: &'a HashMap<String, usize>,
    name: &str,
    field: &str,
) -> Result<&'a usize, Mistake> {
    names
        .get(name)
        .ok_or_else(|| (field.to_owned(), format!("no step is called '{name}'")))
}

/// All pipes, each told of on one of its sides or on both.
fn pipes(job: &Job, names: &HashMap<String, usize>) -> Result<Vec<Pipe>, Mistake> {
    let mut pipes: Vec<Pipe> = Vec::new();
    let mut add = |from: (usize, i32), to: (usize, i32), field: String| {
        let pipe = Pipe { from, to };
        if from.0 == to.0 {
            return Err((field, "a step cannot be its own partner".into()));
        }
        if pipes.contains(&pipe) {
            return Ok(());
        }
        if pipes
            .iter()
            .any(|other| other.from == from || other.to == to)
        {
            let reason = "one of the two steps has a pipe there already, to or from another";
            return Err((field, reason.into()));
        }
        let speaks = !matches!(&job.steps[from.0].stdout, None | Some(Output::Pipe(_)));
        let hears = !matches!(&job.steps[to.0].stdin, None | Some(Input::Pipe(_)));
        if (from.1 == STDOUT && speaks) || (to.1 == STDIN && hears) {
            let reason = "one of the two steps has something else there: leave that out";
            return Err((field, reason.into()));
        }
        pipes.push(pipe);
        Ok(())
    };
    for (at, step) in job.steps.iter().enumerate() {
        if let Some(Input::Pipe(name)) = &step.stdin {
            let field = format!("steps[{at}].stdin.pipe");
            let other = *find(names, name, &field)?;
            add((other, STDOUT), (at, STDIN), field)?;
        }
        if let Some(Output::Pipe(name)) = &step.stdout {
            let field = format!("steps[{at}].stdout.pipe");
            let other = *find(names, name, &field)?;
            add((at, STDOUT), (other, STDIN), field)?;
        }
        if let Some(name) = &step.pair_with {
            let field = format!("steps[{at}].pair_with");
            let other = *find(names, name, &field)?;
            add((at, STDOUT), (other, STDIN), field.clone())?;
            add((other, STDOUT), (at, STDIN), field)?;
        }
        for (number, name) in (FIRST_DESCRIPTOR..).step_by(2).zip(&step.talks_with) {
            let field = format!("steps[{at}].talks_with");
            let other = *find(names, name, &field)?;
            add((other, STDOUT), (at, number), field.clone())?;
            add((at, number + 1), (other, STDIN), field)?;
        }
    }
    Ok(pipes)
}

/// The boxes: steps alone are in the job's box unless they say another; of those that run together
/// all but the first have boxes of their own.
fn boxes(job: &Job, groups: &[Group]) -> Result<Vec<String>, Mistake> {
    let mut boxes = Vec::new();
    for group in groups {
        let mut taken: Vec<String> = Vec::new();
        for at in group.steps() {
            let step = &job.steps[at];
            let own = match (at == group.first, &step.in_box) {
                (_, Some(name)) => name.clone(),
                (true, None) => String::new(),
                (false, None) => step.name_or(at),
            };
            if taken.contains(&own) {
                let reason = "steps that run together need boxes of their own";
                return Err((format!("steps[{at}].box"), reason.into()));
            }
            taken.push(own);
        }
        boxes.extend(taken);
    }
    for (at, file) in job.files.iter().enumerate() {
        let own = file.in_box.clone().unwrap_or_default();
        if !boxes.contains(&own) {
            return Err((
                format!("files[{at}].box"),
                format!("no step has a box '{own}'"),
            ));
        }
    }
    Ok(boxes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(steps: &str) -> Result<Course, Mistake> {
        let job = format!("{{\"id\":\"a\",\"steps\":[{steps}]}}");
        Course::of(&serde_json::from_str(&job).unwrap())
    }

    #[test]
    fn steps_run_one_after_the_other_unless_they_are_joined() {
        let alone = course(r#"{"argv":["a"]},{"argv":["b"]}"#).unwrap();
        assert_eq!(alone.groups.len(), 2);
        assert_eq!(alone.boxes, ["", ""]);
        let pair = course(
            r#"{"argv":["c"]},{"name":"a","argv":["a"]},{"name":"m","argv":["b"],"pair_with":"a"},{"argv":["z"]}"#,
        )
        .unwrap();
        assert_eq!(pair.groups.len(), 3);
        assert_eq!(pair.groups[1].steps(), 1..3);
        let pipe = |from, to| Pipe { from, to };
        assert_eq!(
            pair.groups[1].pipes,
            [pipe((2, 1), (1, 0)), pipe((1, 1), (2, 0))]
        );
        assert_eq!(pair.boxes, ["", "", "m", ""]);
        let line = course(
            r#"{"name":"a","argv":["a"],"stdout":{"pipe":"b"}},{"name":"b","argv":["b"],"stdin":{"pipe":"a"}}"#,
        )
        .unwrap();
        assert_eq!(line.groups[0].pipes, [pipe((0, 1), (1, 0))]);
        let manager = course(
            r#"{"name":"a","argv":["a"]},{"name":"b","argv":["b"]},{"argv":["m"],"talks_with":["a","b"]}"#,
        )
        .unwrap();
        assert_eq!(manager.groups[0].steps(), 0..3);
        assert_eq!(manager.groups[0].pipes.len(), 4);
        assert_eq!(manager.groups[0].pipes[3], pipe((2, 6), (1, 0)));
    }

    #[test]
    fn pipes_that_lead_nowhere_are_mistakes() {
        for (steps, words) in [
            (
                r#"{"argv":["a"],"stdin":{"pipe":"x"}}"#,
                "no step is called 'x'",
            ),
            (
                r#"{"name":"a","argv":["a"],"pair_with":"a"}"#,
                "its own partner",
            ),
            (
                r#"{"name":"a","argv":["a"],"stdin":{"text":""}},{"argv":["b"],"pair_with":"a"}"#,
                "something else there",
            ),
            (
                r#"{"name":"a","argv":["a"]},{"argv":["b"],"pair_with":"a"},{"argv":["c"],"pair_with":"a"}"#,
                "has a pipe there already",
            ),
            (
                r#"{"name":"a","argv":["a"],"box":"x"},{"argv":["b"],"pair_with":"a","box":"x"}"#,
                "boxes of their own",
            ),
            (
                r#"{"name":"1","argv":["a"]},{"argv":["b"]}"#,
                "another step is called '1'",
            ),
        ] {
            let (_, reason) = course(steps).unwrap_err();
            assert!(reason.contains(words), "{steps}: {reason}");
        }
    }
}
