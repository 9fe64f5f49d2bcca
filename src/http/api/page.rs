//! The API's description for people: plain HTML made from the document itself. No script, so the strictest policy.

use std::fmt::Write;
use std::sync::OnceLock;

use axum::http::{HeaderName, header};
use axum::response::{Html, IntoResponse};
use serde_json::{Map, Value};

use super::openapi;

const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

pub(super) async fn page() -> impl IntoResponse {
    static PAGE: OnceLock<String> = OnceLock::new();
    let page = PAGE.get_or_init(|| {
        let document = serde_json::to_value(openapi::described()).unwrap_or_default();
        render(&document)
    });
    let headers: [(HeaderName, &str); 4] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, Html(page.as_str()))
}

pub(super) async fn style() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, include_str!("page.css"))
}

fn render(document: &Value) -> String {
    let mut html = String::from(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width\">\n<title>shibuki: API</title>\n<link rel=\"stylesheet\" \
         href=\"/api/style.css\">\n</head>\n<body>\n<main>\n<h1>API</h1>\n<p>The same for programs: <a \
         href=\"/api/openapi.json\">openapi.json</a> (OpenAPI 3.1).</p>\n",
    );
    prose(&mut html, text(&document["info"]["description"]));
    for tag in document["tags"].as_array().into_iter().flatten() {
        let name = text(&tag["name"]);
        let _ = writeln!(html, "<h2 id=\"{0}\">{0}</h2>", escape(name));
        prose(&mut html, text(&tag["description"]));
        for (path, methods) in document["paths"].as_object().into_iter().flatten() {
            for (method, operation) in methods.as_object().into_iter().flatten() {
                let tags = operation["tags"].as_array();
                if tags.is_some_and(|tags| tags.iter().any(|tag| tag == name)) {
                    render_operation(&mut html, method, path, operation);
                }
            }
        }
    }
    html.push_str("<h2 id=\"types\">Types</h2>\n");
    for (name, schema) in document["components"]["schemas"]
        .as_object()
        .into_iter()
        .flatten()
    {
        let _ = writeln!(html, "<h3 id=\"type-{0}\">{0}</h3>", escape(name));
        prose(&mut html, text(&schema["description"]));
        render_members(&mut html, schema);
    }
    html.push_str("</main>\n</body>\n</html>\n");
    html
}

fn render_operation(html: &mut String, method: &str, path: &str, operation: &Value) {
    let method = method.to_uppercase();
    let _ = writeln!(
        html,
        "<h3><code class=\"method\">{}</code> <code>{}</code></h3>",
        escape(&method),
        escape(path)
    );
    prose(html, text(&operation["summary"]));
    prose(html, text(&operation["description"]));
    if let Some(parameters) = operation["parameters"].as_array() {
        html.push_str("<dl>\n");
        for parameter in parameters {
            let _ = writeln!(
                html,
                "<dt><code>{}</code> <span>{}, {}</span></dt><dd>{}</dd>",
                escape(text(&parameter["name"])),
                escape(text(&parameter["in"])),
                type_name(&parameter["schema"]),
                escape(text(&parameter["description"])),
            );
        }
        html.push_str("</dl>\n");
    }
    if let Some(content) = operation["requestBody"]["content"].as_object() {
        let _ = writeln!(html, "<p>Body: {}</p>", bodies(content));
    }
    html.push_str("<ul>\n");
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        let content = response["content"].as_object().map(bodies).unwrap_or_default();
        let description = escape(text(&response["description"]));
        let _ = writeln!(
            html,
            "<li><code>{}</code> {content} {description}</li>",
            escape(status)
        );
    }
    html.push_str("</ul>\n");
}

fn render_members(html: &mut String, schema: &Value) {
    if let Some(values) = schema["enum"].as_array() {
        let list: Vec<_> = values
            .iter()
            .map(|value| format!("<code>{}</code>", escape(text(value))))
            .collect();
        let _ = writeln!(html, "<p>One of {}.</p>", list.join(", "));
    }
    let Some(members) = schema["properties"].as_object() else {
        return;
    };
    html.push_str("<dl>\n");
    for (name, member) in members {
        let _ = writeln!(
            html,
            "<dt><code>{}</code> <span>{}</span></dt><dd>{}</dd>",
            escape(name),
            type_name(member),
            escape(text(&member["description"])),
        );
    }
    html.push_str("</dl>\n");
}

fn bodies(content: &Map<String, Value>) -> String {
    let body =
        |(kind, value): (&String, &Value)| format!("{} ({})", type_name(&value["schema"]), escape(kind));
    content.iter().map(body).collect::<Vec<_>>().join(" or ")
}

/// A schema in a word, linked where it is a type of its own.
fn type_name(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = escape(reference.rsplit('/').next().unwrap_or_default());
        return format!("<a href=\"#type-{name}\">{name}</a>");
    }
    for several in ["oneOf", "anyOf", "allOf"] {
        if let Some(schemas) = schema[several].as_array() {
            return schemas.iter().map(type_name).collect::<Vec<_>>().join(" or ");
        }
    }
    match &schema["type"] {
        Value::String(kind) if kind == "array" => format!("list of {}", type_name(&schema["items"])),
        Value::String(kind) => escape(kind),
        Value::Array(kinds) => kinds
            .iter()
            .map(|kind| escape(text(kind)))
            .collect::<Vec<_>>()
            .join(" or "),
        _ => "anything".to_owned(),
    }
}

fn prose(html: &mut String, text: &str) {
    for paragraph in text.split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
        let _ = writeln!(html, "<p>{}</p>", escape(paragraph));
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_and_every_type_is_shown() {
        let document = serde_json::to_value(openapi::described()).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        let html = render(&document);
        for path in document["paths"].as_object().unwrap().keys() {
            assert!(html.contains(&escape(path)), "{path}");
        }
        let types = document["components"]["schemas"].as_object().unwrap();
        for name in types.keys() {
            assert!(html.contains(&format!("id=\"type-{name}\"")), "{name}");
        }
        let targets = html
            .split("href=\"#")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap());
        for target in targets {
            assert!(html.contains(&format!("id=\"{target}\"")), "{target}");
        }
    }

    #[test]
    fn what_the_document_says_is_text() {
        let document = serde_json::json!({"info": {"description": "<script>&\""}});
        assert!(render(&document).contains("<p>&lt;script&gt;&amp;&quot;</p>"));
    }
}
