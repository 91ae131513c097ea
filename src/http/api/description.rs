//! The description of the API as OpenAPI 3.1 (<https://spec.openapis.org/oas/v3.1.1>), made from the table of endpoints
//! and the types of their responses.

use std::future::{Ready, ready};
use std::sync::OnceLock;

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use actix_web::http::{Method, StatusCode};
use actix_web::web::Bytes;
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::endpoint::parameter::Parameter;
use super::endpoint::{Access, Endpoint};
use super::endpoints;
use super::response::{Pages, ResponseDescription};

/// Statuses of the refusals that every request can get: of its parameters, and of a body that is too slow, too large,
/// or compressed.
const OF_ALL: [u16; 4] = [400, 408, 413, 415];

/// Refusals of a request that changes something, besides these.
const OF_CHANGES: [u16; 4] = [429, 500, 503, 507];

/// Handles `GET /api/openapi.json`.
pub(super) fn show() -> Ready<HttpResponse> {
    static DESCRIPTION: OnceLock<Bytes> = OnceLock::new();
    let description = DESCRIPTION.get_or_init(|| document().to_string().into());
    ready(HttpResponse::Ok().content_type(ContentType::json()).body(description.clone()))
}

/// Returns the names of the parameters in a path.
pub(in crate::http) fn path_parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| rest.split(['}', ':']).next())
}

/// Returns a path without the patterns of its parameters.
pub(in crate::http) fn plain_path(path: &str) -> String {
    path.replace(":.+}", "}")
}

fn document() -> Value {
    let mut schemas = SchemaSettings::draft2020_12()
        .with(|settings| {
            settings.meta_schema = None;
            settings.definitions_path = "/components/schemas".into();
        })
        .for_serialize()
        .into_generator();
    let mut paths: Map<String, Value> = Map::new();
    let sections = endpoints::all();
    for section in &sections {
        for endpoint in &section.endpoints {
            let operation = operation(section.title, endpoint, &mut schemas);
            let path = paths.entry(plain_path(endpoint.path)).or_insert_with(|| json!({}));
            path[endpoint.method.as_str().to_ascii_lowercase()] = operation;
        }
    }
    let mut components = schemas.take_definitions(true);
    components.insert("Refusal".to_owned(), refusal());
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "dependency-proxy",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Users, groups, tokens and cached images, in the shapes of GitLab's REST API v4.",
        },
        "servers": [{"url": "/api/v4"}],
        "tags": sections.iter().map(|section| json!({"name": section.title})).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": "PRIVATE-TOKEN"},
                "bearer": {"type": "http", "scheme": "bearer"},
                "password": {"type": "http", "scheme": "basic"},
            },
        },
    })
}

fn operation(tag: &str, endpoint: &Endpoint, schemas: &mut SchemaGenerator) -> Value {
    let success = (endpoint.success)(schemas);
    let of_path = path_parameters(endpoint.path).map(|name| path_parameter(endpoint.path, name));
    let mut parameters: Vec<Value> = of_path.collect();
    parameters.extend(success.pages.iter().flat_map(|pages| pages.parameters()).map(query_parameter));
    let mut operation = json!({
        "tags": [tag],
        "summary": endpoint.summary,
        "description": format!("For {}.", endpoint.access.phrase()),
        "operationId": operation_id(endpoint),
        "security": endpoint.access.security(),
    });
    if endpoint.has_body() {
        if !endpoint.parameters.is_empty() {
            operation["requestBody"] = body(endpoint.parameters);
        }
    } else {
        parameters.extend(endpoint.parameters.iter().map(query_parameter));
    }
    operation["parameters"] = parameters.into();
    operation["responses"] = responses(endpoint, success);
    operation
}

/// Returns a name for the operation that a client in some programming language can use.
fn operation_id(endpoint: &Endpoint) -> String {
    let words = endpoint.path.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let capital = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
    endpoint.method.as_str().to_ascii_lowercase() + &words.map(capital).collect::<String>()
}

fn path_parameter(path: &str, name: &str) -> Value {
    let (schema, description) = match name {
        "id" if path.starts_with("/groups/") => {
            (json!({"type": "string", "minLength": 1}), "Its number, or its path with %2F for each /")
        }
        "image" => (json!({"type": "string", "minLength": 1}), "The image as it is pulled, such as alpine:3.22"),
        "upstream" => (json!({"type": "string", "minLength": 1}), "The host of the registry, such as docker.io"),
        _ => (json!({"type": "integer", "minimum": 0}), "Its number"),
    };
    json!({"name": name, "in": "path", "required": true, "schema": schema, "description": description})
}

fn query_parameter(parameter: &Parameter) -> Value {
    json!({
        "name": parameter.name,
        "in": "query",
        "required": parameter.required,
        "description": parameter.meaning,
        "schema": parameter.schema(),
    })
}

