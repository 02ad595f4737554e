//! Lists: what a request may ask of one. `name` and `use_regex` filter, `sort` and `sort_reverse` order, `page` and `page_size` cut, `columns` leaves
//! keys out. Names of keys may have points: `message_stats.publish`.

use std::cmp::Ordering;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use regex::RegexBuilder;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::rates::{Range, Ranges};
use crate::refusal::Refusal;

/// The largest page, as in RabbitMQ.
const PAGE_SIZE_MAX: usize = 500;

/// The size of a page where none is given.
const PAGE_SIZE: usize = 100;

/// Bytes that a compiled pattern may take.
const COMPILED_MAX: usize = 1 << 20;

/// What a request asks of a list.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Query {
    columns: Option<String>,
    sort: Option<String>,
    sort_reverse: Option<String>,
    page: Option<String>,
    page_size: Option<String>,
    name: Option<String>,
    use_regex: Option<String>,
    pagination: Option<String>,
    lengths_age: Option<String>,
    lengths_incr: Option<String>,
    msg_rates_age: Option<String>,
    msg_rates_incr: Option<String>,
    data_rates_age: Option<String>,
    data_rates_incr: Option<String>,
    node_stats_age: Option<String>,
    node_stats_incr: Option<String>,
}

impl Query {
    /// The answer for a list.
    ///
    /// **Errors**: 400 for a page that is not there, and for what is no number or no pattern.
    pub(crate) fn answer(&self, items: Vec<Value>) -> Result<Response, Refusal> {
        let total = items.len();
        let mut items = self.filter(items)?;
        if let Some(key) = self.sort.as_deref().filter(|key| !key.is_empty()) {
            items.sort_by(|a, b| compare(at(a, key), at(b, key)));
            if is_true(self.sort_reverse.as_deref()) {
                items.reverse();
            }
        }
        let is_paged = self.page.is_some() && self.pagination.as_deref() != Some("false");
        if !is_paged && self.page.is_none() {
            return Ok(Json(self.cut(items)).into_response());
        }
        self.page(total, items)
    }

    /// Of which samples are asked for.
    ///
    /// **Errors**: 400 for what is no number, or too many samples.
    pub(crate) fn ranges(&self) -> Result<Ranges, Refusal> {
        let of = |age: &Option<String>, apart: &Option<String>| {
            Range::of(age.as_deref(), apart.as_deref())
        };
        Ok(Ranges {
            lengths: of(&self.lengths_age, &self.lengths_incr)?,
            messages: of(&self.msg_rates_age, &self.msg_rates_incr)?,
            data: of(&self.data_rates_age, &self.data_rates_incr)?,
            node: of(&self.node_stats_age, &self.node_stats_incr)?,
        })
    }

    /// One thing, with the columns that are asked for.
    pub(crate) fn one(&self, item: Value) -> Response {
        let one = self.cut(vec![item]).pop().unwrap_or_default();
        Json(one).into_response()
    }

    fn filter(&self, mut items: Vec<Value>) -> Result<Vec<Value>, Refusal> {
        let Some(name) = self.name.as_deref().filter(|name| !name.is_empty()) else {
            return Ok(items);
        };
        let of = |item: &Value| item.get("name").and_then(Value::as_str).map(str::to_owned);
        if is_true(self.use_regex.as_deref()) {
            let pattern = RegexBuilder::new(name).size_limit(COMPILED_MAX).build();
            let pattern = pattern.map_err(|error| Refusal::bad_request(error.to_string()))?;
            items.retain(|item| of(item).is_some_and(|of| pattern.is_match(&of)));
        } else {
            let name = name.to_lowercase();
            items.retain(|item| of(item).is_some_and(|of| of.to_lowercase().contains(&name)));
        }
        Ok(items)
    }

