//! What operators set, and what of it is there after another start.

use serde_json::{Value, json};

use super::*;
use crate::connections::{ConnectionFacts, OpenAs};
use crate::error::Error;
use crate::figures::Traffic;
use crate::limits::VhostMetadata;
use crate::operator::{IsNew, OperatorError};
use crate::parameters::ParameterKey;
use crate::policies::Sort;
use crate::users::{Access, PasswordHash, Permission, TopicPermission, User, UserLimits};

fn user(text: &str, limits: UserLimits) -> User {
    User {
        name: name(text),
        tags: ["management".into()].into(),
        password: Some(PasswordHash::new(b"secret")),
        limits,
    }
}

fn permission(pattern: &str) -> Permission {
    Permission::new(pattern, pattern, pattern).unwrap()
}

/// A connection of a user in a vhost, as the broker sees it.
fn connect(broker: &Broker, user: &str, vhost: &str) -> (Arc<Link>, Result<(), Error>) {
    let connections = &broker.connections;
    let link = Arc::new(Link::new(connections.next_id(), usize::MAX));
    connections.add(ConnectionFacts {
        link: Arc::clone(&link),
        name: "here -> there".to_owned(),
        since: Instant::now(),
        traffic: Arc::new(Traffic::default()),
        tls: None,
        open_as: None,
    });
    let open_as = OpenAs {
        user: name(user),
        vhost: name(vhost),
        protocol: "AMQP 0-9-1",
        mechanism: "PLAIN".to_owned(),
        client_properties: Table::default(),
        channel_max: 0,
        frame_max: 0,
        heartbeat: 0,
    };
    let limits = broker.vhost(vhost).unwrap().limits.max_connections();
    let of_user = broker
        .users
        .user(user)
        .and_then(|user| user.limits.max_connections);
    let opened = connections.open(link.connection, open_as, limits, of_user);
    (link, opened)
}

fn events(link: &Link) -> Vec<Event> {
    let mut events = Vec::new();
    link.events.take(&mut events);
    events
}

fn shovel() -> ParameterKey {
    ParameterKey {
        component: name("shovel"),
        vhost: name("other"),
        name: name("s"),
    }
}

/// Sets one of everything.
fn set_all(broker: &Broker) {
    let metadata = VhostMetadata {
        description: "a text".to_owned(),
        tags: vec!["production".to_owned()],
        ..VhostMetadata::default()
    };
    let limits = UserLimits {
        max_connections: Some(2),
        max_channels: None,
        max_publish_rate: Some(7),
    };
    assert_eq!(broker.put_vhost(&name("other"), metadata), Ok(IsNew(true)));
    assert_eq!(broker.put_user(user("anna", limits)), IsNew(true));
    let put = broker.put_permission(&name("anna"), &name("other"), permission("^a"));
    assert_eq!(put, Ok(IsNew(true)));
    let topics = TopicPermission::new("^{username}\\.", "").unwrap();
    let at = (&name("other"), &name("amq.topic"));
    let put = broker.put_topic_permission(&name("anna"), at, topics);
    assert_eq!(put, Ok(IsNew(true)));
    let policy = json!({"pattern": "^q", "definition": {"max-length": 3}});
    for sort in [Sort::User, Sort::Operator] {
        let put = broker.put_policy(sort, &name("other"), &name("p"), &policy);
        assert_eq!(put, Ok(IsNew(true)));
    }
    let put = broker.put_vhost_limits(&name("other"), &json!({"max-queues": 1}));
    assert_eq!(put, Ok(IsNew(true)));
    assert_eq!(
        broker.put_parameter(shovel(), json!({"a": 1})),
        Ok(IsNew(true))
    );
    let put = broker.put_global_parameter(&name("cluster_name"), json!("here"));
    assert_eq!(put, IsNew(true));
}

fn check_all(broker: &Broker) {
    let users = broker.users.snapshot();
    assert!(broker.users.authenticate("anna", b"secret", false).is_ok());
    assert_eq!(users.user("anna").unwrap().limits.max_connections, Some(2));
    let permission = users.permission("anna", "other").unwrap();
    assert_eq!(permission.pattern(Access::Read), "^a");
    let topics = users.topics_of("anna", "other");
    assert!(topics.allows(Access::Write, "amq.topic", b"anna.x"));
    assert!(!topics.allows(Access::Write, "amq.topic", b"bert.x"));
    assert!(topics.allows(Access::Read, "amq.topic", b""));
    assert!(topics.allows(Access::Write, "others", b"bert.x"));
    let vhost = broker.vhost("other").unwrap();
    assert_eq!(vhost.metadata.read().description, "a text");
    assert_eq!(vhost.limits.max_queues(), Some(1));
    for sort in [Sort::User, Sort::Operator] {
        assert!(vhost.policies.read().get(sort, "p").is_some());
    }
    let parameters = broker.parameters();
    assert_eq!(parameters.by_key.get(&shovel()), Some(&json!({"a": 1})));
    assert_eq!(parameters.global.get("cluster_name"), Some(&json!("here")));
}

#[test]
fn what_operators_set_is_there_after_another_start() {
    let folder = Folder::new();
    let running = folder.start();
    set_all(&running.broker);
    check_all(&running.broker);
    check_all(&folder.start().broker);
}

