//! What operators set: vhosts, users and what these may do, policies, parameters, limits, definitions.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::Value;

use super::{any, object};

#[derive(Debug, Subcommand)]
pub(crate) enum Vhosts {
    /// List them
    List,
    /// Tell everything of one
    Show { name: String },
    /// Add one, or change what is said of it
    Add {
        name: String,
        #[arg(long)]
        description: Option<String>,
        /// With commas between them
        #[arg(long)]
        tags: Option<String>,
        #[arg(long)]
        default_queue_type: Option<String>,
    },
    /// Delete one with everything in it
    Delete { name: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Users {
    /// List them
    List,
    /// Tell everything of one
    Show { name: String },
    /// Add one, or change one
    Add {
        name: String,
        password: String,
        /// With commas between them
        #[arg(long, default_value = "")]
        tags: String,
    },
    /// Delete one
    Delete { name: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Permissions {
    /// List them
    List,
    /// Tell everything of one
    Show { user: String },
    /// Let a user into the vhost, by three patterns
    Set {
        user: String,
        configure: String,
        write: String,
        read: String,
    },
    /// Let a user into the vhost no more
    Clear { user: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TopicPermissions {
    /// List them
    List,
    /// Restrict a user to topics of an exchange, by two patterns
    Set {
        user: String,
        exchange: String,
        write: String,
        read: String,
    },
    /// Restrict a user no more
    Clear { user: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Policies {
    /// List them
    List,
    /// Tell everything of one
    Show { name: String },
    /// Set one
    Set {
        name: String,
        pattern: String,
        /// As a JSON object
        #[arg(value_parser = object)]
        definition: Value,
        #[arg(long, default_value_t = 0)]
        priority: i64,
        #[arg(long, default_value = "all")]
        apply_to: String,
    },
    /// Remove one
    Clear { name: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Parameters {
    /// List them
    List,
    /// Tell one
    Show { component: String, name: String },
    /// Set one
    Set {
        component: String,
        name: String,
        /// As JSON
        #[arg(value_parser = any)]
        value: Value,
    },
    /// Remove one
    Clear { component: String, name: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum GlobalParameters {
    /// List them
    List,
    /// Tell one
    Show { name: String },
    /// Set one
    Set {
        name: String,
        /// As JSON
        #[arg(value_parser = any)]
        value: Value,
    },
    /// Remove one
    Clear { name: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum VhostLimits {
    /// List them
    List,
    /// Set one: max-connections or max-queues
    Set { limit: String, value: i64 },
    /// Remove one
    Clear { limit: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserLimits {
    /// List them
    List,
    /// Set one: max-connections or max-channels
    Set {
        user: String,
        limit: String,
        value: i64,
    },
    /// Remove one
    Clear { user: String, limit: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Definitions {
    /// Print them, as RabbitMQ's JSON
    Export {
        /// Those of the vhost alone, without its name: they fit into another one
        #[arg(long)]
        of_vhost: bool,
    },
    /// Take a file in, of Leveret or RabbitMQ; what is there and not in it stays
    Import {
        file: PathBuf,
        /// A file of one vhost, into the vhost
        #[arg(long)]
        of_vhost: bool,
    },
}
