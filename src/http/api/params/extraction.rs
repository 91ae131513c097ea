//! The extraction of the parameters from a request: first those of the query, then those of the body, a form or a JSON
//! object.

#[cfg(debug_assertions)]
use std::sync::Arc;

use actix_web::dev::Payload;
#[cfg(debug_assertions)]
use actix_web::http::Method;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{FromRequest, HttpRequest};
use futures::future::LocalBoxFuture;
use serde_json::{Map, Value};

#[cfg(debug_assertions)]
use super::Described;
use super::Params;
use crate::http::api::error::ApiError;
use crate::http::form_body::{self, BodyFault};

impl FromRequest for Params {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = form_body::whole(request, payload);
        let query = request.query_string().to_owned();
        let header = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = header.unwrap_or_default().to_ascii_lowercase();
        #[cfg(debug_assertions)]
        let described = request.app_data().and_then(|described: &Described| described.of(request.method()));
        Box::pin(async move {
            let body = body.await.map_err(|fault| match fault {
                BodyFault::TooLarge => ApiError::TooLarge,
                BodyFault::TooSlow => ApiError::TooSlow,
                BodyFault::Encoded => ApiError::Encoded,
                BodyFault::Broken => ApiError::Parameter("the body could not be read".to_owned()),
            })?;
            let params = Self::read(&query, &content_type, &body)?;
            #[cfg(debug_assertions)]
            let params = Self { described, ..params };
            Ok(params)
        })
    }
}

impl Params {
    /// Reads the parameters of a query and a body of this type. Fails if they cannot be decoded.
    pub(super) fn read(query: &str, content_type: &str, body: &[u8]) -> Result<Self, ApiError> {
        let mut params = Map::new();
        add_pairs(&mut params, query.as_bytes())?;
        if body.is_empty() {
            return Ok(Self::of(params));
        }
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/x-www-form-urlencoded" => add_pairs(&mut params, body)?,
            "application/json" | "" => {
                let object: Map<String, Value> = serde_json::from_slice(body)
                    .map_err(|_| ApiError::Parameter("the body is not a JSON object".to_owned()))?;
                params.extend(object);
            }
            other => {
                let text = format!("a body of type '{other}' cannot be read; send JSON or a form");
                return Err(ApiError::Parameter(text));
            }
        }
        Ok(Self::of(params))
    }
}

#[cfg(debug_assertions)]
impl Described {
    fn of(&self, method: &Method) -> Option<Arc<[&'static str]>> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.0.iter().find(|(of, _)| of == method).map(|(_, names)| names.clone())
    }
}

fn add_pairs(params: &mut Map<String, Value>, encoded: &[u8]) -> Result<(), ApiError> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(encoded)
        .map_err(|_| ApiError::Parameter("the parameters are not well encoded".to_owned()))?;
    for (name, value) in pairs {
        match name.strip_suffix("[]") {
            None => {
                params.insert(name, Value::String(value));
            }
            Some(list) => {
                let items = params.entry(list).or_insert_with(|| Value::Array(Vec::new()));
                if let Some(items) = items.as_array_mut() {
                    items.push(Value::String(value));
                }
            }
        }
    }
    Ok(())
}