#[test]
fn the_configuration_counts_for_a_new_folder_only() {
    let folder = Folder::new();
    let running = folder.start();
    running.broker.put_user(user("anna", UserLimits::default()));
    assert!(running.broker.delete_user("anna"));
    assert!(!running.broker.delete_user("anna"));
    let vhost = name("/");
    let mut running = folder.start();
    running
        .broker
        .delete_vhost(&vhost, Box::new(|| {}))
        .unwrap();
    running.run();
    let again = folder.start();
    assert!(again.broker.users.user("anna").is_none());
    assert_eq!(
        again.broker.vhost("/").map(|_| ()),
        Err(Error::VhostNotFound(vhost))
    );
}

#[test]
fn a_deleted_vhost_leaves_nothing_behind() {
    let folder = Folder::new();
    let before = {
        let _seeded = folder.start();
        folder.definitions.found()
    };
    let mut running = folder.start();
    set_all(&running.broker);
    let vhost = running.broker.vhost("other").unwrap();
    let handle = vhost.declare_queue(ME, queue("q"), false).unwrap();
    let handle = Arc::clone(handle.queue());
    let binding = crate::vhost::door::Binding {
        source: "amq.direct",
        binding_key: b"k",
        arguments: Default::default(),
    };
    vhost.bind_queue(ME, "q", binding).unwrap();
    let refused = vhost.declare_queue(ME, queue("r"), false).map(|_| ());
    assert!(
        matches!(refused, Err(Error::VhostQueues { max: 1, .. })),
        "{refused:?}"
    );
    let (link, _) = connect(&running.broker, "anna", "other");
    running.run();

    let told = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let then = Arc::clone(&told);
    let then = move || then.store(true, std::sync::atomic::Ordering::SeqCst);
    running
        .broker
        .delete_vhost(&name("other"), Box::new(then))
        .unwrap();
    assert!(
        matches!(&*events(&link), [Event::Close(reason)] if reason == "vhost 'other' is deleted")
    );
    assert!(vhost.declare_queue(ME, queue("s"), false).is_err());
    running.run();
    assert!(handle.is_deleted());
    assert!(told.load(std::sync::atomic::Ordering::SeqCst));
    let missing = running.broker.delete_vhost(&name("other"), Box::new(|| {}));
    assert_eq!(missing, Err(OperatorError::NoSuchVhost(name("other"))));
    running.broker.delete_user("anna");
    running.broker.delete_global_parameter("cluster_name");

    let is_id = |key: &[u8]| key == crate::definitions::IDS;
    let mut left = folder.definitions.found();
    left.retain(|(key, _)| !is_id(key));
    assert_eq!(left, before);
}

#[test]
fn connections_hear_of_what_concerns_them() {
    let folder = Folder::new();
    let running = folder.start();
    let broker = &running.broker;
    set_all(broker);
    broker.put_user(user("bert", UserLimits::default()));
    broker
        .put_permission(&name("bert"), &name("other"), permission(""))
        .unwrap();
    let (anna, opened) = connect(broker, "anna", "other");
    opened.unwrap();
    let (bert, opened) = connect(broker, "bert", "other");
    opened.unwrap();
    broker.delete_permission("anna", "other");
    assert!(matches!(&*events(&anna), [Event::AccessChanged]));
    broker.delete_topic_permissions("anna", "other", None);
    assert!(matches!(&*events(&anna), [Event::AccessChanged]));
    assert!(events(&bert).is_empty());
    connect(broker, "anna", "/").1.unwrap();
    let third = connect(broker, "anna", "/").1;
    assert_eq!(
        third,
        Err(Error::UserConnections {
            user: name("anna"),
            max: 2
        })
    );
    broker
        .put_vhost_limits(&name("other"), &json!({"max-connections": 2}))
        .unwrap();
    let third = connect(broker, "bert", "other").1;
    assert!(
        matches!(third, Err(Error::VhostConnections { max: 2, .. })),
        "{third:?}"
    );
    broker.delete_user("anna");
    assert!(
        matches!(&*events(&anna), [Event::Close(reason)] if reason == "user 'anna' is deleted")
    );
}

#[test]
fn what_cannot_be_taken_changes_nothing() {
    let folder = Folder::new();
    let running = folder.start();
    let broker = &running.broker;
    let before = folder.definitions.found();
    let invalid = |reason: &str| Err(OperatorError::Invalid(reason.to_owned()));
    let key = |component: &str| ParameterKey {
        component: name(component),
        ..shovel()
    };
    assert_eq!(
        broker.put_parameter(key("nothing"), Value::Null),
        invalid("component nothing not found")
    );
    let missing = broker.put_parameter(key("shovel"), Value::Null);
    assert_eq!(missing, Err(OperatorError::NoSuchVhost(name("other"))));
    let limits = broker.put_vhost_limits(&name("/"), &json!({"max-queues": "x"}));
    assert_eq!(
        limits,
        invalid("<<\"max-queues\">> should be an integer, actually was <<\"x\">>")
    );
    let nobody = broker.put_permission(&name("nobody"), &name("/"), permission(""));
    assert_eq!(nobody, Err(OperatorError::NoSuchUser(name("nobody"))));
    broker
        .put_vhost(
            &name("/"),
            VhostMetadata {
                protected_from_deletion: true,
                ..VhostMetadata::default()
            },
        )
        .unwrap();
    let protected = broker.delete_vhost(&name("/"), Box::new(|| {}));
    assert_eq!(protected, Err(OperatorError::Protected(name("/"))));
    assert_eq!(folder.definitions.found().len(), before.len());
}