    fn page(&self, total: usize, items: Vec<Value>) -> Result<Response, Refusal> {
        let (page, size) = (
            number(self.page.as_deref())?,
            number(self.page_size.as_deref())?,
        );
        let is_size = |size: &usize| (1..=PAGE_SIZE_MAX).contains(size);
        let (Some(page), Some(size)) = (
            Some(page.unwrap_or(1)).filter(|page| *page > 0),
            Some(size.unwrap_or(PAGE_SIZE)).filter(is_size),
        ) else {
            return Err(invalid(page, size));
        };
        let filtered = items.len();
        let pages = filtered.div_ceil(size).max(1);
        if page > pages {
            return Err(Refusal {
                status: StatusCode::BAD_REQUEST,
                error: "page_out_of_range",
                reason: format!(
                    "Page out of range, page: {page} page size: {size}, len: {filtered}"
                ),
            });
        }
        let items: Vec<Value> = items
            .into_iter()
            .skip((page - 1) * size)
            .take(size)
            .collect();
        let body = json!({
            "filtered_count": filtered,
            "item_count": items.len(),
            "page": page,
            "page_count": pages,
            "page_size": size,
            "total_count": total,
            "items": self.cut(items),
        });
        Ok(Json(body).into_response())
    }

    /// Leaves out what is not among the columns.
    fn cut(&self, items: Vec<Value>) -> Vec<Value> {
        let Some(columns) = self
            .columns
            .as_deref()
            .filter(|columns| !columns.is_empty())
        else {
            return items;
        };
        let columns: Vec<&str> = columns.split(',').map(str::trim).collect();
        let cut = |item: Value| {
            let mut kept = Map::new();
            for column in &columns {
                if let Some(value) = at(&item, column) {
                    insert(&mut kept, column, value.clone());
                }
            }
            Value::Object(kept)
        };
        items.into_iter().map(cut).collect()
    }
}

fn is_true(flag: Option<&str>) -> bool {
    flag == Some("true")
}

/// **Errors**: 400 for what is no number.
fn number(given: Option<&str>) -> Result<Option<usize>, Refusal> {
    let given = given.filter(|given| !given.is_empty());
    let number = given.map(str::parse).transpose();
    number.map_err(|_| Refusal::bad_request("Pagination parameters are invalid"))
}

fn invalid(page: Option<usize>, size: Option<usize>) -> Refusal {
    let told = |number: Option<usize>| {
        number.map_or_else(|| "undefined".to_owned(), |number| number.to_string())
    };
    Refusal {
        status: StatusCode::BAD_REQUEST,
        error: "invalid_pagination_parameters",
        reason: format!(
            "Invalid pagination parameters: page number {}, page size {}",
            told(page),
            told(size)
        ),
    }
}

fn at<'v>(item: &'v Value, key: &str) -> Option<&'v Value> {
    key.split('.').try_fold(item, |item, key| item.get(key))
}

fn insert(to: &mut Map<String, Value>, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            to.insert(key.to_owned(), value);
        }
        Some((first, rest)) => {
            let inner = to.entry(first).or_insert_with(|| json!({}));
            if let Value::Object(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

/// What is not there comes first, then numbers, then texts.
fn compare(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    match (a, b) {
        (Some(Value::Number(a)), Some(Value::Number(b))) => {
            let (a, b) = (
                a.as_f64().unwrap_or_default(),
                b.as_f64().unwrap_or_default(),
            );
            a.total_cmp(&b)
        }
        (Some(Value::String(a)), Some(Value::String(b))) => a.cmp(b),
        (Some(Value::Bool(a)), Some(Value::Bool(b))) => a.cmp(b),
        (a, b) => rank(a).cmp(&rank(b)),
    }
}

fn rank(value: Option<&Value>) -> u8 {
    match value {
        None | Some(Value::Null) => 0,
        Some(Value::Bool(_)) => 1,
        Some(Value::Number(_)) => 2,
        Some(Value::String(_)) => 3,
        Some(Value::Array(_) | Value::Object(_)) => 4,
    }
}