/// Returns the body of a request, which may also be a form.
fn body(parameters: &[Parameter]) -> Value {
    let property = |parameter: &Parameter| {
        let mut schema = parameter.schema();
        schema["description"] = parameter.meaning.into();
        (parameter.name.to_owned(), schema)
    };
    let properties: Map<String, Value> = parameters.iter().map(property).collect();
    let required: Vec<&str> =
        parameters.iter().filter(|parameter| parameter.required).map(|parameter| parameter.name).collect();
    let schema = json!({"type": "object", "properties": properties, "required": required});
    let content = json!({
        "application/json": {"schema": schema},
        "application/x-www-form-urlencoded": {"schema": schema},
    });
    json!({"required": !required.is_empty(), "content": content})
}

fn responses(endpoint: &Endpoint, success: ResponseDescription) -> Value {
    let ResponseDescription { status, body, pages } = success;
    let mut response = json!({"description": status.canonical_reason()});
    if let Some(schema) = body {
        response["content"] = json!({"application/json": {"schema": Schema::to_value(schema)}});
    }
    if let Some(pages) = pages {
        response["headers"] = pages.headers();
    }
    let mut responses = Map::from_iter([(status.as_str().to_owned(), response)]);
    let content = json!({"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}});
    for status in endpoint.statuses_of_refusals() {
        let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        responses.insert(status.to_string(), json!({"description": reason, "content": content}));
    }
    responses.into()
}

/// Returns the schema of the body of a refusal: a sentence, or sentences by the field that they are about.
fn refusal() -> Value {
    json!({
        "type": "object",
        "properties": {
            "message": {"anyOf": [
                {"type": "string"},
                {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}},
            ]},
            "error": {"type": "string"},
            "error_description": {"type": "string"},
            "scope": {"type": "string"},
        },
        "anyOf": [{"required": ["message"]}, {"required": ["error"]}],
        "additionalProperties": false,
    })
}

impl Endpoint {
    fn has_body(&self) -> bool {
        matches!(self.method, Method::POST | Method::PUT)
    }

    /// Returns the statuses of all refusals that a client can meet.
    pub(in crate::http) fn statuses_of_refusals(&self) -> Vec<u16> {
        let mut statuses = OF_ALL.to_vec();
        if self.access != Access::Public {
            statuses.extend([401, 403]);
        }
        if self.path.contains('{') {
            statuses.push(404);
        }
        if self.method != Method::GET {
            statuses.extend(OF_CHANGES);
        }
        statuses.extend(&self.refusals);
        statuses.sort_unstable();
        statuses.dedup();
        statuses
    }
}

impl Access {
    fn security(self) -> Value {
        match self {
            Self::Public => json!([]),
            Self::Password => json!([{"password": []}]),
            Self::TokenOrPassword => json!([{"token": []}, {"bearer": []}, {"password": []}]),
            Self::SignedIn
            | Self::Token
            | Self::Visitor
            | Self::Member
            | Self::Owner
            | Self::OwnerAbove
            | Self::SelfOrOwner
            | Self::SelfOrAdministrator
            | Self::Administrator => json!([{"token": []}, {"bearer": []}]),
        }
    }
}

impl Pages {
    /// Returns the parameters that choose a page.
    pub(in crate::http) fn parameters(self) -> &'static [Parameter] {
        const NUMBERED: [Parameter; 2] = [
            Parameter::positive("page", "The page, counted from 1"),
            Parameter::positive("per_page", "The number of items of a page, 20 without it and at most 100"),
        ];
        const KEYSET: [Parameter; 6] = [
            Parameter::positive("page", "The page, counted from 1"),
            Parameter::positive("per_page", "The number of items of a page, 20 without it and at most 100"),
            Parameter::one_of("pagination", &["offset", "keyset"], "`keyset`: pages continue after an item"),
            Parameter::number("cursor", "The item after which the page begins, from the header `Link`"),
            Parameter::one_of("order_by", &["id"], "The order"),
            Parameter::one_of("sort", &["asc", "desc"], "The direction of the order; the latest first without it"),
        ];
        match self {
            Self::Numbered => &NUMBERED,
            Self::NumberedOrKeyset => &KEYSET,
        }
    }

    fn headers(self) -> Value {
        let number = |meaning| json!({"description": meaning, "schema": {"type": "string"}});
        let mut headers = json!({
            "Link": {"description": "The addresses of other pages (RFC 8288)", "schema": {"type": "string"}},
            "X-Per-Page": number("The number of items of a page"),
        });
        for (name, meaning) in [
            ("X-Page", "The page"),
            ("X-Next-Page", "The next page; empty if there is none"),
            ("X-Prev-Page", "The page before; empty if there is none"),
            ("X-Total", "The number of all items"),
            ("X-Total-Pages", "The number of pages"),
        ] {
            headers[name] = number(meaning);
        }
        headers
    }
}
