//! What goes through the queue is as `docs/fleet-*.schema.json` say.

use std::path::Path;
use std::sync::OnceLock;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::Value;

fn schemas() -> &'static (Schemas, SchemaIndex, SchemaIndex) {
    static ALL: OnceLock<(Schemas, SchemaIndex, SchemaIndex)> = OnceLock::new();
    ALL.get_or_init(|| {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        for name in ["report", "job", "result", "fleet-job", "fleet-result"] {
            let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
            let text = std::fs::read_to_string(docs.join(format!("{name}.schema.json"))).unwrap();
            let schema: Value = serde_json::from_str(&text).unwrap();
            let place = format!("http://x/{name}.schema.json");
            compiler.add_resource(&place, schema).unwrap();
        }
        let mut compile = |name| compiler.compile(name, &mut schemas).unwrap();
        let job = compile("http://x/fleet-job.schema.json");
        let result = compile("http://x/fleet-result.schema.json");
        (schemas, job, result)
    })
}

/// What is wrong with a job.
pub fn mistake_in_job(job: &Value) -> Option<String> {
    let (schemas, schema, _) = schemas();
    schemas
        .validate(job, *schema)
        .err()
        .map(|error| format!("{error:#}\n{job}"))
}

/// What is wrong with a result.
pub fn mistake_in_result(result: &Value) -> Option<String> {
    let (schemas, _, schema) = schemas();
    schemas
        .validate(result, *schema)
        .err()
        .map(|error| format!("{error:#}\n{result}"))
}
