//! Users: what is told of them; adding, changing, deleting. Who asks, too.

use axum::Json;
use axum::extract::{Path, Query as UrlQuery};
use axum::http::StatusCode;
use axum::response::Response;
use leveret_broker::operator::IsNew;
use leveret_broker::users::{HashAlgorithm, PasswordHash, User, UserLimits};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::body::Body;
use crate::caller::Caller;
use crate::queues::named;
use crate::refusal::Refusal;
use crate::{ask, list};

/// `GET /whoami`.
pub(crate) async fn whoami(caller: Caller) -> Json<Value> {
    Json(json!({
        "name": &*caller.user.name,
        "tags": caller.user.tags,
        "is_internal_user": true,
    }))
}

/// `GET /users`.
pub(crate) async fn all(
    caller: Caller,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    caller.must_administrate()?;
    query.answer(described(&caller, |_| true))
}

/// `GET /users/without-permissions`.
pub(crate) async fn without_permissions(
    caller: Caller,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    caller.must_administrate()?;
    let users = caller.api.broker.users.snapshot();
    let has_any = |user: &User| users.permissions().any(|(of, ..)| *of == user.name);
    query.answer(described(&caller, |user| !has_any(user)))
}

/// `GET /users/{user}`.
pub(crate) async fn one(
    caller: Caller,
    Path(name): Path<String>,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    caller.must_administrate()?;
    let user = caller.api.broker.users.user(&name);
    Ok(query.one(describe(&*user.ok_or_else(Refusal::not_found)?)))
}

/// A user, as definitions and `PUT` have it.
#[derive(Debug, Deserialize)]
pub(crate) struct NewUser {
    pub(crate) password: Option<String>,
    pub(crate) password_hash: Option<String>,
    pub(crate) hashing_algorithm: Option<String>,
    pub(crate) tags: Option<Value>,
    pub(crate) limits: Option<Value>,
}

impl NewUser {
    /// The user that it says; `before` is the one that is there.
    ///
    /// **Errors**: 400.
    pub(crate) fn user(self, name: &str, before: Option<&User>) -> Result<User, Refusal> {
        let missing = || Refusal::bad_request("tags_not_present");
        let given = self.tags.as_ref().ok_or_else(missing)?;
        let wrong = || Refusal::bad_request("tags has a value of the wrong type");
        let tags = tags(given).ok_or_else(wrong)?;
        let limits = match &self.limits {
            Some(limits @ Value::Object(_)) => {
                UserLimits::from_json(limits).map_err(Refusal::bad_request)?
            }
            // RabbitMQ writes an empty map so in some versions.
            _ => before.map(|user| user.limits).unwrap_or_default(),
        };
        Ok(User {
            name: named(name)?,
            tags: tags.into_iter().map(Into::into).collect(),
            limits,
            password: self.hash()?,
        })
    }

    fn hash(&self) -> Result<Option<PasswordHash>, Refusal> {
        match (&self.password, &self.password_hash) {
            (Some(password), None) if password.is_empty() => Ok(None),
            (Some(password), None) => Ok(Some(PasswordHash::new(password.as_bytes()))),
            (Some(_), Some(_)) => Err(Refusal::bad_request(
                "both_password_and_password_hash_are_provided",
            )),
            (_, Some(hash)) if hash.is_empty() => Ok(None),
            (_, Some(hash)) => {
                let name = self.hashing_algorithm.as_deref();
                let algorithm = match name {
                    None | Some("") => HashAlgorithm::default(),
                    Some(name) => HashAlgorithm::from_name(name)
                        .map_err(|error| Refusal::bad_request(error.to_string()))?,
                };
                let hash = PasswordHash::from_base64(hash, algorithm);
                hash.map(Some)
                    .map_err(|error| Refusal::bad_request(error.to_string()))
            }
            (None, None) => Ok(None),
        }
    }
}

/// Tags, as a list or with commas between them.
pub(crate) fn tags(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => {
            let tags = text.split(',').map(str::trim).filter(|tag| !tag.is_empty());
            Some(tags.map(str::to_owned).collect())
        }
        Value::Array(tags) => tags
            .iter()
            .map(|tag| tag.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    }
}

/// `PUT /users/{user}`: 201, or 204 where it was there.
pub(crate) async fn put(
    caller: Caller,
    Path(name): Path<String>,
    Body(new): Body<NewUser>,
) -> Result<StatusCode, Refusal> {
    caller.must_administrate()?;
    let broker = &caller.api.broker;
    let before = broker.users.user(&name);
    let is_new = broker.put_user(new.user(&name, before.as_deref())?);
    ask::kept(broker).await;
    Ok(match is_new {
        IsNew(true) => StatusCode::CREATED,
        IsNew(false) => StatusCode::NO_CONTENT,
    })
}

/// `DELETE /users/{user}`: 204.
pub(crate) async fn delete(
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Refusal> {
    caller.must_administrate()?;
    delete_one(&caller, &name)?;
    ask::kept(&caller.api.broker).await;
    Ok(StatusCode::NO_CONTENT)
}

fn delete_one(caller: &Caller, name: &str) -> Result<(), Refusal> {
    let broker = &caller.api.broker;
    let user = broker.users.user(name).ok_or_else(Refusal::not_found)?;
    if user.has_tag("protected") {
        let reason = format!("user {name} is protected from deletion");
        return Err(Refusal::bad_request(reason));
    }
    broker.delete_user(name);
    Ok(())
}

/// `POST /users/bulk-delete`.
#[derive(Debug, Deserialize)]
pub(crate) struct Several {
    users: Vec<String>,
}

/// Deletes several users: 204. Those that are not there are fine.
pub(crate) async fn delete_several(
    caller: Caller,
    Body(Several { users }): Body<Several>,
) -> Result<StatusCode, Refusal> {
    caller.must_administrate()?;
    for user in users {
        match delete_one(&caller, &user) {
            Err(refusal) if refusal.status != StatusCode::NOT_FOUND => return Err(refusal),
            _ => {}
        }
    }
    ask::kept(&caller.api.broker).await;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /auth/hash_password/{password}`.
pub(crate) async fn hash(caller: Caller, Path(password): Path<String>) -> Json<Value> {
    drop(caller);
    Json(json!({"ok": PasswordHash::new(password.as_bytes()).to_base64()}))
}

fn described(caller: &Caller, wanted: impl Fn(&User) -> bool) -> Vec<Value> {
    let users = caller.api.broker.users.snapshot();
    let mut users: Vec<_> = users.users().filter(|user| wanted(user)).cloned().collect();
    users.sort_by(|a, b| a.name.cmp(&b.name));
    users.iter().map(|user| describe(user)).collect()
}

/// A user as definitions have it.
pub(crate) fn describe(user: &User) -> Value {
    let password = user.password.as_ref();
    let algorithm = password.map(PasswordHash::algorithm).unwrap_or_default();
    json!({
        "name": &*user.name,
        "password_hash": password.map(PasswordHash::to_base64).unwrap_or_default(),
        "hashing_algorithm": algorithm.name(),
        "tags": user.tags,
        "limits": user.limits.to_json(),
    })
}
