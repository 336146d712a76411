//! Requests of a profile, and what they become for one alert.

use minijinja::Value;
use reqwest::header::HeaderValue;
use serde_json::Value as Json;

use super::template::{Template, TemplateError};

/// Fields of one form, or members and items of one document.
pub const MAX_FIELDS: usize = 200;
/// How deep a document may go.
pub const MAX_DEPTH: usize = 8;
/// Largest body, bytes, without pictures.
pub const MAX_BODY: usize = 262_144;

/// A request as a profile describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub method: Method,
    /// Segments behind the uplink's URL.
    pub path: Vec<Template>,
    pub query: Vec<(String, Template)>,
    pub headers: Vec<(String, Template)>,
    pub body: Body,
    /// Name of the form's part for each picture; the form is then multipart.
    pub files: Option<String>,
}

/// HTTP methods that make sense here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Put,
}

impl Method {
    /// As in a request line.
    pub fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
        }
    }
}

/// What a request carries.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    Empty,
    Form(Vec<(String, Template)>),
    Json(Node),
}

/// A JSON document whose strings are templates.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    Template(Template),
    /// `null`, numbers, `true`, `false`.
    Plain(Json),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

/// Why a request cannot be made, and which part of it is to blame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part}: {error}")]
pub struct RequestError {
    /// e.g. `form.eventDesc`.
    pub part: String,
    pub error: TemplateError,
}

/// A request for one alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    pub method: Method,
    pub path: Vec<String>,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub body: MadeBody,
}

/// See [`Body`].
#[derive(Clone, Debug, PartialEq)]
pub enum MadeBody {
    Empty,
    Form(Vec<(String, String)>),
    Json(Json),
}

impl Request {
    /// Fills the templates in. A field whose template has nothing to say is left out.
    ///
    /// # Errors
    /// Every part that cannot be made.
    pub fn make(&self, facts: &Value) -> Result<Made, Vec<RequestError>> {
        let mut faults = Vec::new();
        let path = self.path.iter().enumerate().map(|(i, segment)| {
            let text = segment.text(facts);
            let at = format!("path, segment {}", i + 1);
            take(text, || at, &mut faults).unwrap_or_default()
        });
        let path = path.collect();
        let made = Made {
            method: self.method,
            path,
            query: pairs("query", &self.query, facts, &mut faults),
            headers: pairs("headers", &self.headers, facts, &mut faults),
            body: match &self.body {
                Body::Empty => MadeBody::Empty,
                Body::Form(fields) => MadeBody::Form(pairs("form", fields, facts, &mut faults)),
                Body::Json(node) => {
                    let json = node.make("json", facts, &mut faults);
                    MadeBody::Json(json.unwrap_or(Json::Null))
                }
            },
        };
        for (name, value) in &made.headers {
            if !value.is_ascii() || HeaderValue::from_str(value).is_err() {
                let error = TemplateError::Engine("a header may have ASCII text only".to_owned());
                faults.push(part(format!("headers.{name}"), error));
            }
        }
        let bytes = match &made.body {
            MadeBody::Empty => 0,
            MadeBody::Form(fields) => fields.iter().map(|(n, v)| n.len() + v.len()).sum(),
            MadeBody::Json(json) => json.to_string().len(),
        };
        if bytes > MAX_BODY {
            let text = format!("{bytes} bytes; at most {MAX_BODY} are possible");
            faults.push(part("body".to_owned(), TemplateError::Engine(text)));
        }
        match faults.is_empty() {
            true => Ok(made),
            false => Err(faults),
        }
    }
}

impl Node {
    /// Reads a document.
    ///
    /// # Errors
    /// The first string that is no template, or a document that is too large or too deep.
    pub fn parse(json: &Json) -> Result<Node, RequestError> {
        let mut left = MAX_FIELDS;
        Node::parse_at(json, "json", MAX_DEPTH, &mut left)
    }

    fn parse_at(
        json: &Json,
        at: &str,
        depth: usize,
        left: &mut usize,
    ) -> Result<Node, RequestError> {
        let limit = |what: String| part(at.to_owned(), TemplateError::Engine(what));
        *left = left
            .checked_sub(1)
            .ok_or_else(|| limit(format!("more than {MAX_FIELDS} values in the document")))?;
        let depth = depth
            .checked_sub(1)
            .ok_or_else(|| limit(format!("deeper than {MAX_DEPTH} levels")))?;
        Ok(match json {
            Json::String(text) => {
                Node::Template(Template::parse(text).map_err(|error| part(at.to_owned(), error))?)
            }
            Json::Array(items) => Node::List(
                (0..)
                    .zip(items)
                    .map(|(i, item): (usize, _)| {
                        Node::parse_at(item, &format!("{at}[{i}]"), depth, left)
                    })
                    .collect::<Result<_, _>>()?,
            ),
            Json::Object(members) => Node::Object(
                members
                    .iter()
                    .map(|(name, value)| {
                        let node = Node::parse_at(value, &format!("{at}.{name}"), depth, left)?;
                        Ok((name.clone(), node))
                    })
                    .collect::<Result<_, RequestError>>()?,
            ),
            plain => Node::Plain(plain.clone()),
        })
    }

    fn make(&self, at: &str, facts: &Value, faults: &mut Vec<RequestError>) -> Option<Json> {
        match self {
            Node::Template(template) => take(template.json(facts), || at.to_owned(), faults),
            Node::Plain(plain) => Some(plain.clone()),
            Node::List(items) => {
                let made = items.iter().enumerate();
                let made =
                    made.filter_map(|(i, item)| item.make(&format!("{at}[{i}]"), facts, faults));
                Some(Json::Array(made.collect()))
            }
            Node::Object(members) => {
                let made = members.iter().filter_map(|(name, node)| {
                    let value = node.make(&format!("{at}.{name}"), facts, faults)?;
                    Some((name.clone(), value))
                });
                Some(Json::Object(made.collect()))
            }
        }
    }
}

fn pairs(
    what: &str,
    templates: &[(String, Template)],
    facts: &Value,
    faults: &mut Vec<RequestError>,
) -> Vec<(String, String)> {
    let made = templates.iter().filter_map(|(name, template)| {
        let text = take(template.text(facts), || format!("{what}.{name}"), faults)?;
        Some((name.clone(), text))
    });
    made.collect()
}

fn take<T>(
    made: Result<Option<T>, TemplateError>,
    at: impl FnOnce() -> String,
    faults: &mut Vec<RequestError>,
) -> Option<T> {
    made.unwrap_or_else(|error| {
        faults.push(part(at(), error));
        None
    })
}

fn part(part: String, error: TemplateError) -> RequestError {
    RequestError { part, error }
}
